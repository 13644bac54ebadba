"""From sightings over time to conditions: debounce, patience, and the ordinary hiccups of a gateway."""

from __future__ import annotations

import pytest
from decide_scenes import (
    CALM,
    EVOLUTION,
    Stage,
    failed,
    instance,
    starting,
    stopped,
    told,
    unreadable,
    wants_qr,
    working,
)
from msgspec.structs import replace

from wasupervisor.model.health import Status
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.model.sessions import Condition, Reason, State


def test_a_session_seen_working_is_healthy_only_after_stable_for() -> None:
    stage = Stage()
    stage.see(working())
    stage.look()
    assert stage.health().condition is Condition.SETTLING
    assert stage.health().group == "active"
    stage.run(25)
    assert stage.health().condition is Condition.SETTLING
    stage.run(5)
    assert stage.health().condition is Condition.HEALTHY
    assert stage.session().remembered


def test_failed_is_judged_by_count_and_by_time() -> None:
    by_time = Stage().healthy()
    by_time.change(failed())
    by_time.run(15)  # three samples, but only 10 s
    assert by_time.health().condition is Condition.SUSPECT
    by_time.look()
    assert by_time.health().condition is Condition.FAILING

    by_count = Stage(policy=replace(CALM, poll_every=20.0)).healthy()
    by_count.change(failed())
    by_count.run(40)  # 20 s, but only two samples
    assert by_count.health().condition is Condition.SUSPECT
    by_count.look()
    assert by_count.health().condition is Condition.FAILING


def test_one_bad_look_is_forgotten() -> None:
    stage = Stage().healthy()
    for _ in range(10):
        stage.change(failed())
        stage.look()
        assert stage.health().condition is Condition.SUSPECT
        stage.change(working())
        stage.run(100)
    assert stage.made == []


def test_the_half_hourly_reconnect_of_two_seconds_does_nothing() -> None:
    stage = Stage().healthy()
    for _ in range(5):
        stage.change(starting())
        stage.look()
        assert stage.health().group == "active"
        stage.change(working())
        stage.run(1800)
        assert stage.health().condition is Condition.HEALTHY
    assert stage.made == []
    assert not [one for _, one in stage.journal if one.warn]


def test_patience_runs_only_while_the_uplink_is_up() -> None:
    stage = Stage().healthy("a", "b")
    stage.uplink = UplinkState.UNKNOWN
    stage.change(starting())
    stage.run(600)
    assert stage.health().condition is Condition.FAILING
    assert stage.made == []
    stage.uplink = UplinkState.UP
    stage.run(60)
    assert stage.made == []
    assert stage.health().next == "restart_session in 5 s if it does not come back by itself"
    stage.look()
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]


def test_patience_runs_only_while_the_store_is_well() -> None:
    stage = Stage(policy=EVOLUTION, store_ok=True).healthy("a", "b")
    stage.change(instance("connecting", State.STARTING, Reason.RECONNECTING))
    stage.store_ok = None
    stage.run(600)
    assert stage.health().reason is Reason.STORE_DOWN
    stage.store_ok = True
    stage.run(60)
    assert stage.made == []
    stage.look()
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]


def test_patience_begins_anew_when_somebody_restarts_the_session() -> None:
    stage = Stage().healthy("a", "b")
    for _ in range(5):
        stage.change(starting())
        stage.run(55)
        stage.change(stopped())
        stage.look()
    assert stage.made == []


def test_a_failure_of_the_uplink_in_between_ends_patience() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(starting())
    for _ in range(5):
        stage.run(55)
        stage.uplink = UplinkState.DOWN  # with b working: unknown
        stage.look()
        stage.uplink = UplinkState.UP
    assert stage.made == []


def test_starting_after_the_gateway_hung_for_long_gets_its_patience_again() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(starting())
    stage.run(10)
    stage.reachable = False
    stage.run(600)
    stage.reachable = True
    stage.run(60)
    assert stage.made == []
    stage.change(working())
    stage.run(60)
    assert stage.health().condition is Condition.HEALTHY
    assert stage.made == []


def test_starting_gets_its_patience_again_when_the_supervisor_was_away() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(starting())
    stage.run(50)
    stage.restart_supervisor(away=3600)
    stage.run(60)
    assert stage.made == []
    stage.look()
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]


def test_failed_is_judged_anew_when_the_supervisor_was_away() -> None:
    stage = Stage(uplink=UplinkState.UNKNOWN).healthy("a", "b")
    stage.change(failed())
    stage.run(60)
    stage.uplink = UplinkState.UP
    stage.restart_supervisor(away=3600)
    stage.look()
    assert stage.made == []
    stage.look()
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]


@pytest.mark.parametrize("reason", [Reason.UNEXPLAINED, Reason.STUCK_STARTING, Reason.STOPPED_WITH_PROCESS])
@pytest.mark.parametrize("state", [State.NOT_LOADED, State.UNKNOWN, State.NEEDS_HUMAN])
def test_a_remedy_is_never_tried_in_a_state_that_it_is_not_for(state: State, reason: Reason) -> None:
    stage = Stage().healthy("a", "b")
    stage.change(told(state, reason))
    stage.run(600)
    assert stage.made == []


def test_a_bad_state_without_a_reason_is_unreadable_and_never_healthy() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(told(State.NEEDS_HUMAN, Reason.NONE))
    stage.run(600)
    assert stage.health().condition is Condition.UNKNOWN
    assert stage.made == []


def test_one_failed_look_does_not_end_patience() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(starting())
    for turn in range(14):
        stage.readable = turn % 3 != 2
        stage.look()
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]


def test_healthy_is_not_concluded_over_a_time_in_which_nobody_looked() -> None:
    stage = Stage()
    stage.see(working())
    stage.look()
    stage.reachable = False
    stage.run(120)
    stage.reachable = True
    stage.look()
    assert stage.health().condition is Condition.SETTLING
    stage.run(30)
    assert stage.health().condition is Condition.HEALTHY


def test_a_stale_sighting_proves_no_health() -> None:
    stage = Stage(policy=EVOLUTION, store_ok=True)
    stage.see(instance("open", State.WORKING))
    stage.look()
    stage.see(instance("open", State.WORKING, fresh=False))
    stage.run(60)
    assert stage.health().condition is Condition.SETTLING
    stage.see(instance("open", State.WORKING))
    stage.look()
    assert stage.health().condition is Condition.HEALTHY


def test_flapping_between_two_bad_states_is_failing_in_the_end_and_not_active_for_ever() -> None:
    stage = Stage().healthy("a", "b")
    for _ in range(20):
        stage.change(starting())
        stage.look()
        stage.change(failed())
        stage.look()
    assert stage.health().condition is Condition.FAILING
    assert stage.health().group == "failed"
    assert stage.made == []  # neither lasts for long enough that one knew what to do


def test_a_failed_glimpse_of_a_session_that_is_stuck_is_judged_anew_before_it_is_restarted() -> None:
    stage = Stage(uplink=UplinkState.UNKNOWN).healthy("a", "b")
    stage.change(starting())
    stage.run(120)
    assert stage.health().reason is Reason.STUCK_STARTING
    stage.uplink = UplinkState.UP
    stage.change(failed())
    stage.look()
    assert stage.made == []
    stage.run(15)
    assert stage.health().reason is Reason.UNEXPLAINED
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_an_unknown_status_never_triggers_anything(kind: str) -> None:
    stage = Stage(policy=replace(CALM, gateway_kind=kind), store_ok=True).healthy()
    stage.change(unreadable())
    stage.run(7200)
    assert stage.made == []
    assert stage.health().condition is Condition.UNKNOWN
    assert stage.health().group == "failed"
    told = "nothing is done: the gateway does not say how it is, or not in words that this version knows"
    assert stage.health().next == told


def test_an_unknown_status_after_a_judged_failure_stops_the_remedies() -> None:
    stage = Stage(uplink=UplinkState.UNKNOWN).healthy("a", "b")
    stage.change(failed())
    stage.run(60)
    stage.change(unreadable())
    stage.uplink = UplinkState.UP
    stage.run(3600)
    assert stage.made == []


@pytest.mark.parametrize(
    ("reason", "condition"),
    [
        (Reason.LOGGED_OUT, Condition.FATAL),
        (Reason.BANNED, Condition.FATAL),
        (Reason.REPLACED, Condition.FATAL),
        (Reason.OUTDATED, Condition.FATAL),
        (Reason.QR_WANTED, Condition.NEEDS_HUMAN),
        (Reason.QR_EXPIRED, Condition.NEEDS_HUMAN),
        (Reason.PASSKEY_WANTED, Condition.NEEDS_HUMAN),
        (Reason.RATE_LIMITED, Condition.NEEDS_HUMAN),
    ],
)
@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_a_reason_that_only_a_person_ends_gets_no_remedy(kind: str, reason: Reason, condition: Condition) -> None:
    stage = Stage(policy=replace(CALM, gateway_kind=kind), store_ok=True).healthy("a", "b")
    state = State.FAILED if condition is Condition.FATAL else State.NEEDS_HUMAN
    stage.change(told(state, reason))
    stage.run(7200)
    assert stage.made == []
    assert stage.health().condition is condition
    assert stage.health().group == "needs_human"
    assert stage.health().advice
    assert stage.health().advice in stage.notes
    assert len(stage.told(EntryKind.CONCLUDED, "a")) <= 2


def test_a_fatal_reason_holds_the_breaker_and_observed_health_frees_it() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(told(State.FAILED, Reason.LOGGED_OUT))
    decision = stage.run(60).decision
    assert decision is not None
    assert decision.health.breakers.held == 1
    assert decision.health.status is Status.DEGRADED
    stage.change(wants_qr())
    stage.run(60)
    stage.change(working())
    stage.run(40)
    assert stage.health().condition is Condition.HEALTHY
    decision = stage.look()
    assert decision.health.breakers.held == 0
    assert decision.health.status is Status.HEALTHY


def test_the_two_seconds_of_starting_between_two_rounds_of_qr_codes_change_nothing() -> None:
    stage = Stage()
    stage.see(wants_qr(), working("b"))
    stage.run(60)
    stage.journal.clear()
    for _ in range(10):
        stage.change(starting())
        stage.look()
        assert stage.health().condition is Condition.NEEDS_HUMAN
        stage.change(wants_qr())
        stage.run(160)
    assert stage.made == []
    assert stage.told(EntryKind.CONCLUDED) == []


def test_a_scanned_session_that_starts_for_long_is_left_alone_for_its_patience() -> None:
    stage = Stage()
    stage.see(wants_qr(), working("b"))
    stage.run(3600)
    stage.change(starting())
    stage.run(60)
    assert stage.made == []
    stage.look()
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]


def test_a_started_session_is_not_blamed_for_the_days_it_was_stopped() -> None:
    stage = Stage()
    stage.see(stopped(), working("b"))
    stage.run(3600)
    stage.change(starting())
    stage.look()
    assert stage.health().condition is Condition.UNKNOWN
    stage.change(failed())
    stage.run(10)
    assert stage.health().condition is Condition.UNKNOWN
    assert stage.made == []


def test_evolution_closed_while_whatsapp_cannot_be_reached_gets_nothing() -> None:
    stage = Stage(policy=EVOLUTION, store_ok=True).healthy("a", "b")
    for _ in range(50):
        stage.change(instance("close", State.FAILED, Reason.CONNECTION_LOST))
        stage.run(15)
        stage.change(instance("connecting", State.STARTING, Reason.RECONNECTING))
        stage.look()
    assert stage.made == []
    assert stage.health().condition is Condition.FAILING
    assert len(stage.told(EntryKind.CONCLUDED, "a")) <= 8
    stage.change(instance("close", State.FAILED, Reason.CONNECTION_LOST))
    stage.look()
    assert stage.health().next == (
        "nothing is done: a restart of the session does nothing while it is closed, and a connect would start a second "
        "client"
    )


def test_the_uplink_is_asked_only_while_it_may_matter() -> None:
    stage = Stage().healthy("a", "b")
    assert not stage.look().ask_uplink
    stage.change(starting())
    assert stage.look().ask_uplink
    stage.change(stopped())
    stage.run(60)
    assert not stage.look().ask_uplink  # its operator wants it so
    stage.change(wants_qr())
    stage.run(60)
    assert not stage.look().ask_uplink  # only a person helps
    stage.see(working("b"))
    stage.run(60)
    assert not stage.look().ask_uplink  # not there
    stage.see(unreadable(), working("b"))
    assert not stage.look().ask_uplink  # nothing would be done
    stage.see(failed(), working("b"))
    assert stage.look().ask_uplink


def test_uplink_not_asked_yet_restarts_nothing_and_asks() -> None:
    stage = Stage(uplink=UplinkState.UNKNOWN).healthy("a", "b")
    stage.change(failed())
    stage.run(3600)
    assert stage.made == []
    assert stage.look().ask_uplink
    assert stage.told(EntryKind.WITHHELD) == [
        "restart_session is withheld: it is not known whether WhatsApp can be reached from here"
    ]


def test_uplink_down_while_sessions_work_is_unknown_with_a_note() -> None:
    stage = Stage().healthy("a", "b")
    stage.uplink = UplinkState.DOWN
    stage.change(starting())
    stage.run(600)
    assert stage.made == []
    assert stage.health().reason is Reason.STUCK_STARTING  # and not uplink_down
    assert "Sessions work all the same, so it is taken as unknown" in stage.notes


def test_uplink_down_and_nothing_works_is_the_reason() -> None:
    stage = Stage().healthy("a", "b")
    stage.uplink = UplinkState.DOWN
    stage.change(starting("a"), starting("b"))
    stage.run(600)
    assert stage.made == []
    assert stage.health().reason is Reason.UPLINK_DOWN
    assert "WhatsApp cannot be reached from here" in stage.notes


def test_an_uplink_that_is_not_watched_is_taken_as_up() -> None:
    stage = Stage(policy=replace(CALM, uplink_watched=False), uplink=UplinkState.UNKNOWN).healthy("a", "b")
    stage.change(failed())
    stage.run(20)
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]


def test_who_failed_while_upgrades_were_refused_and_starts_later_was_not_refused() -> None:
    stage = Stage().healthy("a")
    stage.uplink, stage.refused = UplinkState.DOWN, True
    stage.change(failed())
    stage.run(60)
    stage.uplink, stage.refused = UplinkState.UP, False
    stage.change(starting())
    stage.run(60)
    assert stage.health().reason is Reason.UNEXPLAINED  # starting still has its whole patience
    stage.look()
    assert stage.health().reason is Reason.STUCK_STARTING


def test_a_healthy_session_is_shown_with_what_the_gateway_says_of_it_now() -> None:
    stage = Stage().healthy()
    stage.change(replace(working(), claim="CONNECTED"))
    stage.run(10)
    assert stage.health().claim == "CONNECTED"
    assert stage.health().condition is Condition.HEALTHY


def test_what_is_seen_while_a_call_is_under_way_is_judged_unless_it_is_the_stop_of_the_call() -> None:
    stage = Stage(answers=None).healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.change(wants_qr())
    stage.look()
    assert stage.health().condition is Condition.NEEDS_HUMAN


def test_what_still_starts_after_a_time_in_which_nobody_looked_is_stuck_and_gets_its_patience_all_the_same() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(starting())
    stage.run(50)
    stage.restart_supervisor(away=3600)
    stage.look()
    assert stage.health().reason is Reason.STUCK_STARTING
    assert stage.made == []


def test_a_condition_is_told_since_it_began_also_when_its_cause_changes() -> None:
    stage = Stage(uplink=UplinkState.UNKNOWN).healthy("a", "b")
    stage.change(starting())
    while stage.health().reason is not Reason.STUCK_STARTING:
        stage.look()
    began = stage.now
    assert stage.health().since == began
    stage.change(failed())
    stage.run(60)
    assert stage.health().condition is Condition.FAILING
    assert stage.health().reason is Reason.UNEXPLAINED
    assert stage.health().since == began
    stage.change(working())
    stage.look()
    assert stage.health().since == stage.now


def test_a_stop_is_the_operators_after_just_fifteen_seconds() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(stopped())
    stage.run(15)  # the first of these looks begins the time
    assert stage.health().condition is Condition.SUSPECT
    stage.look()
    assert stage.health().condition is Condition.STOPPED
    assert stage.session().operator_stopped


def test_a_bad_session_whose_cause_changes_is_told_again_as_a_warning() -> None:
    stage = Stage(policy=replace(CALM, act=False)).healthy("a", "b")
    stage.change(told(State.FAILED, Reason.CONNECTION_LOST))
    stage.run(60)
    stage.change(failed())
    stage.run(60)
    concluded = [one for _, one in stage.journal if one.kind is EntryKind.CONCLUDED and one.text.startswith("failing")]
    assert [one.reason for one in concluded] == [Reason.CONNECTION_LOST, Reason.UNEXPLAINED]
    assert all(one.warn for one in concluded)


def test_who_comes_back_untouched_came_back_by_itself_and_after_a_remedy_not() -> None:
    alone = Stage(policy=replace(CALM, act=False)).healthy("a", "b")
    alone.change(failed())
    alone.run(60)
    alone.change(working())
    alone.look()
    assert (
        alone.told(EntryKind.CONCLUDED)[-1] == "it works again after 60 s, by itself; healthy if it stays so for 30 s"
    )
    helped = Stage().healthy("a", "b")
    helped.change(failed())
    helped.run_until_remedy()
    helped.change(working())
    helped.look()
    assert helped.told(EntryKind.CONCLUDED)[-1].startswith("it works again after ")
    assert "by itself" not in helped.told(EntryKind.CONCLUDED)[-1]
