"""The gateway as a whole: silence, lists that cannot be read, restarts, broken connections."""

from __future__ import annotations

import pytest
from decide_scenes import CALM, EVOLUTION, Stage, failed, starting, stopped, working
from msgspec.structs import replace

from wasupervisor.model.health import Status
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import Trouble
from wasupervisor.model.remedies import Outcome, RemedyKind
from wasupervisor.model.sessions import Condition, Reason, State

RESTART, START = RemedyKind.RESTART_SESSION, RemedyKind.START_SESSION


@pytest.mark.parametrize("how", ["reachable", "readable"])
def test_a_list_that_cannot_be_read_never_means_that_the_sessions_are_gone(how: str) -> None:
    stage = Stage().healthy("a", "b")
    setattr(stage, how, False)
    stage.look()
    assert stage.health().condition is Condition.HEALTHY
    assert stage.health().group == "active"
    stage.run(7200)
    health = stage.whole
    assert health.status is Status.UNHEALTHY
    assert not health.ready
    assert health.connections.failed == health.connections.total == 2
    assert stage.health().state is State.UNKNOWN
    assert stage.health().condition is Condition.UNKNOWN
    assert stage.health().reason is (Reason.GATEWAY_DOWN if how == "reachable" else Reason.UNREADABLE)
    assert stage.made == []
    setattr(stage, how, True)
    stage.look()
    assert stage.health().condition is Condition.HEALTHY
    assert stage.status() is Status.HEALTHY


def test_a_wrong_key_from_the_first_look_on_is_not_healthy() -> None:
    """No session was ever seen, and so the status said healthy: no session is there to look after."""
    stage = Stage(readable=False)
    assert stage.look().health.status is Status.STARTING
    stage.run(300)
    assert stage.status() is Status.UNHEALTHY
    assert stage.whole.why == "the list of sessions cannot be read: answered with 500"
    assert not stage.whole.ready


def test_a_gateway_that_is_down_from_the_first_look_on_is_not_healthy() -> None:
    stage = Stage(reachable=False)
    assert stage.look().health.status is Status.STARTING
    assert stage.look().health.status is Status.UNHEALTHY


def test_a_gateway_without_sessions_is_healthy_and_ready() -> None:
    decision = Stage().run(60).decision
    assert decision is not None
    assert decision.health.status is Status.HEALTHY
    assert decision.health.ready
    assert decision.health.why == "no session is there to look after"


def test_no_remedy_while_nobody_answers_and_none_is_told_for_each_look() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run(5)
    for turn in range(100):
        stage.readable = turn % 2 == 1
        assert stage.look().remedies == () or stage.readable
    assert stage.withheld == []


def test_silence_is_told_once_and_its_end_too() -> None:
    stage = Stage().healthy()
    stage.reachable = False
    stage.run(300)
    stage.reachable = True
    stage.run(60)
    assert stage.told(EntryKind.GATEWAY) == [
        "the gateway does not answer: no answer within 10 s",
        "the gateway answers again after 5 min",
    ]


def test_one_look_without_an_answer_is_not_told() -> None:
    stage = Stage().healthy()
    stage.reachable = False
    stage.look()
    stage.reachable = True
    stage.run(60)
    assert stage.told(EntryKind.GATEWAY) == []


def test_a_list_that_cannot_be_read_is_told_once_for_each_trouble() -> None:
    stage = Stage().healthy()
    stage.readable = False
    stage.run(300)
    stage.readable = True
    stage.look()
    assert stage.told(EntryKind.GATEWAY) == [
        "the list of sessions cannot be read: answered with 500",
        "the list of sessions can be read again",
    ]


def test_what_of_a_list_cannot_be_read_is_told_once_and_its_end_too() -> None:
    stage = Stage().healthy()
    stage.lacking = "the database answered with 500"
    stage.run(60)
    assert stage.health().condition is Condition.HEALTHY
    stage.lacking = ""
    stage.run(60)
    assert stage.told(EntryKind.GATEWAY) == [
        "not all can be read: the database answered with 500",
        "the list of sessions can be read again",
    ]


def test_after_silence_the_sessions_have_their_grace_also_where_no_run_is_told() -> None:
    policy = replace(EVOLUTION, startup_grace=60.0, failing_after=1.0, starting_timeout=1.0)
    stage = Stage(policy=policy, store_ok=True, process=None).healthy("a", "b")
    stage.reachable, stage.trouble = False, Trouble.REFUSED
    stage.run(30)
    stage.reachable = True
    stage.change(starting())
    stage.run(55)
    assert stage.made == []
    stage.run(30)
    assert stage.made == [(RESTART, "a")]


def test_a_restart_of_the_gateway_is_told_and_gives_grace() -> None:
    stage = Stage(policy=replace(CALM, startup_grace=120.0)).healthy("a", "b")
    stage.run(120)
    stage.process = "P2"
    stage.change(failed())
    stage.run(115)
    assert stage.told(EntryKind.GATEWAY) == [
        "the gateway process was restarted, not by us; its sessions have 2 min to come back"
    ]
    assert stage.made == []
    stage.run(20)
    assert stage.made == [(RESTART, "a")]


def test_a_broken_connection_counts_as_a_restart_of_the_gateway() -> None:
    stage = Stage(policy=replace(CALM, startup_grace=30.0), answers=Outcome.DROPPED).healthy("a")
    stage.change(starting())
    stage.run_until_remedy()
    stage.reachable, stage.process = False, None
    stage.look()
    assert len(stage.memory.gateway.restarts) == 1
    assert stage.memory.gateway.grace_until == stage.now + 30
    assert "The gateway dropped the connection 0 s ago, in a restart of a session, and is not back yet." in stage.notes
    stage.reachable, stage.process = True, "P2"
    stage.change(working())
    stage.run(60)
    assert "the gateway process was restarted, by our session restart; its sessions have 30 s to come back" in (
        stage.told(EntryKind.GATEWAY)
    )
    assert "not back yet" not in stage.notes
    assert stage.health().condition is Condition.HEALTHY


def test_a_new_process_that_is_seen_together_with_the_broken_connection_is_our_doing() -> None:
    stage = Stage(answers=Outcome.DROPPED).healthy("a")
    stage.change(starting())
    stage.run_until_remedy()
    stage.process = "P2"
    stage.look()
    assert stage.told(EntryKind.GATEWAY)[0].startswith("the gateway process was restarted, by our session restart")


def test_no_starting_session_is_restarted_when_that_has_killed_the_gateway_often_enough() -> None:
    stage = Stage(answers=Outcome.DROPPED, policy=replace(CALM, poll_every=10.0)).healthy("a")
    stage.change(starting())
    stage.run(2 * 86400)
    restarts = [when for when, _ in stage.remedies]
    assert all(sum(1 for one in restarts if when <= one < when + 3600) <= 2 for when in restarts)
    assert all(sum(1 for one in restarts if when <= one < when + 86400) <= 6 for when in restarts)
    assert len(restarts) >= 11


def test_the_budget_of_gateway_restarts_holds_over_a_restart_of_the_supervisor() -> None:
    stage = Stage(answers=Outcome.DROPPED).healthy("a")
    stage.change(starting())
    while len(stage.memory.gateway.restarts) < 2:
        stage.look()
    count = len(stage.remedies)
    for _ in range(5):
        stage.restart_supervisor()
        stage.run(400)
    assert len(stage.remedies) == count


def test_kill_minus_nine_with_an_old_core_that_starts_nothing() -> None:
    stage = Stage(policy=replace(CALM, startup_grace=30.0)).healthy("default")
    died = stage.now
    stage.reachable, stage.process = False, None
    stage.look()
    stage.reachable, stage.process = True, "P2"
    stage.change(stopped("default"))
    remedy = stage.run_until_remedy()
    assert (remedy.kind, remedy.session) == (START, "default")
    assert stage.now - died <= 45


def test_a_new_run_that_the_api_alone_tells_is_seen_also_after_silence() -> None:
    stage = Stage(process=None, api="R1").healthy()
    stage.reachable = False
    stage.run(30)
    stage.reachable, stage.api = True, "R2"
    stage.look()
    assert any("the gateway process was restarted" in one for one in stage.told(EntryKind.GATEWAY))
