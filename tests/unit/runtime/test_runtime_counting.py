"""What is counted of the journal."""

from __future__ import annotations

import pytest

from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.remedies import Outcome
from wasupervisor.report.counts import Counted
from wasupervisor.runtime.counting import Tally

RESTART = "restart_session"
GATEWAY = "restart_gateway"


def entry(kind: EntryKind, remedy: str | None = None, outcome: str | None = None) -> Entry:
    return Entry(kind=kind, text="x", remedy=remedy, outcome=outcome)


COUNTED = (
    (entry(EntryKind.RESULT, RESTART, Outcome.ACCEPTED), {(Counted.MADE, RESTART): 1}),
    (entry(EntryKind.RESULT, GATEWAY, Outcome.TIMED_OUT), {(Counted.MADE, GATEWAY): 1}),
    (entry(EntryKind.VERIFIED, RESTART, "healed"), {(Counted.HEALED, RESTART): 1}),
    (entry(EntryKind.VERIFIED, "park_session", "parked"), {(Counted.HEALED, "park_session"): 1}),
    (entry(EntryKind.VERIFIED, RESTART, "not_healed"), {(Counted.NOT_HEALED, RESTART): 1}),
    (entry(EntryKind.VERIFIED, "park_session", "not_parked"), {(Counted.NOT_HEALED, "park_session"): 1}),
    (
        entry(EntryKind.VERIFIED, GATEWAY, "not_healed"),
        {(Counted.NOT_HEALED, GATEWAY): 1, (Counted.BREAKER_TRIPS, ""): 1},
    ),
    (entry(EntryKind.WITHHELD, RESTART, Outcome.UNREACHABLE), {(Counted.WITHHELD, RESTART): 1}),
    (entry(EntryKind.WITHHELD, RESTART, "uplink"), {(Counted.WITHHELD, RESTART): 1}),
    (entry(EntryKind.BREAKER), {(Counted.BREAKER_TRIPS, ""): 1}),
    (entry(EntryKind.ALERT, outcome="told"), {(Counted.ALERTS_TOLD, ""): 1}),
    (entry(EntryKind.ALERT, outcome="not_told"), {(Counted.ALERTS_FAILED, ""): 1}),
)

NOT_COUNTED = (
    entry(EntryKind.REMEDY, RESTART),  # it is not made yet
    entry(EntryKind.VERIFIED, RESTART, "missing"),
    entry(EntryKind.WITHHELD),  # an order, not a remedy
    entry(EntryKind.ALERT),  # may still be delivered
    entry(EntryKind.SEEN),
    entry(EntryKind.REDIS, outcome="set_aside"),
)


@pytest.mark.parametrize(("told", "counted"), COUNTED)
def test_it_counts_as(told: Entry, counted: dict[tuple[Counted, str], int]) -> None:
    tally = Tally()
    tally.take((told,))
    assert tally.counts().happened == counted


@pytest.mark.parametrize("told", NOT_COUNTED)
def test_it_does_not_count(told: Entry) -> None:
    tally = Tally()
    tally.take((told,))
    assert tally.counts().happened == {}


def test_it_adds_up_and_what_was_handed_out_stays_as_it_was() -> None:
    tally = Tally()
    made = entry(EntryKind.RESULT, RESTART, Outcome.ACCEPTED)
    tally.take((made, made))
    before = tally.counts(keys_set_aside=7)
    tally.take((made,))
    assert (before.of(Counted.MADE, RESTART), before.keys_set_aside) == (2, 7)
    assert (tally.counts().of(Counted.MADE, RESTART), tally.counts().keys_set_aside) == (3, None)
    assert tally.counts().of(Counted.HEALED, RESTART) == 0
