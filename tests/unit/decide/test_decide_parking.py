"""Parking: a session that hammers WhatsApp in vain is stopped with its credentials kept, and stays ours."""

from __future__ import annotations

from itertools import pairwise

import pytest
from decide_scenes import (
    CALM,
    EVOLUTION,
    Stage,
    all_of,
    connecting,
    failed,
    names,
    opened,
    result_of,
    starting,
    stopped,
    told,
    working,
)
from msgspec.structs import replace

from wasupervisor.decide.memory import BreakerState
from wasupervisor.model.health import Status
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import Budget
from wasupervisor.model.remedies import OrderKind, Outcome, RemedyKind, Verdict
from wasupervisor.model.sessions import Condition, Reason, State

PARK, RESTART, START = RemedyKind.PARK_SESSION, RemedyKind.RESTART_SESSION, RemedyKind.START_SESSION
AUTO, NEVER = replace(CALM, park="auto"), replace(CALM, park="never")
DAY = 86400.0
COMMAND = "To stop its logins and keep its credentials: wasupervisor park a"


def hammering(**rest: object) -> Stage:
    """WAHA logs in over and over, and WhatsApp says 403 each time."""
    stage = Stage(**rest).healthy("a", "b")  # type: ignore[arg-type]
    stage.change(starting())
    return stage


def parked(**rest: object) -> Stage:
    """It was parked by us."""
    stage = hammering(policy=AUTO, **rest)
    while (PARK, "a") not in stage.made:
        stage.look()
    stage.change(stopped())
    return stage.run(30)


# Who is parked


def test_who_hammers_is_parked_after_the_breaker_has_opened_once() -> None:
    stage = hammering(policy=AUTO)
    stage.run(6 * 3600)
    kinds = [kind for kind, _ in stage.made]
    assert kinds[:6] == [RESTART] * 5 + [PARK]


def test_a_stop_in_vain_is_not_tried_again_at_once() -> None:
    """WAHA answered, and did not stop it: it was ordered to each 20 seconds."""
    stage = hammering(policy=AUTO)
    stage.run(6 * 3600)
    parks = [when for when, one in stage.remedies if one.kind is PARK]
    assert len(parks) > 20
    assert min(later - before for before, later in pairwise(parks)) >= 80


def test_a_parked_session_waits_for_a_person_and_nothing_is_done_with_it() -> None:
    stage = parked()
    count = len(stage.remedies)
    assert stage.told(EntryKind.VERIFIED)[-1] == (
        "parked: it is stopped and its credentials are kept, until a person recovers it"
    )
    assert stage.health().condition is Condition.NEEDS_HUMAN
    assert stage.health().reason is Reason.PARKED
    assert stage.health().group == "needs_human"
    assert stage.health().expected
    assert stage.status() is Status.DEGRADED
    assert "wasupervisor recover" in stage.notes
    stage.policy = replace(AUTO, poll_every=60.0)
    stage.run(2 * DAY)
    assert len(stage.remedies) == count
    assert stage.health().reason is Reason.PARKED


@pytest.mark.parametrize(("park", "offered"), [("ask", True), ("never", False)])
def test_with_ask_it_is_only_offered_and_with_never_not_even_that(park: str, offered: bool) -> None:
    stage = hammering(policy=replace(CALM, park=park))
    stage.run(200)
    assert stage.session().failures < 2
    assert COMMAND not in stage.notes
    stage.run(3600)
    assert {kind for kind, _ in stage.made} == {RESTART}
    assert (COMMAND in stage.notes) is offered


def test_it_is_offered_after_the_second_restart_in_vain() -> None:
    stage = hammering()
    while stage.session().failures < 2:
        assert COMMAND not in stage.notes
        stage.look()
    assert COMMAND in stage.notes


def test_evolution_has_no_stop_that_keeps_the_credentials() -> None:
    stage = Stage(policy=replace(EVOLUTION, park="auto"), store_ok=True)
    stage.see(opened("a"), opened("b"))
    stage.run(60)
    stage.change(connecting())
    stage.run(4 * 3600)
    assert PARK not in {kind for kind, _ in stage.made}
    assert "park" not in stage.notes
    reply = stage.order(OrderKind.PARK)
    assert reply.verdict is Verdict.WITHHELD
    assert reply.text == "Evolution has no stop that keeps the credentials; nothing was done"
    assert PARK not in {kind for kind, _ in stage.made}


def test_nobody_is_parked_in_an_incident() -> None:
    many = names("s", 10)
    stage = Stage(policy=AUTO).healthy("w", *many)
    stage.change(*all_of(starting, many))
    stage.run(4 * 3600)
    assert stage.whole.incident is not None
    assert PARK not in {kind for kind, _ in stage.made}


def test_who_waits_for_a_person_is_not_parked() -> None:
    stage = Stage(policy=AUTO).healthy("a", "b")
    stage.change(told(State.FAILED, Reason.LOGGED_OUT))
    stage.run(3600)
    assert stage.made == []


def test_who_flaps_for_five_minutes_is_parked() -> None:
    stage = Stage(policy=AUTO).healthy("a", "b")
    begun = stage.now
    while not stage.made:
        flap(stage)
        assert stage.now - begun < 600
    assert stage.made == [(PARK, "a")]
    assert stage.remedies[0][1].cause is Reason.FLAPPING
    assert stage.now - begun >= 300 + 30


def test_who_flaps_is_offered_to_be_parked_after_five_minutes() -> None:
    stage = Stage().healthy("a", "b")
    begun = stage.now
    while stage.health().reason is not Reason.FLAPPING:
        flap(stage)
    failing = stage.now
    while stage.now - failing < 280:
        flap(stage)
        assert COMMAND not in stage.notes
    while stage.now - begun < 600:
        flap(stage)
    assert f"a: it works and falls again, over and over. {COMMAND}" in stage.notes
    assert stage.made == []


def flap(stage: Stage) -> None:
    for seen in (starting(), working()):
        stage.change(seen)
        stage.look()


# What stands against it


@pytest.mark.parametrize(
    ("what", "value", "parks"),
    [
        ("redis_ok", False, True),
        ("store_ok", False, True),
        ("disk_low", True, True),
        ("mistyped", ("a",), True),
        ("writable", False, False),
        ("uplink", UplinkState.UNKNOWN, False),
    ],
)
def test_a_stop_needs_neither_store_nor_disk_but_a_good_uplink_while_it_is_starting(
    what: str, value: object, parks: bool
) -> None:
    stage = hammering(policy=NEVER)
    stage.run(900)
    count = len(stage.remedies)
    setattr(stage, what, value)
    reply = stage.order(OrderKind.PARK)
    assert reply.verdict is (Verdict.ACCEPTED if parks else Verdict.WITHHELD), reply.text
    assert len(stage.remedies) == count + parks


@pytest.mark.parametrize("seen", [failed(), working()])
def test_who_is_not_starting_is_parked_whatever_the_uplink(seen: object) -> None:
    stage = Stage().healthy("a", "b")
    stage.change(seen)  # type: ignore[arg-type]
    stage.uplink = UplinkState.UNKNOWN
    reply = stage.order(OrderKind.PARK)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "park_session is performed now; wasupervisor recover starts it again"
    assert stage.made == [(PARK, "a")]
    assert stage.remedies[0][1].why == "park_session: an operator ordered it"


def test_observe_parks_nobody() -> None:
    stage = hammering()
    while stage.session().breaker.trips == 0:
        stage.look()
    stage.policy = replace(AUTO, act=False)
    stage.run(1800)
    assert stage.session().breaker.trips == 1
    assert PARK not in {kind for kind, _ in stage.made}
    assert any("park_session is withheld: recovery.mode is observe" in one for one in stage.withheld)


def test_the_last_that_works_is_stopped_only_where_somebody_brings_the_gateway_back() -> None:
    """A stop of a starting session can end WAHA's process just as a restart can."""
    stage = hammering()
    while stage.session().breaker.trips == 0:
        stage.look()
    stage.policy = AUTO
    stage.see(starting())
    stage.keeper = None
    stage.run(1800)
    assert PARK not in {kind for kind, _ in stage.made}
    stage.keeper = "PM2"
    stage.run(30)
    assert stage.made[-1] == (PARK, "a")
    assert stage.remedies[-1][1].lone


def test_a_stop_needs_no_budget_of_the_session() -> None:
    stage = hammering(policy=replace(AUTO, budget=Budget(per_session_per_hour=5)))
    stage.run(1200)
    assert [kind for kind, _ in stage.made][:6] == [RESTART] * 5 + [PARK]


# What becomes of the call


@pytest.mark.parametrize("outcome", [Outcome.WITHHELD, Outcome.UNREACHABLE])
def test_a_stop_that_was_not_made_parks_nobody(outcome: Outcome) -> None:
    stage = Stage(answers=outcome).healthy("a", "b")
    stage.order(OrderKind.PARK)
    assert stage.session().parked
    stage.look()
    assert not stage.session().parked
    assert stage.session().attempt is None
    stage.change(stopped())  # by its operator
    stage.run(60)
    assert stage.health().condition is Condition.STOPPED


def test_a_stop_that_does_not_stop_it_is_in_vain_and_told() -> None:
    stage = Stage(answers=Outcome.ACCEPTED).healthy("a", "b")
    stage.order(OrderKind.PARK)
    stage.run(10)
    assert stage.session().parked
    stage.run(15)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("park_session did not stop it: WORKING 15 s later")
    assert not stage.session().parked
    assert stage.health().condition is Condition.HEALTHY


def test_the_end_of_the_stop_is_never_heard_and_it_is_parked_all_the_same() -> None:
    stage = Stage(answers=None).healthy("a", "b")
    stage.order(OrderKind.PARK)
    stage.restart_supervisor()
    stage.change(stopped())
    stage.run(90)
    assert stage.health().reason is Reason.PARKED
    assert stage.told(EntryKind.VERIFIED)[-1].startswith("parked: ")


def test_somebody_restarts_the_process_while_it_is_being_parked() -> None:
    stage = Stage().healthy("a", "b")
    stage.order(OrderKind.PARK)
    stage.look()
    stage.begin_anew(starting("a"), working("b"))
    stage.run(10)
    verdicts = stage.told(EntryKind.VERIFIED)
    assert verdicts == ["park_session is not judged: the gateway process was restarted meanwhile"]
    assert not stage.session().parked


def test_a_parked_session_leaves_no_breaker_half_open() -> None:
    stage = parked()
    assert stage.session().breaker.state is not BreakerState.HALF_OPEN


# It stays parked


def test_parked_survives_restarts_of_the_supervisor() -> None:
    stage = parked()
    stage.restart_supervisor(away=DAY)
    stage.run(120)
    assert stage.health().reason is Reason.PARKED
    assert stage.session().parked


def test_parked_survives_restarts_of_the_gateway() -> None:
    """An old CORE shows all sessions stopped after a restart: what worked is started, and what was parked is not."""
    stage = parked()
    count = len(stage.remedies)
    stage.begin_anew(stopped("a"), stopped("b"))
    stage.run(60)
    stage.change(working("b"))
    stage.run(600)
    assert set(stage.made[count:]) == {(START, "b")}
    assert stage.health().reason is Reason.PARKED


def test_parked_survives_a_restart_of_the_gateway_while_the_supervisor_is_away() -> None:
    stage = parked()
    count = len(stage.remedies)
    stage.restart_supervisor(away=DAY)
    stage.begin_anew(stopped("a"), working("b"))
    stage.run(600)
    assert len(stage.remedies) == count
    assert stage.health().reason is Reason.PARKED


def test_an_operator_who_starts_it_himself_is_followed() -> None:
    stage = parked()
    stage.change(working())
    stage.run(60)
    assert stage.health().condition is Condition.HEALTHY
    assert not stage.session().parked
    stage.change(stopped())
    stage.run(60)
    assert stage.health().condition is Condition.STOPPED
    assert stage.health().reason is Reason.STOPPED


# Orders


def test_recover_starts_a_parked_session() -> None:
    stage = parked()
    reply = stage.order(OrderKind.RECOVER)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "start_session is performed now"
    assert stage.made[-1] == (START, "a")
    stage.change(starting())
    stage.look()
    stage.change(working())
    stage.run(60)
    assert stage.health().condition is Condition.HEALTHY
    assert not stage.session().parked
    assert stage.session().breaker.state is BreakerState.CLOSED
    assert stage.session().failures == 0


def test_a_start_that_does_not_start_it_leaves_it_parked() -> None:
    stage = parked()
    assert stage.order(OrderKind.RECOVER).verdict is Verdict.ACCEPTED
    stage.run(600)
    assert stage.made[-1] == (START, "a")
    assert stage.made.count((START, "a")) == 1
    assert stage.health().reason is Reason.PARKED
    assert stage.told(EntryKind.VERIFIED)[-1].startswith("start_session did not heal it: STOPPED")


def test_recover_that_is_withheld_leaves_it_parked() -> None:
    stage = parked()
    stage.uplink = UplinkState.DOWN
    stage.see(stopped("a"))
    reply = stage.order(OrderKind.RECOVER)
    assert reply.verdict is Verdict.WITHHELD
    assert stage.health().reason is Reason.PARKED
    assert stage.session().parked


@pytest.mark.parametrize("outcome", [Outcome.WITHHELD, Outcome.UNREACHABLE])
def test_recover_whose_call_was_not_made_leaves_it_parked(outcome: Outcome) -> None:
    """The uplink was gone right before the start: the session was taken as stopped by its operator, and forgotten."""
    stage = parked(answers=Outcome.ACCEPTED)
    stage.answers = outcome
    assert stage.order(OrderKind.RECOVER).verdict is Verdict.ACCEPTED
    stage.run(60)
    assert stage.health().reason is Reason.PARKED
    assert stage.session().parked
    stage.answers = Outcome.ACCEPTED
    assert stage.order(OrderKind.RECOVER).verdict is Verdict.ACCEPTED


def test_restart_of_a_parked_session_is_a_start_too() -> None:
    stage = parked()
    assert stage.order(OrderKind.RESTART).verdict is Verdict.ACCEPTED
    stage.change(starting())
    stage.look()
    assert not stage.session().parked
    stage.change(working())
    stage.run(60)
    assert stage.health().condition is Condition.HEALTHY


def test_park_of_a_parked_or_stopped_session_does_nothing() -> None:
    stage = parked()
    count = len(stage.remedies)
    assert stage.order(OrderKind.PARK).text == "it is parked already; wasupervisor recover starts it"
    stage.change(stopped("b"))
    stage.run(60)
    reply = stage.order(OrderKind.PARK, "b")
    assert reply.text == "it is stopped already, and stays so; wasupervisor recover starts it"
    assert reply.verdict is Verdict.WITHHELD
    assert len(stage.remedies) == count
    assert not stage.session("b").parked


def test_park_waits_for_the_end_of_a_restart_and_not_for_its_verdict() -> None:
    stage = Stage(answers=None).healthy("a", "b")
    stage.change(failed())
    remedy = stage.run_until_remedy()
    reply = stage.order(OrderKind.PARK)
    assert reply.verdict is Verdict.WITHHELD
    assert reply.text == "park_session is withheld: restart_session is under way"
    stage.pending = [result_of(remedy, Outcome.ACCEPTED)]
    stage.look()
    assert stage.order(OrderKind.PARK).verdict is Verdict.ACCEPTED
    stage.pending = [result_of(stage.remedies[-1][1], Outcome.ACCEPTED)]
    stage.change(stopped())
    stage.run(60)
    assert stage.health().reason is Reason.PARKED


def test_who_waits_for_a_person_can_be_parked_by_order_only_when_it_runs() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(told(State.FAILED, Reason.BANNED))
    stage.run(60)
    assert stage.health().condition is Condition.FATAL
    assert stage.order(OrderKind.PARK).verdict is Verdict.ACCEPTED


def test_an_order_for_a_session_that_nobody_knows() -> None:
    reply = Stage().healthy("a").order(OrderKind.PARK, "nobody")
    assert reply.verdict is Verdict.UNKNOWN_SESSION
