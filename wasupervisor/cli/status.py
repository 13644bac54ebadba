"""What is and what was: status and history."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from wasupervisor.cli.client import EXIT_UNWELL, EXIT_USAGE, Client, Refusal, refuse
from wasupervisor.cli.options import config_option, json_option
from wasupervisor.cli.screen import console, status_screen
from wasupervisor.config.units import parse_duration
from wasupervisor.model.journal import EntryKind

WATCH_EVERY = 2.0
HISTORY_LIMIT = 10_000
KIND_WIDTH = max(map(len, EntryKind))


@click.command()
@click.option("--watch", is_flag=True, help="Again every two seconds, until Ctrl-C.")
@config_option
@json_option
@click.pass_context
def status(ctx: click.Context, watch: bool, config: Path | None, as_json: bool) -> None:
    """How everything is: exit status 0 when healthy, 1 when not, 3 when the daemon cannot be reached."""
    client = Client.for_command(ctx, config)
    document = client.get("/health")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            _show(document, again=watch, as_json=as_json)
            if not watch:
                break
            time.sleep(WATCH_EVERY)
            document = _watched(client) or document
    if document.get("status") != "healthy":
        ctx.exit(EXIT_UNWELL)


def _show(document: dict[str, Any], *, again: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document))
        return
    if again:
        click.clear()
    console().print(status_screen(document))


def _watched(client: Client) -> dict[str, Any] | None:
    """The document; None while the daemon is away: it may be restarting, and the one who watches waits."""
    try:
        document: dict[str, Any] = client.get("/health")
    except Refusal as refusal:
        refusal.show()
        return None
    return document


@click.command()
@click.option("--session", help="Of one session only.")
@click.option(
    "--since", default="1d", show_default=True, metavar="TIME", help="From when on: 2h (ago), 03:12, or a date."
)
@click.option("--until", metavar="TIME", help="Until when: 30m (ago), 03:30, or a date; now, when left out.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(list(EntryKind), case_sensitive=False),
    help="Of one kind only; may be repeated.",
)
@click.option(
    "--limit",
    default=1000,
    show_default=True,
    type=click.IntRange(1, HISTORY_LIMIT),
    help="At the most so many, the newest.",
)
@config_option
@json_option
@click.pass_context
def history(
    ctx: click.Context,
    session: str | None,
    since: str,
    until: str | None,
    kinds: tuple[str, ...],
    limit: int,
    config: Path | None,
    as_json: bool,
) -> None:
    """What was seen, decided and done, and why: the journal."""
    now = time.time()
    begin, end = _moment("--since", since, now), None if until is None else _moment("--until", until, now)
    if end is not None and end <= begin:
        refuse(f"--until {until}: is not later than --since {since}", EXIT_USAGE)
    entries = entries_of(Client.for_command(ctx, config), begin, until=end, session=session, kinds=kinds, limit=limit)
    if as_json:
        click.echo(json.dumps(entries))
        return
    for entry in entries:
        name = f"{entry['session']}: " if entry.get("session") else ""
        click.echo(f"{_when(entry['at'])}  {entry['kind']:<{KIND_WIDTH}} {name}{entry['text']}")
    if not entries:
        click.echo("nothing in that time", err=True)


def entries_of(
    client: Client,
    since: float,
    *,
    until: float | None = None,
    session: str | None = None,
    shared: bool = False,
    kinds: Sequence[str] = (),
    limit: int,
) -> list[dict[str, Any]]:
    """Entries of the journal from a moment on (seconds since the epoch), the newest last.

    `shared`: those of the session, and those that concern all.
    """
    query: dict[str, str | list[str]] = {"since": f"{since:.3f}", "limit": str(limit)}
    if until is not None:
        query["until"] = f"{until:.3f}"
    if session is not None:
        query["session"] = session
    if shared:
        query["shared"] = "1"
    if kinds:
        query["kind"] = list(kinds)
    answer = client.get("/history", **query)
    if "error" in answer:
        refuse(answer["error"], EXIT_UNWELL)
    entries: list[dict[str, Any]] = answer["entries"]
    return entries


def _moment(option: str, text: str, now: float) -> float:
    """A duration ago, a time of the last 24 hours, or a date; in seconds since the epoch."""
    for parse in (_clock_time, _date):
        with contextlib.suppress(ValueError):
            return parse(text, now)
    try:
        return now - parse_duration(text)
    except ValueError as error:
        refuse(f"{option}: {error}; or a time such as 03:12, or a date such as 2026-01-31T03:12", EXIT_USAGE)


def _clock_time(text: str, now: float) -> float:
    """The last time that the clock here showed this."""
    here = datetime.fromtimestamp(now, UTC).astimezone()
    shown = datetime.strptime(text, "%H:%M").replace(year=here.year, month=here.month, day=here.day)  # noqa: DTZ007 - of here
    return (shown if shown.timestamp() <= now else shown - timedelta(days=1)).timestamp()


def _date(text: str, _now: float) -> float:
    """A date, with or without a time; of here where it names no zone."""
    return datetime.fromisoformat(text).timestamp()


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
