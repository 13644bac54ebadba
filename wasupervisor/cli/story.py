"""What the journal tells of a while, as a person reads it: in order, and nothing over and over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from wasupervisor.model.journal import EntryKind

Entry = dict[str, Any]

OFTEN = 3
"""What comes so often in a row is told once, with its number."""

KIND_WIDTH = max(map(len, EntryKind)) + 1

NUMBER = re.compile(r"\d+")


def story(entries: list[Entry]) -> list[str]:
    """One line for each entry, or for each of those that come over and over, the oldest first."""
    told = [one for one, before in zip(entries, [None, *entries], strict=False) if not _is_told_already(one, before)]
    lines: list[str] = []
    for calm, run in groupby(told, key=_is_calm):
        some = list(run)
        lines += _gathered(some) if calm else [_line(one) for one in some]
    return lines


def _is_calm(entry: Entry) -> bool:
    """Whether it tells only what was seen and not yet judged: such lines come and go with each look."""
    return entry["kind"] in (EntryKind.SEEN, EntryKind.CONCLUDED) and not entry.get("warn")


def _is_told_already(entry: Entry, before: Entry | None) -> bool:
    """Whether the verdict on a remedy has just said that the breaker is open now."""
    if before is None or before["at"] != entry["at"] or before["session"] != entry["session"]:
        return False
    opened = entry["kind"] == EntryKind.BREAKER or entry.get("outcome") == "breaker"
    return opened and before["kind"] in (EntryKind.VERIFIED, EntryKind.BREAKER)


def _gathered(run: list[Entry]) -> Iterator[str]:
    """The lines of a calm while; those that say the same, but for numbers, are told where the first one stands."""
    alike: dict[tuple[str, str], list[Entry]] = {}
    for entry in run:
        alike.setdefault((entry["kind"], NUMBER.sub("#", entry["text"])), []).append(entry)
    often = {id(one): same for same in alike.values() if len(same) >= OFTEN for one in same}
    for entry in run:
        same = often.get(id(entry), [entry])
        if same[0] is entry:
            times = f" ({len(same)} times until {clock(same[-1]['at'])})" if len(same) > 1 else ""
            yield f"{_line(entry)}{times}"


def _line(entry: Entry) -> str:
    return f"  {clock(entry['at'])}  {entry['kind']:<{KIND_WIDTH}} {entry['text']}"


def clock(at: float) -> str:
    """A moment of the last hours as the clock here showed it."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S")
