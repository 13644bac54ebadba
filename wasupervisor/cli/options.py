"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "-c", "--config", type=click.Path(path_type=Path), help="Default: /etc/wasupervisor/config.yaml."
)

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")
