"""`wasupervisor doctor`: look at everything around the daemon, change nothing, and say what to do."""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.text import Text

from wasupervisor import __version__
from wasupervisor.cli.apart import run_apart
from wasupervisor.cli.client import EXIT_UNWELL, EXIT_USAGE, AbsentError, Client, Refusal, refuse
from wasupervisor.cli.options import config_option, json_option
from wasupervisor.cli.screen import console
from wasupervisor.cli.telling import lines_of
from wasupervisor.config.loading import DEFAULT_FILE
from wasupervisor.config.problems import ConfigError
from wasupervisor.runtime.diagnosis import Diagnosis, diagnose
from wasupervisor.runtime.doctor import Daemon, Finding, Verdict

COLOURS = {Verdict.OK: "green", Verdict.UNKNOWN: "yellow", Verdict.WARNING: "yellow", Verdict.WRONG: "red"}
WORST_FIRST = (Verdict.WRONG, Verdict.WARNING, Verdict.UNKNOWN, Verdict.OK)
WORD_WIDTH = max(map(len, Verdict))


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Also what is well, and why each thing matters.")
@config_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, verbose: bool, config: Path | None, as_json: bool) -> None:
    """Look at everything around the daemon: settings, rights, unit; change nothing. Exit status 1 when unwell."""
    file = config or (ctx.obj or {}).get("config") or DEFAULT_FILE
    try:
        found = run_apart(functools.partial(diagnose, file, os.environ, _ask))
    except ConfigError as error:
        refuse(str(error), EXIT_USAGE)
    if as_json:
        click.echo(json.dumps(_facts(found)))
    else:
        for line in _lines(found, verbose=verbose):
            console().print(line)
    if any(one.is_unwell for one in found.findings):
        ctx.exit(EXIT_UNWELL)


def _ask(socket_file: Path) -> Daemon:
    """The health document of the daemon that listens there."""
    try:
        document = Client(socket_file).get("/health")
    except AbsentError as error:
        return Daemon(trouble=error.message, is_absent=True)
    except Refusal as error:
        return Daemon(trouble=error.message)
    is_one = isinstance(document, dict) and "status" in document
    return Daemon(document) if is_one else Daemon(trouble=f"what answers at {socket_file} is no daemon of ours")


def _lines(found: Diagnosis, *, verbose: bool) -> list[Text]:
    counts = Counter(one.verdict for one in found.findings)
    worst = next(one for one in WORST_FIRST if counts[one] or one is Verdict.OK)
    head = Text(worst, style=f"bold {COLOURS[worst]}")
    head.append(
        "  " + ", ".join(f"{counts[one]} {one}" for one in WORST_FIRST if counts[one]), style="not bold default"
    )
    lines = [head, Text(_who(found))]
    for verdict in WORST_FIRST[:-1]:
        for one in found.findings:
            if one.verdict is verdict:
                lines += _whole(one, verbose=verbose)
    well = [one for one in found.findings if one.verdict is Verdict.OK]
    offers = [one for one in well if one.todo]
    lines += [Text(f"could be better: {one.title}: {one.text}; {one.todo}") for one in offers]
    if verbose:
        return lines + [_headline(one) for one in well if not one.todo]
    titles = ", ".join(one.title for one in well if not one.todo)
    return [*lines, Text(f"well: {titles}")] if titles else lines


def _who(found: Diagnosis) -> str:
    daemon = "process and Redis as the daemon sees them" if found.asked_daemon else "no daemon could be asked"
    other = "" if found.looked_as == found.runs_as else f", which runs as {found.runs_as}"
    return f"looked at as {found.looked_as}; {daemon}{other}"


def _whole(one: Finding, *, verbose: bool) -> list[Text]:
    """What is wrong, why it matters, and what to do."""
    is_told = verbose or one.is_unwell
    rows = [("why", one.why)] if is_told else []
    rows += [("to do", one.todo)] if one.todo else []
    return [_headline(one), *map(Text, lines_of(rows))]


def _headline(one: Finding) -> Text:
    line = Text(f"{one.verdict:<{WORD_WIDTH}}", style=COLOURS[one.verdict])
    return line.append(f"  {one.title}: {one.text} ({one.code})", style="default")


def _facts(found: Diagnosis) -> dict[str, Any]:
    counts = Counter(one.verdict for one in found.findings)
    return {
        "well": not any(one.is_unwell for one in found.findings),
        "version": __version__,
        "asked_daemon": found.asked_daemon,
        "looked_as": found.looked_as,
        "runs_as": found.runs_as,
        "counts": {one: counts[one] for one in Verdict},
        "checks": [{"group": one.group, **msgspec.to_builtins(one)} for one in found.findings],
    }
