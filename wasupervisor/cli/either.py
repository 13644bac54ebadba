"""What is done by the daemon where one runs, and here where none does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from wasupervisor.cli.client import EXIT_UNWELL, EXIT_USAGE, AbsentError, Client, refuse
from wasupervisor.config.loading import DEFAULT_FILE, Loaded, read
from wasupervisor.config.problems import ConfigError
from wasupervisor.config.schema import Settings

HTTP_OK, HTTP_NOT_FOUND, HTTP_CONFLICT = 200, 404, 409

NOT_JOURNALED = "nothing was journaled: no daemon was there to do it"


def by_daemon(
    ctx: click.Context,
    config: Path | None,
    path: str,
    body: dict[str, object] | None,
    what: str,
    *,
    conflict: int = EXIT_UNWELL,
) -> dict[str, Any] | None:
    """What the daemon answers; None: there is none, or one that cannot do it.

    Args:
        ctx: of the command.
        config: its option.
        path: of the verb.
        body: for a POST; None: a GET.
        what: what cannot be done, should it refuse: `list the quarantine`.
        conflict: the exit status when it refuses for what was asked.
    """
    try:
        client = Client.for_command(ctx, config)
        status, answer = client.ask(path) if body is None else client.post(path, body)
    except AbsentError:
        return None
    if status == HTTP_NOT_FOUND:
        return None
    if status != HTTP_OK:
        refuse(f"cannot {what}: {answer.get('error')}", conflict if status == HTTP_CONFLICT else EXIT_UNWELL)
    return {"journaled": True, **answer}


def settings_here(ctx: click.Context, config: Path | None, *sections: str) -> Settings:
    """The settings; of the secrets only those of these sections must be there."""
    try:
        loaded: Loaded = read(config or (ctx.obj or {}).get("config") or DEFAULT_FILE, os.environ)
    except ConfigError as error:
        refuse(str(error), EXIT_USAGE)
    for problem in loaded.missing_secrets:
        if problem.path.partition(".")[0] in sections:
            refuse(str(problem), EXIT_USAGE)
    return loaded.settings
