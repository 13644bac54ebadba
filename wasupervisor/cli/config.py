"""`wasupervisor config`: the configuration, looked at without the daemon."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from wasupervisor.cli.options import config_option, json_option
from wasupervisor.config.jsonschema import json_schema
from wasupervisor.config.loading import DEFAULT_FILE, Loaded, read, resolve_secrets
from wasupervisor.config.policy import notes_of
from wasupervisor.config.problems import ConfigError, Problem
from wasupervisor.config.rendering import plain, sample, show


@click.group("config")
def config_group() -> None:
    """Validate, show and describe the configuration."""


@config_group.command("validate")
@config_option
@click.pass_context
def validate_command(context: click.Context, config: Path | None) -> None:
    """Tell everything that is wrong with the file; nothing is started or asked."""
    loaded = _read(context, config)
    problems = _of_secrets(loaded)
    for problem in problems:
        click.echo(f"warning: {problem}" if problem.absent else str(problem), err=True)
    if not all(problem.absent for problem in problems):
        context.exit(2)
    for note in notes_of(loaded.settings):
        click.echo(f"note: {note}", err=True)
    click.echo(f"{click.format_filename(loaded.file)} is valid")


@config_group.command("show")
@config_option
@json_option
@click.pass_context
def show_command(context: click.Context, config: Path | None, as_json: bool) -> None:
    """Print the settings in force, defaults included and secrets masked."""
    loaded = _read(context, config)
    for problem in loaded.missing_secrets:
        click.echo(f"warning: {problem}", err=True)
    click.echo(json.dumps(plain(loaded.settings), indent=2) if as_json else show(loaded.settings).rstrip())


@config_group.command("sample")
def sample_command() -> None:
    """Print a commented configuration with every key."""
    click.echo(sample(), nl=False)


@config_group.command("schema")
def schema_command() -> None:
    """Print the JSON Schema, for editors."""
    click.echo(json.dumps(json_schema(), indent=2))


def _read(context: click.Context, config: Path | None) -> Loaded:
    """The file named here, or before the sub-command, or the default; with exit status 2 when it is not valid."""
    chosen = config or (context.obj or {}).get("config") or DEFAULT_FILE
    try:
        return read(chosen, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        context.exit(2)


def _of_secrets(loaded: Loaded) -> tuple[Problem, ...]:
    """What is wrong with secrets: those that only `run` would miss, and those that nobody can use."""
    try:
        resolve_secrets(loaded, os.environ)
    except ConfigError as error:
        return error.problems
    return ()
