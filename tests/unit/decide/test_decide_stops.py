"""Whose a stop is, which sessions should be up, and which are missing."""

from __future__ import annotations

import pytest
from decide_scenes import CALM, Stage, failed, names, starting, stopped, wants_qr, working
from msgspec.structs import replace

from wasupervisor.model.health import Status
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.remedies import OrderKind, Outcome, RemedyKind
from wasupervisor.model.sessions import Condition, Reason

RESTART, START = RemedyKind.RESTART_SESSION, RemedyKind.START_SESSION
DAY = 86400.0
SLOW = replace(CALM, poll_every=60.0)


# The operator's stop


def test_a_session_that_its_operator_stopped_stays_stopped() -> None:
    stage = Stage(policy=SLOW).healthy("a", "b")
    stage.change(stopped())
    stage.run(2 * DAY)
    assert stage.made == []
    assert stage.health().condition is Condition.STOPPED
    assert stage.health().group == "stopped"
    assert not stage.health().expected
    assert stage.status() is Status.HEALTHY
    assert stage.withheld == []


def test_a_stop_of_three_seconds_in_a_restart_is_not_the_operators() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(stopped())
    stage.run(10)
    assert stage.health().condition is Condition.SUSPECT
    stage.process = "P2"
    stage.run(60)
    assert set(stage.made) == {(START, "a")}


def test_the_operators_stop_outlives_the_supervisor_and_the_gateway() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(stopped())
    stage.run(30)
    stage.restart_supervisor(away=3600)
    stage.run(60)
    stage.process = "P2"
    stage.run(600)
    stage.restart_supervisor(away=3600)
    stage.process = "P3"
    stage.run(600)
    assert stage.made == []
    assert stage.health().condition is Condition.STOPPED


def test_the_operators_stop_while_the_supervisor_was_away_is_respected() -> None:
    stage = Stage().healthy("a", "b")
    stage.restart_supervisor(away=3600)
    stage.change(stopped())
    stage.run(600)
    stage.process = "P2"
    stage.run(600)
    assert stage.made == []


def test_the_operators_stop_is_respected_although_the_configuration_names_the_session() -> None:
    stage = Stage(policy=replace(CALM, expect=("a",))).healthy("a", "b")
    stage.change(stopped())
    stage.run(600)
    assert stage.made == []
    assert not stage.health().expected


def test_an_operator_who_starts_it_again_is_followed() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(stopped())
    stage.run(60)
    stage.change(working())
    stage.run(60)
    assert stage.health().condition is Condition.HEALTHY
    stage.change(failed())
    stage.run_until_remedy(60)


def test_the_stop_of_a_failing_session_by_its_operator_ends_the_remedies() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(starting())
    stage.run_until_remedy()
    stage.run(30)
    stage.change(stopped())
    stage.run(DAY / 24)
    assert stage.made == [(RESTART, "a")]
    assert stage.told(EntryKind.VERIFIED) == ["restart_session is not judged: it was stopped meanwhile"]
    assert stage.health().condition is Condition.STOPPED


def test_a_held_session_that_its_operator_stops_is_no_trouble_any_more() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run(300)
    assert stage.health().condition is Condition.FATAL
    stage.change(stopped())
    decision = stage.run(60).decision
    assert decision is not None
    assert decision.health.status is Status.HEALTHY
    assert decision.health.breakers.held == 0
    stage.change(failed())
    stage.run(600)
    assert stage.made == [(RESTART, "a")]  # it is still known that no restart heals it


def test_our_own_restart_is_not_the_operators_stop() -> None:
    stage = Stage(answers=None).healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.change(stopped())
    stage.run(30)  # the call hangs
    assert stage.health().condition is Condition.FAILING
    assert not stage.session().operator_stopped


def test_what_is_still_stopped_when_the_end_of_our_restart_can_be_heard_no_more_was_stopped_by_somebody_else() -> None:
    stage = Stage(answers=None).healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.change(stopped())
    stage.run(3600)
    assert stage.made == [(RESTART, "a")]
    assert stage.told(EntryKind.VERIFIED) == ["restart_session is not judged: it was stopped meanwhile"]
    assert stage.health().condition is Condition.STOPPED


def test_a_restart_of_ours_that_leaves_it_stopped_is_finished_by_a_start() -> None:
    stage = Stage(answers=Outcome.TIMED_OUT).healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.change(stopped())
    stage.run_until_remedy(60)
    assert stage.made == [(RESTART, "a"), (START, "a")]
    assert stage.health().reason is Reason.STOPPED_BY_REMEDY
    stage.change(working())
    stage.run(60)
    assert stage.health().condition is Condition.HEALTHY


def test_a_stop_just_after_a_restart_that_was_accepted_was_undone() -> None:
    """A gateway that accepted the restart has already started it again: the stop is somebody else's (seed 20849)."""
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.change(stopped())
    stage.run(3600)
    assert stage.made == [(RESTART, "a")]
    assert stage.health().condition is Condition.STOPPED
    assert stage.health().expected is False


def test_the_operators_stop_after_our_start_is_respected() -> None:
    stage = Stage(answers=Outcome.TIMED_OUT).healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.change(stopped())
    stage.run_until_remedy(60)
    stage.change(starting())
    stage.run(10)
    stage.change(stopped())
    stage.run(3600)
    assert stage.made == [(RESTART, "a"), (START, "a")]
    assert stage.health().condition is Condition.STOPPED


def test_an_ordered_restart_of_a_healthy_session_is_never_taken_for_health_while_it_is_stopped() -> None:
    stage = Stage(answers=None).healthy("a", "b")
    stage.order(OrderKind.RESTART)
    stage.change(stopped())
    for _ in range(11):  # with the next one its end can be heard no more
        stage.look()
        assert stage.health().condition is Condition.SETTLING
        assert stage.health().group == "recovering"


# Stopped with the process


@pytest.mark.parametrize("tells", ["process", "api"])
def test_what_ran_before_the_gateway_was_restarted_is_started(tells: str) -> None:
    stage = Stage(process=None if tells == "api" else "P1", api="R1" if tells == "api" else None).healthy("a", "b")
    stage.see(stopped("a"), stopped("b"), stopped("never"))
    setattr(stage, tells, "P2")
    stage.run(600)
    assert {name for kind, name in stage.made} == {"a", "b"}
    assert {kind for kind, name in stage.made} == {START}
    assert stage.health("never").condition is Condition.STOPPED
    assert stage.health("a").reason is Reason.STOPPED_WITH_PROCESS


def test_what_ran_before_is_started_also_when_the_supervisor_was_away_meanwhile() -> None:
    stage = Stage().healthy("a", "b")
    stage.restart_supervisor(away=3600)
    stage.process = "P2"
    stage.change(stopped())
    stage.run(60)
    assert set(stage.made) == {(START, "a")}


def test_a_session_that_the_gateway_itself_starts_again_is_left_to_it() -> None:
    stage = Stage(policy=replace(CALM, startup_grace=30.0)).healthy("a", "b")
    stage.reachable = False
    stage.run(10)
    stage.reachable, stage.process = True, "P2"
    stage.see(starting("a"), starting("b"))
    stage.run(10)
    stage.see(working("a"), working("b"))
    stage.run(60)
    assert stage.made == []


def test_what_never_worked_is_not_started_after_a_restart_of_the_gateway() -> None:
    stage = Stage()
    stage.see(wants_qr(), working("b"))
    stage.run(120)
    stage.process = "P2"
    stage.change(stopped())
    stage.run(600)
    assert stage.made == []
    assert stage.health().condition is Condition.STOPPED


def test_what_waited_for_a_person_is_not_started_after_a_restart_of_the_gateway() -> None:
    """Each start asked for another QR code (seed 712017)."""
    stage = Stage().healthy("a", "b")
    stage.change(wants_qr())
    stage.run(60)
    stage.begin_anew(stopped("a"), working("b"))
    stage.run(600)
    assert stage.made == []
    assert stage.health().condition is Condition.NEEDS_HUMAN
    assert stage.session().cause is Reason.QR_WANTED


def test_what_waited_for_a_person_and_was_then_not_listed_is_not_started_after_a_restart_of_the_gateway() -> None:
    """While it was missing it was forgotten what a person was wanted for (seed 4018568)."""
    stage = Stage().healthy("a", "b")
    stage.change(wants_qr())
    stage.run(60)
    stage.see(working("b"))
    stage.run(600)
    assert stage.health().condition is Condition.MISSING
    stage.begin_anew(stopped("a"), working("b"))
    stage.run(600)
    assert stage.made == []
    assert stage.health().condition is Condition.NEEDS_HUMAN
    assert stage.session().cause is Reason.QR_WANTED


def test_what_a_person_was_wanted_for_is_over_when_it_works() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(wants_qr())
    stage.run(60)
    stage.change(working("a"))
    stage.run(600)
    stage.begin_anew(stopped("a"), working("b"))
    stage.run(60)
    assert {kind for kind, _ in stage.made} == {RemedyKind.START_SESSION}


def test_a_stop_in_a_run_that_nobody_can_name_starts_nothing_and_is_not_hidden() -> None:
    stage = Stage(process=None, api=None).healthy("a", "b")
    stage.change(stopped())
    stage.run(3600)
    assert stage.made == []
    assert stage.health().condition is Condition.STOPPED
    assert stage.status() is Status.DEGRADED  # it may be the operator's, or not
    stage.process = "P1"
    stage.look()
    assert stage.status() is Status.HEALTHY


def test_a_stop_seen_before_the_new_run_is_read_is_not_taken_for_the_operators() -> None:
    """For a while after kill -9 neither the process nor /api/server/status could be read."""
    stage = Stage().healthy("a", "b")
    stage.process = None
    stage.change(stopped())
    stage.run(40)
    assert not stage.session().operator_stopped
    stage.process = "P2"
    stage.run(60)
    assert set(stage.made) == {(START, "a")}


def test_a_restart_that_the_api_tells_a_minute_later_is_not_a_second_one() -> None:
    """WAHA's run is asked once a minute: an operator's stop within that minute was undone."""
    stage = Stage(api="R1").healthy("a", "b")
    stage.process = "P2"  # PLUS is back within one poll, all sessions work
    stage.run(40)
    stage.api = "R2"  # its sightings changed, so it is asked
    stage.change(stopped())
    stage.run(600)
    assert stage.made == []
    assert len(stage.told(EntryKind.GATEWAY)) == 1
    assert stage.health().condition is Condition.STOPPED


def test_a_restart_that_the_process_tells_later_than_the_api_is_not_a_second_one() -> None:
    stage = Stage(api="R1").healthy("a", "b")
    stage.process, stage.api = None, "R2"
    stage.look()
    stage.process = "P2"
    stage.run(60)
    stage.process, stage.api = "P2", "R3"  # the process found is a wrapper that stays
    stage.run(60)
    stage.process, stage.api = "P4", "R4"
    stage.run(60)
    assert sum("process was restarted" in text for text in stage.told(EntryKind.GATEWAY)) == 3


# What should be up


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (CALM, set()),
        (replace(CALM, expect=("a",)), {"a"}),
        (replace(CALM, expect=("a", "c")), {"a"}),
        (replace(CALM, expect_all=True), {"a", "b"}),
    ],
)
def test_a_session_that_is_stopped_when_it_is_first_seen_is_started_only_when_the_configuration_says_so(
    policy: object, wanted: set[str]
) -> None:
    stage = Stage(policy=policy, answers=Outcome.ALREADY)  # type: ignore[arg-type]
    stage.see(stopped("a"), stopped("b"), working("w"))
    stage.run(600)
    assert {name for kind, name in stage.made} == wanted
    assert {kind for kind, _ in stage.made} <= {START}


def test_a_start_that_does_not_start_is_not_called_a_restart() -> None:
    stage = Stage(policy=replace(CALM, expect=("a",)), answers=Outcome.REFUSED)
    stage.see(stopped("a"), working("w"))
    stage.run(120)
    assert stage.health().reason is Reason.NOT_STARTED
    assert {kind for kind, _ in stage.made} == {START}


def test_expected_is_what_was_seen_healthy_or_what_the_gateway_runs_with_an_account() -> None:
    stage = Stage()
    stage.see(working("w"), failed("f"), starting("s"), stopped("x"))
    stage.look()
    assert {one: stage.health(one).expected for one in "wfsx"} == {"w": True, "f": True, "s": True, "x": False}
    assert stage.status() is Status.DEGRADED


def test_include_and_exclude_are_patterns_and_the_exclusion_wins() -> None:
    stage = Stage(policy=replace(CALM, include=("sales-*", "x"), exclude=("*-test",)))
    stage.see(failed("sales-1"), failed("sales-test"), failed("other"), working("x"))
    stage.run(300)
    assert set(stage.memory.sessions) == {"sales-1", "x"}
    assert {name for _, name in stage.made} == {"sales-1"}


def test_what_a_reload_excludes_is_let_go_at_once() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run(10)
    stage.policy = replace(CALM, exclude=("a",))
    stage.run(60)
    assert stage.made == []
    assert set(stage.memory.sessions) == {"b"}


def test_an_excluded_session_that_works_counts_as_one_that_works() -> None:
    stage = Stage(policy=replace(CALM, include=("a",)), keeper=None).healthy("a")
    stage.see(starting("a"), working("not-ours"))
    stage.run(90)
    assert stage.made == [(RESTART, "a")]


# Missing


def test_missing_is_debounced_and_gets_no_remedy() -> None:
    stage = Stage().healthy("a", "b")
    stage.see(working("b"))
    stage.run(15)
    assert stage.health().group == "active"
    stage.look()
    assert stage.health().condition is Condition.MISSING
    stage.run(3600)
    assert stage.made == []
    assert stage.health().next == "If it was deleted on purpose, nothing is to be done: it is forgotten after a day."


def test_a_session_that_is_away_for_one_look_is_not_even_told_as_settling() -> None:
    stage = Stage().healthy("a", "b")
    stage.see(working("b"))
    stage.look()
    stage.change(working())
    stage.look()
    assert stage.health().condition is Condition.HEALTHY
    assert stage.told(EntryKind.CONCLUDED) == []


@pytest.mark.parametrize("policy", [SLOW, replace(SLOW, expect_all=True)])
def test_a_session_that_is_gone_for_a_day_is_forgotten(policy: object) -> None:
    stage = Stage(policy=policy).healthy("a", "b")  # type: ignore[arg-type]
    stage.see(working("b"))
    stage.run(DAY - 600)
    assert stage.status() is Status.DEGRADED
    stage.run(1200)
    assert set(stage.memory.sessions) == {"b"}
    assert stage.status() is Status.HEALTHY


def test_a_session_that_is_expected_by_name_is_never_forgotten_and_missing_from_the_first_look() -> None:
    stage = Stage(policy=replace(SLOW, expect=("a", "b")))
    stage.see(working("b"))
    stage.run(3 * DAY)
    assert stage.health("a").condition is Condition.MISSING
    stage.policy = replace(SLOW, expect=("b",))
    stage.run(300)
    assert set(stage.memory.sessions) == {"b"}


def test_a_stopped_session_that_is_deleted_is_forgotten_at_once() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(stopped())
    stage.run(60)
    stage.see(working("b"))
    stage.run(30)
    assert set(stage.memory.sessions) == {"b"}


def test_an_empty_list_is_believed_only_after_a_while() -> None:
    stage = Stage().healthy(*names("s", 5))
    stage.see()
    stage.run(10)
    assert stage.whole.connections.active == 5
    stage.run(60)
    assert stage.whole.connections.failed == 5
    assert stage.status() is Status.UNHEALTHY
    assert stage.made == []


def test_a_session_that_was_stopped_and_is_not_listed_for_a_while_is_not_started_when_it_is_listed_again() -> None:
    """Seed 314093: forgotten meanwhile, it looked like one that the configuration expects and nobody ever started."""
    stage = Stage(policy=replace(CALM, expect_all=True)).healthy("a", "b")
    stage.change(stopped("a"))
    stage.run(60)
    stage.see(working("b"))
    stage.run(300)
    stage.see(stopped("a"), working("b"))
    stage.process = "P2"
    stage.run(300)
    assert stage.made == []
