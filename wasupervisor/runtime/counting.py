"""Counts what is written into the journal, for the metrics. It begins anew with each start, as counters may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.report.counts import Counted, Counts

NOT_TOLD = "not_told"
TOLD = "told"
"""Outcomes of entries on messages to people: whether they were delivered. Others may still be."""

_WHATEVER = None
# An entry's kind and outcome: the first row that holds says what it counts as.
_ROWS: tuple[tuple[EntryKind, frozenset[str] | None, Counted], ...] = (
    (EntryKind.RESULT, _WHATEVER, Counted.MADE),
    (EntryKind.VERIFIED, frozenset({"healed", "parked"}), Counted.HEALED),
    (EntryKind.VERIFIED, frozenset({"not_healed", "not_parked"}), Counted.NOT_HEALED),
    (EntryKind.WITHHELD, _WHATEVER, Counted.WITHHELD),
    (EntryKind.BREAKER, _WHATEVER, Counted.BREAKER_TRIPS),
    (EntryKind.ALERT, frozenset({TOLD}), Counted.ALERTS_TOLD),
    (EntryKind.ALERT, frozenset({NOT_TOLD}), Counted.ALERTS_FAILED),
)
_OF_REMEDIES = frozenset({Counted.MADE, Counted.HEALED, Counted.NOT_HEALED, Counted.WITHHELD})


class Tally:
    """The counters of one run of the supervisor."""

    def __init__(self) -> None:
        self._happened: Counter[tuple[Counted, str]] = Counter()

    def take(self, entries: Iterable[Entry]) -> None:
        """Count entries; each is to be given once."""
        for entry in entries:
            what = _counted(entry)
            if what is None:
                continue
            if what not in _OF_REMEDIES:
                self._happened[what, ""] += 1
            elif entry.remedy is not None:
                self._happened[what, entry.remedy] += 1
            # The gateway's own breaker opens with this, and has no entry for itself (decide/restarts.py).
            if what is Counted.NOT_HEALED and entry.remedy == RemedyKind.RESTART_GATEWAY:
                self._happened[Counted.BREAKER_TRIPS, ""] += 1

    def counts(self, keys_set_aside: int | None = None) -> Counts:
        """As they stand now."""
        return Counts(dict(self._happened), keys_set_aside)


def _counted(entry: Entry) -> Counted | None:
    return next(
        (
            what
            for kind, outcomes, what in _ROWS
            if entry.kind is kind and (outcomes is None or entry.outcome in outcomes)
        ),
        None,
    )
