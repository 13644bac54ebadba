"""What was and what is: status, history, explain."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from wasupervisor.cli.client import EXIT_UNWELL, EXIT_USAGE, Client, Refusal, refuse
from wasupervisor.cli.options import config_option, json_option
from wasupervisor.cli.screen import console, status_screen
from wasupervisor.config.units import parse_duration
from wasupervisor.model.journal import EntryKind

WATCH_EVERY = 2.0
EXPLAIN_SINCE = 3600.0
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
@click.option("--since", default="1d", show_default=True, metavar="DURATION", help="How far back.")
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
    kinds: tuple[str, ...],
    limit: int,
    config: Path | None,
    as_json: bool,
) -> None:
    """What was seen, decided and done, and why: the journal."""
    entries = _entries(Client.for_command(ctx, config), session, _span("--since", since), kinds, limit)
    if as_json:
        click.echo(json.dumps(entries))
        return
    for entry in entries:
        name = f"{entry['session']}: " if entry.get("session") else ""
        click.echo(f"{_when(entry['at'])}  {entry['kind']:<{KIND_WIDTH}} {name}{entry['text']}")
    if not entries:
        click.echo("nothing in that time", err=True)


@click.command()
@click.argument("session")
@config_option
@json_option
@click.pass_context
def explain(ctx: click.Context, session: str, config: Path | None, as_json: bool) -> None:
    """The last hour of one session as sentences, and what happens next."""
    client = Client.for_command(ctx, config)
    document = client.get("/health")
    found = next((one for one in document.get("sessions", []) if one["name"] == session), None)
    entries = _entries(client, session, EXPLAIN_SINCE, (), 1000)
    if found is None and not entries:
        refuse(f"no session {session!r} is known; `wasupervisor status` lists them", EXIT_USAGE)
    if as_json:
        click.echo(json.dumps({"session": found, "entries": entries}))
        return
    for line in _explained(session, found, entries, document):
        click.echo(line)


def _explained(
    session: str, found: dict[str, Any] | None, entries: list[dict[str, Any]], document: dict[str, Any]
) -> list[str]:
    lines = [f"{session}, the last hour:"]
    lines += [f"  {_when(one['at'])}  {one['text']}" for one in entries] or ["  nothing happened"]
    lines.append("Now:")
    if found is None:
        return [*lines, "  the gateway does not list it any more"]
    claim = f"; the gateway says {found['claim']}" if found.get("claim") else ""
    lines.append(f"  {found['condition']} since {_local(found['since'])}{claim}")
    if found.get("next"):
        lines.append(f"  next: {found['next']}")
    if found.get("advice"):
        lines.append(f"  to do: {found['advice']}")
    if document.get("paused"):
        lines.append("  everything is paused: nothing is repaired until `wasupervisor resume`")
    return lines


def _entries(
    client: Client, session: str | None, since: float, kinds: tuple[str, ...], limit: int
) -> list[dict[str, Any]]:
    query: dict[str, Any] = {"since": f"{time.time() - since:.3f}", "limit": str(limit)}
    if session is not None:
        query["session"] = session
    if kinds:
        query["kind"] = list(kinds)
    answer = client.get("/history", **query)
    if "error" in answer:
        refuse(answer["error"], EXIT_UNWELL)
    entries: list[dict[str, Any]] = answer["entries"]
    return entries


def _span(option: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        refuse(f"{option}: {error}", EXIT_USAGE)


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _local(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
