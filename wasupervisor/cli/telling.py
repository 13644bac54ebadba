"""How one session is told to a person: `explain` and `check` use the same words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wasupervisor.decide.diagrams import CONDITIONS
from wasupervisor.decide.reasons import TABLE
from wasupervisor.model.sessions import Condition, Reason

MEANING: dict[str, str] = {place.name: place.sentence for place in CONDITIONS.places}

WELL = frozenset({Condition.HEALTHY, Condition.SETTLING})

PAGES = "docs/reasons"

WORD_WIDTH = 10

Row = tuple[str, str]
"""A word, and what there is to say of it."""


def headline(session: dict[str, Any]) -> str:
    """The condition, and why; where there is no reason, what the condition means."""
    condition, reason = session["condition"], session["reason"]
    why = MEANING.get(condition, "") if reason == Reason.NONE else sentence(reason)
    return f"{session['name']} is {condition}{f': {why}' if why else ''}"


def sentence(reason: str) -> str:
    """A reason in words; a daemon of a later version may know more of them."""
    return TABLE[Reason(reason)].sentence if reason in set(Reason) else reason


def claim_row(session: dict[str, Any]) -> list[Row]:
    """What the gateway says."""
    return [("gateway", f"says {session['claim']}")] if session.get("claim") else []


def ahead_rows(session: dict[str, Any], coming: str | None) -> list[Row]:
    """What happens next, what a person should do, and where there is more to read; each thing once."""
    advice, reason = (session.get("advice") or "").replace("SESSION", session["name"]), session["reason"]
    if coming == f"nothing is done: {sentence(reason)}":
        coming = "nothing is done while that is so"
    rows = [("next", coming)] if coming and coming != session.get("advice") else []
    rows += [("to do", advice)] if advice else []
    if reason in set(Reason) - {Reason.NONE}:
        rows.append(("more", f"{PAGES}/{reason}.md"))
    return rows


def lines_of(rows: Iterable[Row]) -> list[str]:
    """The rows, one below the other."""
    return [f"  {word:<{WORD_WIDTH}}{text}" for word, text in rows]
