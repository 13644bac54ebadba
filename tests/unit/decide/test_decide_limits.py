"""Memory and CPU over their limits: told, restarted for, and never on a peak, a guess or a gap."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from decide_scenes import CALM, Stage, all_of, failed, working
from msgspec.structs import replace

from wasupervisor.decide.limits import used_bytes
from wasupervisor.decide.memory import BreakerState
from wasupervisor.model.alerts import AlertKind, Event
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import ProcessReading
from wasupervisor.model.policy import LimitRule
from wasupervisor.model.remedies import Outcome, RemedyKind
from wasupervisor.model.sessions import Reason

GB = 1e9
LIMITS = LimitRule(warn=1.2 * GB, restart=1.8 * GB, lasts=60.0)
POLICY = replace(CALM, restarter="systemd", memory=LIMITS, tell=tuple(AlertKind))
CPU = replace(CALM, restarter="systemd", cpu=LimitRule(warn=80.0, restart=95.0, lasts=300.0), tell=tuple(AlertKind))


def stage_of(policy: Any = POLICY, **rest: Any) -> Stage:
    """A healthy gateway with two sessions that uses half a gigabyte."""
    stage = Stage(policy=policy, memory_bytes=0.5 * GB, cpu=3.0, **rest)
    return stage.healthy("a", "b")


def gateway_says(stage: Stage) -> list[str]:
    return stage.told(EntryKind.GATEWAY)


# Telling


def test_a_warning_is_told_once_in_the_journal_in_the_notes_and_by_an_alert_and_nothing_is_restarted() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.3 * GB
    stage.run(60)
    assert gateway_says(stage) == []
    stage.run(10)
    told = "the gateway uses 1.3 GB of memory: process.memory.warn is 1.2 GB"
    assert gateway_says(stage) == [told]
    assert f"T{told[1:]}." in stage.whole.notes
    decided = [alert for _ in range(100) for alert in stage.look().alerts]
    assert decided == []  # it was told
    assert stage.memory.episodes["resources"].what == told
    assert stage.made == []
    assert gateway_says(stage) == [told]


def test_the_alert_says_what_is_too_much_and_what_is_done() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.3 * GB
    alert = _next_alert(stage)
    assert (alert.kind, alert.event, alert.reason) == (AlertKind.RESOURCES, Event.BEGIN, Reason.MEMORY_HIGH)
    assert alert.why_no_more == "it is only told: process.memory.restart is not reached, or is never"
    assert alert.todo.startswith("Update the gateway")
    stage.memory_bytes = 1.0 * GB
    end = _next_alert(stage)
    assert end.event is Event.END
    assert end.what.startswith("it is below its limits again, after ")


def test_of_two_gauges_the_one_that_is_restarted_for_is_told_as_the_reason() -> None:
    stage = stage_of(replace(POLICY, cpu=LimitRule(restart=90.0, lasts=60.0), restarter="none"))
    stage.memory_bytes, stage.cpu = 1.3 * GB, 99.0
    alert = _next_alert(stage)
    assert alert.reason is Reason.CPU_HIGH
    assert alert.what == (
        "the gateway uses 1.3 GB of memory: process.memory.warn is 1.2 GB; "
        "the gateway uses 99 % of CPU: process.cpu.restart is 90 %"
    )
    assert "recovery.restart_gateway.by is none" in alert.why_no_more
    assert "systemctl restart waha.service" in alert.todo
    assert "Only a restart of the gateway process heals the gateway." in stage.notes


def test_a_warning_ends_five_per_cent_below_its_limit_and_not_just_below() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.3 * GB
    stage.run(70)
    stage.memory_bytes = 1.15 * GB
    stage.run(600)
    assert len(gateway_says(stage)) == 1
    stage.memory_bytes = 1.13 * GB
    stage.look()
    assert gateway_says(stage)[1:] == ["the gateway's memory is below process.memory.warn again"]
    stage.memory_bytes = 1.15 * GB
    stage.run(600)
    assert len(gateway_says(stage)) == 2


def test_without_a_limit_and_where_a_limit_is_never_nothing_is_told() -> None:
    stage = stage_of(replace(POLICY, memory=None))
    stage.memory_bytes = 90 * GB
    stage.run(600)
    stage.policy = replace(POLICY, memory=LimitRule(warn=None, restart=None))
    stage.run(600)
    assert gateway_says(stage) == []
    stage.policy = POLICY
    stage.run(65)
    stage.policy = replace(POLICY, memory=None)
    stage.run(60)
    assert stage.memory.gateway.resources.over == {}


# Restarting


def test_memory_over_its_limit_restarts_the_gateway_though_all_sessions_work() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    start = stage.now
    remedy = stage.run_until_remedy()
    assert stage.now - start == 65  # exceeded for 60 s, and seen three times
    assert (remedy.kind, remedy.cause, remedy.sessions) == (RemedyKind.RESTART_GATEWAY, Reason.MEMORY_HIGH, ())
    assert remedy.why == (
        "restart_gateway for the gateway: the gateway uses more memory than its limit; "
        "a graceful restart now costs less than the kernel's kill in the middle of a write"
    )
    stage.look()
    stage.begin_anew()
    stage.memory_bytes = 0.5 * GB
    stage.run(120)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("healed: the gateway is well again")
    stage.run(4 * 3600)
    assert len(stage.gateway_restarts) == 1
    assert stage.memory.gateway.relieved_at is None


def test_the_uplink_is_asked_before_a_restart_though_all_sessions_work() -> None:
    stage = stage_of()
    assert not stage.look().ask_uplink
    stage.memory_bytes = 1.3 * GB
    assert not stage.look().ask_uplink
    stage.memory_bytes = 1.9 * GB
    assert stage.look().ask_uplink
    stage.policy = replace(POLICY, restarter="none")
    assert not stage.look().ask_uplink


def test_cpu_over_its_limit_restarts_the_gateway_after_five_minutes() -> None:
    stage = stage_of(CPU)
    stage.cpu = 100.0
    start = stage.now
    remedy = stage.run_until_remedy()
    assert remedy.cause is Reason.CPU_HIGH
    assert stage.now - start == 305


@pytest.mark.parametrize("poll", [5.0, 30.0])
def test_peaks_restart_nothing(poll: float) -> None:
    stage = stage_of(replace(POLICY, poll_every=poll))
    for _ in range(100):
        stage.memory_bytes = 2.5 * GB
        stage.run(2 * poll)
        stage.memory_bytes = 1.0 * GB
        stage.look()
    assert stage.made == []


def test_two_readings_far_apart_are_not_enough() -> None:
    stage = stage_of(replace(POLICY, poll_every=60.0))
    stage.memory_bytes = 2.5 * GB
    stage.look()
    stage.look()
    assert stage.made == []
    stage.look()
    assert len(stage.made) == 1


def test_what_swings_just_below_its_limit_is_not_restarted() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.answers = None
    stage.uplink = stage.uplink.UNKNOWN  # a gate keeps it back
    stage.run(70)
    assert stage.memory.gateway.resources.over["memory.restart"].holds
    stage.memory_bytes = 1.75 * GB
    stage.uplink = stage.uplink.UP
    stage.run(600)
    assert stage.made == []


def test_unknown_readings_count_neither_way() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.run(40)
    stage.memory_bytes = None
    stage.run(10)
    assert stage.made == []
    stage.memory_bytes = 1.9 * GB
    stage.run(20)
    assert len(stage.made) == 1


def test_unknown_readings_alone_never_restart() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.run(55)
    stage.memory_bytes = None
    stage.run(3600)
    assert stage.made == []
    stage.memory_bytes = 1.9 * GB
    stage.run(60)
    assert stage.made == []  # nobody knows how it was in between: it counts anew
    stage.run(10)
    assert len(stage.made) == 1


def test_what_was_told_stays_told_through_a_gap_and_is_restarted_for_only_after_its_time() -> None:
    stage = stage_of(replace(POLICY, act=False))
    stage.memory_bytes = 1.9 * GB
    stage.run(70)
    says = gateway_says(stage)
    stage.memory_bytes = None
    stage.run(600)
    assert "The gateway used too much memory: process.memory.restart is 1.8 GB." in stage.whole.notes
    stage.memory_bytes = 1.9 * GB
    stage.policy = POLICY
    stage.run(60)
    assert stage.made == []
    stage.run(10)
    assert len(stage.made) == 1
    assert gateway_says(stage) == says


def test_after_a_gap_two_readings_far_apart_are_not_enough_either() -> None:
    stage = stage_of(replace(POLICY, act=False, poll_every=60.0))
    stage.memory_bytes = 1.9 * GB
    stage.run(240)
    stage.memory_bytes = None
    stage.run(600)
    stage.policy = replace(stage.policy, act=True)
    stage.memory_bytes = 1.9 * GB
    stage.look()
    stage.look()
    assert stage.made == []
    stage.look()
    assert len(stage.made) == 1


def test_a_new_start_of_ours_counts_anew() -> None:
    stage = stage_of(POLICY)
    stage.memory_bytes = 1.9 * GB
    stage.run(60)
    stage.restart_supervisor(away=30)
    stage.run(60)
    assert stage.made == []
    stage.run(10)
    assert len(stage.made) == 1


def test_what_another_process_used_tells_nothing_of_this_one() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.run(60)
    stage.begin_anew()
    stage.run(60)
    assert stage.made == []


@pytest.mark.parametrize("readable", [True, False])
def test_the_last_look_or_a_gate_may_keep_it_back_and_it_comes_again(*, readable: bool) -> None:
    stage = stage_of()
    stage.answers = Outcome.WITHHELD
    stage.readable = readable
    stage.memory_bytes = 1.9 * GB
    stage.run(3600)
    assert len(stage.gateway_restarts) > 1
    assert stage.memory.gateway.restarts == ()


def test_it_is_never_restarted_more_often_than_the_budget() -> None:
    stage = stage_of(replace(POLICY, startup_grace=30.0, poll_every=20.0))
    stage.memory_bytes, stage.grows = 1.9 * GB, 0.0
    for _ in range((2 * 86400 - 2000) // 20):
        decision = stage.look()
        if decision.remedies:
            stage.look()
            stage.begin_anew()  # and it uses as much as before
    restarts = stage.gateway_restarts
    assert 6 <= len(restarts) <= 12
    for first, third in zip(restarts, restarts[2:], strict=False):
        assert third - first >= 3600
    assert "the gateway's breaker is open for" in stage.told(EntryKind.VERIFIED)[0]


def test_what_leaks_right_at_its_start_is_restarted_ever_more_rarely_and_never_given_up() -> None:
    budget = replace(POLICY.budget, gateway_per_hour=60, gateway_per_day=1000)
    stage = stage_of(replace(POLICY, startup_grace=30.0, budget=budget, poll_every=20.0))
    stage.grows = 1.5 * GB / 600  # full within ten minutes
    for _ in range(86400 // 20):
        decision = stage.look()
        if decision.remedies:
            stage.look()
            stage.begin_anew()
            stage.memory_bytes = 0.4 * GB
    restarts = stage.gateway_restarts
    waits = [later - earlier for earlier, later in pairwise(restarts)]
    assert waits[0] < 1300
    assert min(waits[4:]) > 3600  # open_max: it slows down
    assert restarts[-1] > stage.now - 3 * 3600  # and goes on
    told = next(text for text in stage.told(EntryKind.VERIFIED) if "did not help for long" in text)
    assert "the gateway uses more memory than its limit again after" in told
    assert "and then it is tried again, ever more rarely" in told


def test_the_start_of_another_is_not_ours_to_judge() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.run_until_remedy()
    stage.look()
    stage.begin_anew()
    stage.memory_bytes = 0.5 * GB
    stage.run(120)
    stage.begin_anew()  # somebody restarts it once more
    stage.memory_bytes = 1.9 * GB
    stage.run_until_remedy(120)
    assert "did not help for long" not in "".join(stage.told(EntryKind.VERIFIED))


# Whether it helped


@pytest.mark.parametrize("policy", [POLICY, CPU], ids=["memory", "cpu"])
def test_a_restart_is_no_end_of_the_alert_before_it_has_helped(policy: Any) -> None:
    stage = stage_of(replace(policy, remind=30.0))
    stage.memory_bytes, stage.cpu = 1.9 * GB, 99.0
    stage.run_until_remedy(400)
    stage.look()
    stage.begin_anew()
    reason = Reason.MEMORY_HIGH if policy is POLICY else Reason.CPU_HIGH
    told = [alert for _ in range(200) for alert in stage.look().alerts if alert.kind is AlertKind.RESOURCES]
    assert {(one.event, one.reason) for one in told} == {(Event.REMIND, reason)}
    assert "until it was restarted" in told[0].what
    stage.memory_bytes, stage.cpu = 0.5 * GB, 3.0
    events = [alert.event for _ in range(20) for alert in stage.look().alerts if alert.kind is AlertKind.RESOURCES]
    assert events[-1] is Event.END


def test_it_did_not_help_while_the_new_process_is_over_its_limit_too() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.run_until_remedy()
    stage.look()
    stage.begin_anew()
    stage.run(300)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("restart_gateway did not heal: not well ")
    assert stage.memory.gateway.breaker.state is BreakerState.OPEN


def test_it_did_not_help_when_who_worked_before_does_not_come_back() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.run_until_remedy()
    stage.look()
    stage.memory_bytes = 0.5 * GB
    stage.begin_anew(working("a"), failed("b"))
    stage.policy = replace(POLICY, park="never", budget=replace(POLICY.budget, per_session_per_hour=0))
    stage.run(300)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("restart_gateway did not heal: not well ")


def test_who_waits_for_a_person_afterwards_is_not_awaited() -> None:
    from decide_scenes import wants_qr

    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.run_until_remedy()
    stage.look()
    stage.memory_bytes = 0.5 * GB
    stage.begin_anew(working("a"), wants_qr("b"))
    stage.run(300)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("healed: the gateway is well again")


def test_where_memory_is_unknown_afterwards_its_answers_have_to_do() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.run_until_remedy()
    stage.look()
    stage.memory_bytes = None
    stage.begin_anew(*all_of(working, ("a", "b")))
    stage.run(120)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("healed: the gateway is well again")


# What is compared


@pytest.mark.parametrize(
    ("process", "used"),
    [
        (ProcessReading(), None),
        (ProcessReading(rss_bytes=700), 700),
        (ProcessReading(rss_bytes=700, memory_bytes=400), 400),
    ],
)
def test_sizes_are_compared_with_what_the_percentage_is_made_of(process: ProcessReading, used: float | None) -> None:
    assert used_bytes(process) == used


def test_a_quiet_gateway_costs_no_write() -> None:
    stage = stage_of(CPU)
    stage.memory_bytes = None
    before = stage.writes
    for number in range(1000):
        stage.cpu = number % 79
        stage.look()
    assert stage.writes == before


def _next_alert(stage: Stage, limit: float = 3600.0) -> Any:
    until = stage.now + limit
    while stage.now < until:
        alerts = stage.look().alerts
        if alerts:
            return alerts[0]
    raise AssertionError("no alert")


def test_a_restart_that_freed_memory_is_no_end_of_the_alert_before_it_is_judged() -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.run_until_remedy(400)
    stage.look()
    stage.begin_anew()
    stage.memory_bytes = 0.5 * GB
    while stage.memory.gateway.attempt is not None:
        assert [one for one in stage.look().alerts if one.event is Event.END] == []
    fine = stage.now
    while not [one for one in stage.look().alerts if one.event is Event.END]:
        assert stage.now < fine + 120
    assert stage.now - fine >= stage.policy.stable_for - stage.policy.poll_every


@pytest.mark.parametrize(("blind", "anew"), [(2, False), (3, True)])
def test_readings_that_were_missing_for_as_long_as_a_look_may_fail_let_all_count_anew(blind: int, anew: bool) -> None:
    stage = stage_of()
    stage.memory_bytes = 1.9 * GB
    stage.run(40)
    stage.memory_bytes = None
    stage.run(blind * stage.policy.poll_every)
    stage.memory_bytes = 1.9 * GB
    stage.run(40)
    assert len(stage.made) == (0 if anew else 1)
