"""The last word right before a remedy."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from decide_scenes import EVOLUTION, failed, instance, starting, stopped, told, unreadable, wants_qr, working
from msgspec.structs import replace

from wasupervisor.decide.confirm import gateway_objection, is_other_run, objection
from wasupervisor.model.observation import CloseLook, Look, ProcessReading, Stores, Trouble, Uplink, UplinkState
from wasupervisor.model.policy import LimitRule, Policy
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


# A stop


PARK = Remedy("a1", RemedyKind.PARK_SESSION, "a", "why", cause=Reason.STUCK_STARTING)


@pytest.mark.parametrize(
    ("seen", "against"),
    [
        (starting(), None),
        (failed(), None),
        (working(), CAME_BACK),
        (stopped(), STOPPING),
        (wants_qr(), PERSON),
        (told(State.FAILED, Reason.LOGGED_OUT), None),
    ],
)
def test_the_state_right_before_a_stop_decides(seen: Sighting, against: str | None) -> None:
    assert objection(PARK, look(seen), UP, Policy()) == against


@pytest.mark.parametrize("remedy", [PARK, replace(PARK, ordered=True)])
@pytest.mark.parametrize("uplink", [DOWN, UNKNOWN])
def test_a_stop_of_a_starting_session_needs_a_good_uplink_and_no_other_one_does(remedy: Remedy, uplink: Uplink) -> None:
    assert objection(remedy, look(starting()), uplink, Policy()) == "the uplink to WhatsApp is not good now"
    assert objection(remedy, look(failed()), uplink, Policy()) is None
    assert objection(remedy, CloseLook(), uplink, Policy()) == "its state could not be read again"


def test_a_stop_of_a_starting_session_while_nothing_else_works_is_only_for_the_lone_one() -> None:
    assert objection(PARK, look(starting(), others=False), UP, Policy()) == ALONE
    assert objection(replace(PARK, lone=True), look(starting(), others=False), UP, Policy()) is None


@pytest.mark.parametrize("store_ok", [True, None, False])
def test_a_stop_needs_no_store(store_ok: bool | None) -> None:
    assert objection(PARK, look(starting(), store_ok=store_ok), UP, Policy()) is None


def test_what_claims_to_work_is_restarted_only_where_just_that_is_doubted() -> None:
    doubted = replace(RESTART, cause=Reason.FALSE_WORKING)
    assert objection(doubted, look(working()), UP, Policy()) is None
    assert objection(replace(doubted, cause=Reason.UNEXPLAINED), look(working()), UP, Policy()) == CAME_BACK


def test_a_failed_session_without_a_row_in_the_ladder_is_not_restarted_and_a_starting_one_is() -> None:
    assert objection(RESTART, look(told(State.FAILED, Reason.BAD_SESSION)), UP, EVOLUTION) is not None
    assert objection(RESTART, look(told(State.STARTING, Reason.RECONNECTING)), UP, Policy()) is None
    assert objection(START, look(stopped()), UP, Policy()) is None


# The gateway process


GATEWAY = Remedy("a1", RemedyKind.RESTART_GATEWAY, "", "why")
HUNG = replace(GATEWAY, cause=Reason.GATEWAY_HUNG)
GONE = replace(GATEWAY, cause=Reason.GATEWAY_GONE)
REFUSED = replace(GATEWAY, cause=Reason.UPGRADE_REFUSED, sessions=("a", "b"))
STUCK = replace(GATEWAY, cause=Reason.STUCK_STARTING, sessions=("a", "b"))
ENGINE = replace(GATEWAY, cause=Reason.ENGINE_GONE, sessions=("a", "b"))
WITHOUT = ProcessReading(exists=True, pid=1, born=1.0, processes=2, programs=("sh",))
WITH = replace(WITHOUT, programs=("gows", "sh"))
FIGHT = replace(GATEWAY, cause=Reason.FIGHT, sessions=("a",))
FALSE = replace(GATEWAY, cause=Reason.FALSE_WORKING, sessions=("a",))
SILENT = Look(reachable=False, trouble=Trouble.TIMED_OUT, detail="no answer within 10 s")
THERE, AWAY, HIDDEN = ProcessReading(exists=True), ProcessReading(exists=False), ProcessReading()

MEMORY = replace(GATEWAY, cause=Reason.MEMORY_HIGH)
CPU = replace(GATEWAY, cause=Reason.CPU_HIGH)
LEAK = replace(GATEWAY, cause=Reason.MEMORY_LEAK)
LIMITED = Policy(memory=LimitRule(restart=1000.0), cpu=LimitRule(restart=90.0))

NO_STORE = "the gateway's database does not answer: a gateway that starts without it throws its identities away"
NO_WAY = "WhatsApp cannot be reached from here: no session would come back"
UNSURE = "it is not known whether WhatsApp can be reached from here"
ANSWERS = "the gateway answers again"
IS_BACK = "its process is there again, or it is not known that it is gone"
IS_GONE = "its process is not there any more, or it is not known whether it is"
UNREAD = "the list of sessions could not be read again: no answer within 10 s"
ALL_BACK = "the sessions came back by themselves"
HAS_ENGINE = "the process of its engine is there again, or it is not known that it is gone"
NEEDS_NONE = "a session works, so that the gateway cannot be without its engine"
MILDER = "a session works again, so that a restart of the others alone is milder"


def shows(*sightings: Sighting, store_ok: bool | None = None) -> Look:
    return Look(reachable=True, sightings=sightings, store_ok=store_ok)


@pytest.mark.parametrize(
    ("remedy", "seen", "process", "uplink", "against"),
    [
        (HUNG, SILENT, THERE, UP, None),
        (HUNG, SILENT, THERE, UNKNOWN, None),
        (HUNG, SILENT, THERE, DOWN, NO_WAY),
        (HUNG, SILENT, AWAY, UP, IS_GONE),
        (HUNG, SILENT, HIDDEN, UP, IS_GONE),
        (HUNG, shows(starting()), THERE, UP, ANSWERS),
        (HUNG, Look(reachable=True, detail="answered with 500"), THERE, UP, ANSWERS),
        (GONE, SILENT, AWAY, UP, None),
        (GONE, SILENT, THERE, UP, IS_BACK),
        (GONE, SILENT, HIDDEN, UP, IS_BACK),
        (GONE, shows(), AWAY, UP, ANSWERS),
        (REFUSED, shows(starting("a"), starting("b")), THERE, UP, None),
        (REFUSED, shows(starting("a"), starting("b")), HIDDEN, UP, None),
        (REFUSED, shows(working("a"), starting("b")), THERE, UP, None),
        (REFUSED, shows(working("a")), THERE, UP, None),
        (REFUSED, shows(working("a"), working("b")), THERE, UP, ALL_BACK),
        (REFUSED, SILENT, THERE, UP, UNREAD),
        (REFUSED, shows(starting("a"), starting("b")), THERE, DOWN, NO_WAY),
        (REFUSED, shows(starting("a"), starting("b")), THERE, UNKNOWN, UNSURE),
        (STUCK, shows(starting("a"), starting("b")), THERE, UP, None),
        (STUCK, shows(working("a"), starting("b")), THERE, UP, MILDER),
        (STUCK, shows(starting("a"), starting("b"), working("c")), THERE, UP, MILDER),
        (ENGINE, shows(failed("a"), starting("b")), WITHOUT, UP, None),
        (ENGINE, shows(failed("a"), starting("b")), WITH, UP, HAS_ENGINE),
        (ENGINE, shows(failed("a"), starting("b")), THERE, UP, HAS_ENGINE),
        (ENGINE, shows(failed("a"), starting("b")), HIDDEN, UP, HAS_ENGINE),
        (ENGINE, shows(failed("a"), working("c")), WITHOUT, UP, NEEDS_NONE),
        (ENGINE, shows(working("a"), working("b")), WITHOUT, UP, ALL_BACK),
        (ENGINE, SILENT, WITHOUT, UP, UNREAD),
        (FIGHT, shows(working("a")), THERE, UP, None),
        (FALSE, shows(working("a")), THERE, UP, None),
        (FALSE, SILENT, THERE, UP, UNREAD),
    ],
)
def test_the_look_right_before_a_restart_of_the_gateway_decides(
    remedy: Remedy, seen: Look, process: ProcessReading, uplink: Uplink, against: str | None
) -> None:
    assert gateway_objection(remedy, seen, process, uplink, Policy()) == against
    assert gateway_objection(replace(remedy, ordered=True, forced=True), seen, process, uplink, Policy()) is None


LESS = "its memory is below its limit again, or it is not known that it is not"
IDLE = "its CPU is below its limit again, or it is not known that it is not"
NO_MEMORY = "it is not known how much memory it uses"
MUTE = "the gateway does not answer just now, so that nobody knows how its store is"


@pytest.mark.parametrize(
    ("remedy", "seen", "process", "uplink", "against"),
    [
        (MEMORY, shows(working("a")), ProcessReading(rss_bytes=1000), UP, None),
        (MEMORY, shows(), ProcessReading(rss_bytes=999), UP, LESS),
        (MEMORY, shows(), ProcessReading(cpu_percent=100.0), UP, LESS),
        (MEMORY, shows(), ProcessReading(rss_bytes=1000), UNKNOWN, UNSURE),
        (MEMORY, shows(), ProcessReading(rss_bytes=1000), DOWN, NO_WAY),
        (MEMORY, shows(store_ok=False), ProcessReading(rss_bytes=1000), UP, NO_STORE),
        (MEMORY, Look(reachable=True, detail="answered with 500"), ProcessReading(rss_bytes=1000), UP, None),
        (MEMORY, SILENT, ProcessReading(rss_bytes=1000), UP, MUTE),
        (CPU, shows(working("a")), ProcessReading(cpu_percent=90.0), UP, None),
        (CPU, shows(working("a")), ProcessReading(cpu_percent=89.0, rss_bytes=9999), UP, IDLE),
        (CPU, shows(working("a")), ProcessReading(), UP, IDLE),
        (LEAK, shows(working("a")), ProcessReading(rss_bytes=1), UP, None),
        (LEAK, shows(working("a")), ProcessReading(), UP, NO_MEMORY),
    ],
)
def test_right_before_a_restart_for_its_resources_they_are_read_again(
    remedy: Remedy, seen: Look, process: ProcessReading, uplink: Uplink, against: str | None
) -> None:
    assert gateway_objection(remedy, seen, process, uplink, LIMITED) == against


@pytest.mark.parametrize("remedy", [HUNG, GONE, REFUSED, FALSE])
def test_without_its_database_only_force_restarts_the_gateway(remedy: Remedy) -> None:
    process = AWAY if remedy is GONE else THERE
    seen = Look(reachable=False, store_ok=False) if remedy in (HUNG, GONE) else shows(starting("a"), store_ok=False)
    for one in (remedy, replace(remedy, ordered=True)):
        assert gateway_objection(one, seen, process, UP, EVOLUTION) == NO_STORE
    assert gateway_objection(replace(remedy, ordered=True, forced=True), seen, process, UP, EVOLUTION) is None


def test_an_evolution_that_answers_must_say_that_its_database_is_well() -> None:
    against = "it is not known whether the gateway's database is well"
    for ordered in (False, True):
        remedy = replace(FALSE, ordered=ordered)
        assert gateway_objection(remedy, shows(working("a")), THERE, UP, EVOLUTION) == against
        assert gateway_objection(remedy, shows(working("a"), store_ok=True), THERE, UP, EVOLUTION) is None
        assert gateway_objection(remedy, shows(working("a")), THERE, UP, Policy()) is None
    assert gateway_objection(HUNG, SILENT, THERE, UP, EVOLUTION) is None


@pytest.mark.parametrize(
    ("seen", "process"),
    [(shows(working("a")), THERE), (SILENT, THERE), (SILENT, AWAY), (SILENT, HIDDEN)],
)
def test_an_operators_restart_of_the_gateway_needs_only_store_and_uplink(seen: Look, process: ProcessReading) -> None:
    ordered = replace(GATEWAY, ordered=True)
    assert gateway_objection(ordered, seen, process, UP, Policy()) is None
    assert gateway_objection(ordered, seen, process, DOWN, Policy()) == NO_WAY
    assert gateway_objection(ordered, seen, process, DOWN, Policy(uplink_watched=False)) is None


def test_an_uplink_that_nobody_watches_is_good() -> None:
    for uplink in (UP, DOWN, UNKNOWN):
        assert gateway_objection(STUCK, shows(starting("a")), THERE, uplink, Policy(uplink_watched=False)) is None


def test_a_detail_is_told_only_of_what_could_not_be_read() -> None:
    seen = CloseLook(sighting=working(), others_working=True, detail="took 9 s")
    assert objection(RESTART, seen, UP, Policy()) == CAME_BACK
    assert objection(RESTART, CloseLook(), UP, Policy()) == "its state could not be read again"
    unread = replace(SILENT, detail="")
    assert gateway_objection(STUCK, unread, THERE, UP, Policy()) == "the list of sessions could not be read again"


# Redis and the disk

WRONG = "its credential key in Redis is not whole: a restart would throw its identity away"
NO_REDIS = "the gateway's Redis does not answer: a restart now would throw identities away"
FULL = "the disk is nearly full"
KEYS_WRONG = "credential keys in Redis are not whole: their identities would be lost"
REDIS_AWAY = "the gateway's Redis does not answer: a gateway that starts without it throws its identities away"


@pytest.mark.parametrize(
    ("stores", "alone", "ordered", "forced"),
    [
        (Stores(redis_ok=True), None, None, None),
        (Stores(mistyped=("b",)), None, None, None),
        (Stores(mistyped=("b", "a")), WRONG, WRONG, WRONG),
        (Stores(lost=("a",)), WRONG, WRONG, WRONG),
        (Stores(redis_ok=False), NO_REDIS, NO_REDIS, None),
        (Stores(disk_low=True), FULL, None, None),
    ],
)
def test_redis_and_the_disk_are_looked_at_once_more(
    stores: Stores, alone: str | None, ordered: str | None, forced: str | None
) -> None:
    assert objection(RESTART, look(failed()), UP, Policy(), stores) == alone
    assert objection(START, look(stopped()), UP, Policy(), stores) == alone
    assert objection(ORDERED, look(failed()), UP, Policy(), stores) == ordered
    assert objection(FORCED, look(failed()), UP, Policy(), stores) == forced
    assert objection(PARK, look(failed()), UP, Policy(), stores) is None


@pytest.mark.parametrize(
    ("stores", "alone", "forced"),
    [
        (Stores(redis_ok=True), None, None),
        (Stores(mistyped=("z",)), KEYS_WRONG, KEYS_WRONG),
        (Stores(lost=("z",)), KEYS_WRONG, KEYS_WRONG),
        (Stores(redis_ok=False), REDIS_AWAY, None),
        (Stores(disk_low=True), FULL, None),
    ],
)
def test_redis_and_the_disk_are_looked_at_once_more_before_a_restart_of_the_gateway(
    stores: Stores, alone: str | None, forced: str | None
) -> None:
    ordered = replace(HUNG, ordered=True)
    for remedy, against in ((HUNG, alone), (ordered, alone), (replace(ordered, forced=True), forced)):
        assert gateway_objection(remedy, SILENT, THERE, UP, Policy(), stores) == against


def test_what_somebody_else_has_restarted_meanwhile_is_not_restarted_by_us() -> None:
    """Seed 3010691: a fight was over with the process that it was in."""
    seen = shows(working("a"))
    assert gateway_objection(FIGHT, seen, THERE, UP, Policy(), restarted=False) is None
    against = gateway_objection(FIGHT, seen, THERE, UP, Policy(), restarted=True)
    assert against == "the gateway process was restarted meanwhile"
    assert gateway_objection(replace(FIGHT, ordered=True), seen, THERE, UP, Policy(), restarted=True) is None


@pytest.mark.parametrize(
    ("before", "now", "other"),
    [
        (("4@1.00", "a"), ("4@1.00", "a"), False),
        (("4@1.00", "a"), ("5@2.00", "a"), True),
        (("4@1.00", "a"), ("4@1.00", "b"), True),
        (("4@1.00", None), (None, "b"), False),
        ((None, "a"), (None, "b"), True),
        ((None, None), (None, None), False),
    ],
)
def test_another_run_is_one_that_the_process_or_the_api_tells(
    before: tuple[str | None, str | None], now: tuple[str | None, str | None], other: bool
) -> None:
    assert is_other_run(run_of(*before), run_of(*now)) is other


def run_of(process: str | None, api: str | None) -> Readings:
    """A look at a process and at what the API says of its run."""
    pid, _, born = (process or "").partition("@")
    seen = ProcessReading() if process is None else ProcessReading(exists=True, pid=int(pid), born=float(born))
    return Readings(Look(reachable=True, run=api), seen)


class Readings(NamedTuple):
    """As `runtime/watch.py` has them."""

    look: Look
    process: ProcessReading
