"""How the health document looks on a terminal."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from wasupervisor.cli.telling import sentence
from wasupervisor.decide.words import count

COLOURS = {
    "healthy": "green",
    "settling": "green",
    "suspect": "yellow",
    "degraded": "yellow",
    "starting": "yellow",
    "failing": "red",
    "unhealthy": "red",
    "fatal": "red",
    "needs_human": "magenta",
    "missing": "red",
    "stopped": "dim",
    "stopping": "dim",
    "unknown": "yellow",
}


PIPE_WIDTH = 1000
"""Columns where nobody looks at a screen: nothing is cut or folded for a program that reads on."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to the command line, which ends as with every other command; rich would exit with 1."""
        raise BrokenPipeError


def console() -> Console:
    """A console that takes no markup from the outside."""
    made = _Console(markup=False, highlight=False, soft_wrap=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PIPE_WIDTH
    return made


def status_screen(document: dict[str, Any]) -> RenderableType:
    """The whole document as a person reads it."""
    parts: list[RenderableType] = [_headline(document), _second_line(document)]
    if document.get("paused"):
        parts.append(Text(f"paused {pause_line(document['paused'])}", style="yellow"))
    if document.get("incident"):
        parts.append(Text(f"incident {incident_line(document['incident'])}", style="red"))
    if document.get("sessions"):
        parts.append(_sessions(document["sessions"]))
    parts += [Text(f"- {note}") for note in document.get("notes", [])]
    return Group(*parts)


def _headline(document: dict[str, Any]) -> Text:
    status, connections = document["status"], document["connections"]
    line = Text(status, style=f"bold {COLOURS.get(status, '')}".strip())
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in connections.items() if name != "total")
    return line.append(f"  {connections['total']} sessions: {counts}", style="not bold default")


def _second_line(document: dict[str, Any]) -> Text:
    gateway, resources = document["gateway"], document.get("resources") or {}
    memory = resources.get("memory") or {}
    words = [
        f"gateway {gateway['kind']} {gateway.get('version') or ''}".rstrip(),
        {True: "answers", False: "does not answer", None: "not asked yet"}[gateway.get("reachable")],
        f"pid {gateway['pid']}" if gateway.get("pid") else "pid unknown",
    ]
    if resources.get("cpu") is not None:
        words.append(f"cpu {resources['cpu']:.0f} %")
    if memory.get("rss_bytes") is not None:
        words.append(f"memory {memory['rss_bytes'] / 1e6:.0f} MB")
    words.append("ready" if document.get("ready") else "not ready")
    return Text(", ".join(words))


def pause_line(paused: dict[str, Any]) -> str:
    """Since when, until when, by whom and why."""
    until = f" until {_local(paused['until'])}" if paused.get("until") else ""
    by = f" by {paused['by']}" if paused.get("by") else ""
    why = f": {paused['reason']}" if paused.get("reason") else ""
    return f"since {_local(paused['since'])}{until}{by}{why}"


def incident_line(incident: dict[str, Any]) -> str:
    """Since when, how many it concerns, and why."""
    canary = f", {incident['canary']} is the canary" if incident.get("canary") else ""
    number = count(len(incident["sessions"]), "session")
    return f"since {_local(incident['since'])}: {number}, likely because {sentence(incident['cause'])}{canary}"


def _sessions(sessions: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    # A name is folded and never cut: it is what the other commands are given.
    for column in ("session", "condition", "since", "reason", "next"):
        table.add_column(column, no_wrap=column in ("condition", "since"), overflow="fold", min_width=len(column))
    for one in sessions:
        condition = one["condition"]
        table.add_row(
            Text(one["name"]),
            Text(condition, style=COLOURS.get(condition, "")),
            Text(_local(one["since"])),
            Text("" if one["reason"] == "none" else one["reason"]),
            Text(one.get("next") or ""),
        )
    return table


def _local(text: str) -> str:
    """Today as a time, else with its date."""
    at = datetime.fromisoformat(text).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return at.strftime("%H:%M:%S" if at.date() == today else "%Y-%m-%d %H:%M")
