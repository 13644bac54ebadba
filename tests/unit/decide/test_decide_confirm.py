"""The last word right before a remedy."""

from __future__ import annotations

import pytest
from decide_scenes import EVOLUTION, failed, instance, starting, stopped, told, unreadable, wants_qr, working
from msgspec.structs import replace

from wasupervisor.decide.confirm import objection
from wasupervisor.model.observation import CloseLook, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Remedy, RemedyKind
from wasupervisor.model.sessions import Reason, Sighting, State

RESTART = Remedy("a1", RemedyKind.RESTART_SESSION, "a", "why")
START = Remedy("a1", RemedyKind.START_SESSION, "a", "why")
LONE = replace(RESTART, lone=True)
ORDERED = replace(RESTART, ordered=True)
FORCED = replace(RESTART, ordered=True, forced=True)
UP, DOWN, UNKNOWN = (Uplink(state) for state in (UplinkState.UP, UplinkState.DOWN, UplinkState.UNKNOWN))
CAME_BACK = "it came back by itself"
PERSON = "it waits for a person now"
UNCLEAR = "the gateway does not say clearly how it is"
STOPPING = "it is being stopped"
STARTED = "it is not stopped any more"
FATAL = "the gateway now tells a reason that no restart heals"
ALONE = "no other session works any more: a restart of a starting one could kill the gateway"


def look(sighting: Sighting | None, *, others: bool | None = True, store_ok: bool | None = None) -> CloseLook:
    return CloseLook(sighting=sighting, others_working=others, store_ok=store_ok)


@pytest.mark.parametrize(
    ("remedy", "seen", "against"),
    [
        (RESTART, failed(), None),
        (RESTART, starting(), None),
        (RESTART, working(), CAME_BACK),
        (RESTART, wants_qr(), PERSON),
        (RESTART, unreadable(), UNCLEAR),
        (RESTART, told(State.NOT_LOADED, Reason.NOT_LOADED), UNCLEAR),
        (RESTART, stopped(), STOPPING),
        (RESTART, told(State.FAILED, Reason.LOGGED_OUT), FATAL),
        (RESTART, told(State.FAILED, Reason.BANNED), FATAL),
        (RESTART, told(State.FAILED, Reason.RATE_LIMITED), FATAL),
        (START, stopped(), None),
        (START, starting(), STARTED),
        (START, failed(), STARTED),
        (START, working(), CAME_BACK),
        (START, wants_qr(), PERSON),
        (START, unreadable(), UNCLEAR),
        (LONE, starting(), None),
        (ORDERED, working(), None),
        (ORDERED, wants_qr(), None),
        (ORDERED, stopped(), None),
        (FORCED, working(), None),
    ],
)
def test_the_state_right_before_decides(remedy: Remedy, seen: Sighting, against: str | None) -> None:
    assert objection(remedy, look(seen), UP, Policy()) == against


@pytest.mark.parametrize("others", [False, None])
def test_a_starting_session_is_not_restarted_when_nothing_else_is_known_to_work_unless_as_the_canary(
    others: bool | None,
) -> None:
    assert objection(RESTART, look(starting(), others=others), UP, Policy()) == ALONE
    assert objection(LONE, look(starting(), others=others), UP, Policy()) is None
    assert objection(ORDERED, look(starting(), others=others), UP, Policy()) is None
    assert objection(RESTART, look(failed(), others=others), UP, Policy()) is None


@pytest.mark.parametrize("remedy", [RESTART, START, LONE, ORDERED])
@pytest.mark.parametrize("uplink", [DOWN, UNKNOWN])
def test_without_a_good_uplink_only_force_goes_on(remedy: Remedy, uplink: Uplink) -> None:
    against = "the uplink to WhatsApp is not good now"
    assert objection(remedy, look(failed()), uplink, Policy()) == against
    assert objection(FORCED, look(failed()), uplink, Policy()) is None
    assert objection(RESTART, look(failed()), uplink, Policy(uplink_watched=False)) is None


@pytest.mark.parametrize("remedy", [RESTART, LONE, ORDERED])
def test_a_state_that_could_not_be_read_again_only_force_ignores(remedy: Remedy) -> None:
    unread = CloseLook(detail="timed out")
    assert objection(remedy, unread, UP, Policy()) == "its state could not be read again: timed out"
    assert objection(FORCED, unread, UP, Policy()) is None


@pytest.mark.parametrize("remedy", [RESTART, LONE, ORDERED])
def test_evolutions_database_must_be_known_well_and_wahas_not_known_bad(remedy: Remedy) -> None:
    seen = instance("connecting", State.STARTING, Reason.RECONNECTING)
    against = "the gateway's database is not known to be well"
    for store_ok, evolution, waha in ((True, None, None), (None, against, None), (False, against, against)):
        assert objection(remedy, look(seen, store_ok=store_ok), UP, EVOLUTION) == evolution
        assert objection(remedy, look(seen, store_ok=store_ok), UP, Policy()) == waha


def test_evolution_that_fell_to_close_meanwhile_is_not_restarted() -> None:
    closed = instance("close", State.FAILED, Reason.CONNECTION_LOST)
    assert objection(RESTART, look(closed, store_ok=True), UP, EVOLUTION) == FATAL
