"""`wasupervisor explain`: one session, for a person who was just woken up. First how it is, then how that came."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from wasupervisor.cli.client import EXIT_USAGE, Client, refuse
from wasupervisor.cli.either import HTTP_OK
from wasupervisor.cli.options import config_option, json_option
from wasupervisor.cli.screen import incident_line, pause_line
from wasupervisor.cli.status import HISTORY_LIMIT, entries_of
from wasupervisor.cli.story import clock, story
from wasupervisor.cli.telling import Row, ahead_rows, claim_row, headline, lines_of
from wasupervisor.decide.words import count, span
from wasupervisor.model.journal import EntryKind

SINCE = 3600.0
"""Seconds that are told."""


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
    entries = entries_of(client, since, session=session, shared=True, limit=HISTORY_LIMIT)
    if found is None and all(one["session"] is None for one in entries):
        refuse(f"no session {session!r} is known; `wasupervisor status` lists them", EXIT_USAGE)
    held = _held(client, session) if document.get("redis") else None
    if as_json:
        about = {key: document.get(key) for key in ("status", "why", "paused", "incident", "gateway")}
        click.echo(json.dumps({"session": found, "entries": entries, "held": held, **about}))
        return
    for line in (*_now(session, found, document, entries, held), "", *_past(entries)):
        click.echo(line)


def _held(client: Client, session: str) -> dict[str, Any] | None:
    """What is wrong with its credential key in Redis; None: nothing, or it cannot be told just now."""
    status, answer = client.ask("/redis/held")
    return next((one for one in answer["held"] if one["session"] == session), None) if status == HTTP_OK else None


def _now(
    name: str,
    found: dict[str, Any] | None,
    document: dict[str, Any],
    entries: list[dict[str, Any]],
    held: dict[str, Any] | None,
) -> list[str]:
    if found is None:
        lines, rows = [f"{name}: the gateway does not list it any more"], []
    else:
        lines, rows = [headline(found)], [("since", _ago(found["since"])), *claim_row(found)]
    rows += [*_around(name, document), *_key_rows(held), *_done(entries)]
    if found is not None:
        rows += ahead_rows(found, found.get("next"))
    return [*lines, *lines_of(rows)]


def _ago(moment: str) -> str:
    now, at = datetime.now(UTC).astimezone(), datetime.fromisoformat(moment).astimezone()
    shown = at.strftime("%H:%M:%S" if at.date() == now.date() else "%Y-%m-%d %H:%M:%S")
    return f"{shown}, {span((now - at).total_seconds())} ago"


def _key_rows(held: dict[str, Any] | None) -> list[Row]:
    """Its credential key in Redis: which, since when, what was set aside, and what a person can do."""
    if held is None:
        return []
    aside = [f"set aside: {one['id']}, a {one['type']}, at {one['at']}" for one in held["aside"]]
    told = [f"{held['fault']}; seen since {_ago(held['since'])}", *aside]
    return [*(("redis", text) for text in told), ("to do", held["todo"])]


def _around(name: str, document: dict[str, Any]) -> list[Row]:
    """What stands in the way of all sessions, or of many."""
    rows: list[Row] = []
    if document["gateway"].get("reachable") is False:
        rows.append(("gateway", "does not answer: nothing is known of its sessions until it does"))
    if document.get("paused"):
        rows.append(("paused", f"{pause_line(document['paused'])}; `wasupervisor resume` ends it"))
    incident = document.get("incident")
    if incident and name in incident["sessions"]:
        rows.append(("incident", incident_line(incident)))
    return rows


def _done(entries: list[dict[str, Any]]) -> list[Row]:
    """How often a remedy was made, and what came of the last one."""
    made = [one for one in entries if one["kind"] == EntryKind.REMEDY]
    if not made:
        return []
    kinds = ", ".join(dict.fromkeys(str(one["remedy"]) for one in made))
    judged = [one for one in entries if one["kind"] == EntryKind.VERIFIED and one["id"] > made[-1]["id"]]
    verdict = f": {judged[-1]['text']}" if judged else ""
    return [("done", f"{count(len(made), 'remedy', 'remedies')} ({kinds}), last at {clock(made[-1]['at'])}{verdict}")]


def _past(entries: list[dict[str, Any]]) -> list[str]:
    return ["The last hour:", *story(entries)] if entries else ["Nothing happened in the last hour."]
