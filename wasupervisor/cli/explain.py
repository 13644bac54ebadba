"""`wasupervisor explain`: one session, for a person who was just woken up. First how it is, then how that came."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from wasupervisor.cli.client import EXIT_USAGE, Client, refuse
from wasupervisor.cli.options import config_option, json_option
from wasupervisor.cli.screen import incident_line, pause_line
from wasupervisor.cli.status import HISTORY_LIMIT, entries_of
from wasupervisor.decide.reasons import TABLE
from wasupervisor.decide.words import span
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.sessions import Reason

SINCE = 3600.0
"""Seconds that are told."""

OF_ALL = (EntryKind.GATEWAY, EntryKind.INCIDENT, EntryKind.ORDER, EntryKind.SUPERVISOR)
"""What concerns a session too when no session is named."""


@click.command()
@click.argument("session")
@config_option
@json_option
@click.pass_context
def explain(ctx: click.Context, session: str, config: Path | None, as_json: bool) -> None:
    """How one session is, what happens next, what you can do, and the last hour."""
    client = Client.for_command(ctx, config)
    document = client.get("/health")
    found = next((one for one in document.get("sessions", []) if one["name"] == session), None)
    since = time.time() - SINCE
    own = entries_of(client, since, session=session, limit=HISTORY_LIMIT)
    if found is None and not own:
        refuse(f"no session {session!r} is known; `wasupervisor status` lists them", EXIT_USAGE)
    of_all = entries_of(client, since, kinds=OF_ALL, limit=HISTORY_LIMIT)
    entries = sorted([*own, *(one for one in of_all if one["session"] is None)], key=lambda one: one["id"])
    if as_json:
        about = {key: document.get(key) for key in ("status", "why", "paused", "incident", "gateway")}
        click.echo(json.dumps({"session": found, "entries": entries, **about}))
        return
    for line in (*_now(session, found, document), "", *_past(entries)):
        click.echo(line)


def _now(name: str, found: dict[str, Any] | None, document: dict[str, Any]) -> list[str]:
    rows = [] if found is None else _rows(found)
    if document["gateway"].get("reachable") is False:
        rows.append(("gateway", "does not answer: nothing is known of its sessions until it does"))
    if document.get("paused"):
        rows.append(("paused", f"{pause_line(document['paused'])}; `wasupervisor resume` ends it"))
    incident = document.get("incident")
    if incident and name in incident["sessions"]:
        rows.append(("incident", incident_line(incident)))
    headline = f"{name}: the gateway does not list it any more" if found is None else _headline(found)
    return [headline, *(f"  {word:<9} {text}" for word, text in rows)]


def _headline(found: dict[str, Any]) -> str:
    sentence = _sentence(found["reason"])
    return f"{found['name']} is {found['condition']}{f': {sentence}' if sentence else ''}"


def _sentence(reason: str) -> str:
    """A reason in words; a daemon of a later version may know more of them."""
    if reason == Reason.NONE:
        return ""
    return TABLE[Reason(reason)].sentence if reason in set(Reason) else reason


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    at = datetime.fromisoformat(found["since"]).astimezone()
    ago = span((datetime.now(UTC) - at).total_seconds())
    rows = [("since", f"{at.strftime('%Y-%m-%d %H:%M:%S')}, {ago} ago")]
    if found.get("claim"):
        rows.append(("claim", f"the gateway says {found['claim']}"))
    if found.get("next") and found["next"] != found.get("advice"):
        rows.append(("next", found["next"]))
    if found.get("advice"):
        rows.append(("to do", found["advice"]))
    return rows


def _past(entries: list[dict[str, Any]]) -> list[str]:
    if not entries:
        return ["Nothing happened in the last hour."]
    return ["The last hour:", *(f"  {_clock(one['at'])}  {_told(one)}" for one in entries)]


def _told(entry: dict[str, Any]) -> str:
    """What concerns all is told as such."""
    text: str = entry["text"]
    return text if entry["session"] is not None else f"({entry['kind']}) {text}"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S")
