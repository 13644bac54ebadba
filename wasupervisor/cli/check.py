"""`wasupervisor check`: look once, decide, do nothing, say what would be done and why."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
import msgspec

from wasupervisor.cli.apart import run_apart
from wasupervisor.cli.client import EXIT_UNWELL, EXIT_USAGE, refuse
from wasupervisor.cli.options import config_option, json_option
from wasupervisor.cli.run import settings_reader
from wasupervisor.cli.telling import WELL, ahead_rows, claim_row, headline, lines_of
from wasupervisor.config.loading import DEFAULT_FILE
from wasupervisor.config.problems import ConfigError
from wasupervisor.model.health import SessionHealth, Status
from wasupervisor.model.remedies import Remedy
from wasupervisor.runtime.once import Once, look_once

WITHOUT_FILE = "\nor look without any file: wasupervisor check --gateway waha --url http://127.0.0.1:3000"


@click.command()
@config_option
@click.option("--gateway", metavar="KIND", help="waha or evolution: for a first look without any file.")
@click.option("--url", help="Where its API answers.")
@click.option("--api-key-env", metavar="NAME", help="The environment variable that holds its API key.")
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    config: Path | None,
    gateway: str | None,
    url: str | None,
    api_key_env: str | None,
    as_json: bool,
) -> None:
    """Look once, decide, do nothing; say what would be done and why. Exit status 0 when all is well, 1 when not."""
    config = config or (ctx.obj or {}).get("config")
    try:
        settings = settings_reader(config, gateway, url, api_key_env, os.environ, token=False)()
        once = run_apart(lambda: look_once(settings))
    except ConfigError as error:
        no_file = config is None and gateway is None and url is None and not DEFAULT_FILE.exists()
        refuse(f"{error}{WITHOUT_FILE if no_file else ''}", EXIT_USAGE)
    except ValueError as error:
        refuse(f"cannot look at {settings.gateway.url}: {error}", EXIT_USAGE)
    if as_json:
        click.echo(json.dumps(_facts(once)))
    else:
        for line in _told(once):
            click.echo(line)
    if once.decision.health.status is not Status.HEALTHY:
        sys.exit(EXIT_UNWELL)


def _told(once: Once) -> list[str]:
    health, look = once.decision.health, once.readings.look
    version = f" {look.version}" if look.version else ""
    said = "answers" if look.reachable else f"does not answer: {look.detail}"
    lines = [f"{health.status}: {health.why}", f"gateway{version}: {said}"]
    process = once.readings.process
    lines.append(f"process: {f'pid {process.pid}' if process.pid else process.detail or 'not known'}")
    if once.why_no_memory:
        lines.append(f"judged at once and without patience, for a daemon's memory is not there: {once.why_no_memory}")
    told_below = tuple(f"{one.name}: " for one in health.sessions)
    lines += [f"- {note}" for note in health.notes if not note.startswith(told_below)]
    remedies = {one.session: one for one in once.decision.remedies}
    if "" in remedies:
        lines.append(f"would do now, to the gateway: {remedies[''].why}")
    for one in health.sessions:
        lines += _session_lines(one, remedies.get(one.name))
    return lines


def _session_lines(one: SessionHealth, remedy: Remedy | None) -> list[str]:
    """In the words of `explain`; one line where all is well."""
    session = msgspec.to_builtins(one)
    if remedy is None and one.condition in WELL:
        return [headline(session)]
    would = [] if remedy is None else [("would do", remedy.why)]
    rows = [*claim_row(session), *would, *ahead_rows(session, one.next if remedy is None else None)]
    return [headline(session), *lines_of(rows)]


def _facts(once: Once) -> dict[str, object]:
    decision = once.decision
    return {
        "status": decision.health.status,
        "why": decision.health.why,
        "remembered": not once.why_no_memory,
        "gateway": {
            "reachable": once.readings.look.reachable,
            "version": once.readings.look.version,
            "detail": once.readings.look.detail,
        },
        "sessions": msgspec.to_builtins(decision.health.sessions),
        "would_do": [{"session": one.session, "remedy": one.kind, "why": one.why} for one in decision.remedies],
        "withheld": [
            {"session": one.session, "remedy": one.remedy, "why": one.text}
            for one in decision.journal
            if one.kind == "withheld"
        ],
        "notes": list(decision.health.notes),
    }
