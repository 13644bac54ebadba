"""A gateway that dies by itself: once by the kernel, again and again, and what we do not do on top."""

from __future__ import annotations

from typing import Any

import pytest
from decide_scenes import CALM, Stage
from msgspec.structs import replace

from wasupervisor.model.alerts import AlertKind, Event
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.policy import LimitRule
from wasupervisor.model.remedies import OrderKind, Verdict
from wasupervisor.model.sessions import Reason

POLICY = replace(
    CALM, restarter="systemd", memory=LimitRule(restart=1.8e9, lasts=10.0), tell=(AlertKind.CRASHES,), remind=120.0
)


def stage_of(**rest: Any) -> Stage:
    return Stage(policy=POLICY, **rest).healthy("a", "b")


def die(stage: Stage, times: int = 1, every: float = 60.0) -> None:
    for _ in range(times):
        stage.begin_anew()
        stage.run(every)


def told(stage: Stage) -> list[str]:
    return stage.told(EntryKind.GATEWAY)


LOOP = "the gateway dies again and again: 3 times within 2 min"


def test_two_deaths_are_no_loop_and_three_within_ten_minutes_are() -> None:
    stage = stage_of()
    die(stage, 2)
    assert "again and again" not in "".join(told(stage))
    stage.begin_anew()
    decision = stage.look()
    assert told(stage)[-1] == f"{LOOP}; it is not restarted by us meanwhile"
    assert "The gateway dies again and again: 3 times within 2 min." in stage.whole.notes
    (alert,) = decision.alerts
    assert (alert.kind, alert.event, alert.reason) == (AlertKind.CRASHES, Event.BEGIN, Reason.CRASH_LOOP)
    assert alert.what == LOOP
    assert "a restart on top would heal nothing" in alert.why_no_more
    assert alert.todo == "Look into the gateway's log for why it ends."


def test_three_deaths_in_a_longer_time_are_no_loop() -> None:
    stage = stage_of()
    die(stage, 6, every=310.0)
    assert not stage.memory.gateway.crashes.looping


def test_a_loop_is_told_once_and_ends_when_it_lives_on() -> None:
    stage = stage_of()
    die(stage, 10)
    assert sum("again and again" in text for text in told(stage)) == 1
    stage.run(300)
    assert told(stage)[-1] == "the gateway has not died again for 5 min"
    stage.run(60)
    alerts = [one for _ in range(100) for one in stage.look().alerts]
    assert alerts == []
    die(stage, 1)
    assert not stage.memory.gateway.crashes.looping


def test_the_end_of_a_loop_is_told() -> None:
    stage = stage_of()
    die(stage, 3)
    ends = [one for _ in range(100) for one in stage.look().alerts if one.event is Event.END]
    assert [one.what.partition(",")[0] for one in ends] == ["it has not died again"]


def test_nothing_is_restarted_on_top_of_a_loop_but_for_an_order() -> None:
    stage = stage_of()
    die(stage, 3)
    stage.memory_bytes = 2e9
    stage.run(200)
    assert stage.made == []
    assert "dies again and again: 3 times within" in stage.withheld[0]
    assert stage.order(OrderKind.RESTART_GATEWAY, None).verdict is Verdict.ACCEPTED


def test_what_stays_away_is_started_when_no_keeper_can_be_expected_any_more() -> None:
    stage = stage_of()
    die(stage, 3)
    stage.gone, stage.reachable = True, False
    died = stage.now
    stage.run(200)
    assert stage.made == []
    stage.run(200)
    (restart,) = stage.gateway_restarts
    assert restart - died <= 300
    assert stage.remedies[0][1].cause is Reason.GATEWAY_GONE


def test_our_own_restarts_are_no_deaths() -> None:
    stage = stage_of()
    for _ in range(3):
        stage.order(OrderKind.RESTART_GATEWAY, None)
        stage.look()
        stage.begin_anew()
        stage.run(120)
    assert stage.memory.gateway.crashes.begun == ()


def test_restarts_by_others_cost_nothing_of_our_budget() -> None:
    stage = stage_of()
    die(stage, 10)
    assert stage.memory.gateway.restarts == ()


# The kernel


def test_a_kill_of_the_whole_gateway_is_told_as_one() -> None:
    stage = stage_of(oom_kills=0)
    stage.oom_kills = 1
    stage.begin_anew()
    decision = stage.look()
    assert told(stage) == [
        "the kernel killed a process of the gateway for want of memory (OOM)",
        (
            "the gateway process was restarted, for the kernel killed it for want of memory (OOM); "
            "its sessions have 0 s to come back"
        ),
    ]
    (alert,) = decision.alerts
    assert (alert.kind, alert.reason) == (AlertKind.CRASHES, Reason.OOM_KILLED)
    assert alert.what == "the kernel killed the gateway for want of memory (OOM) 0 s ago"
    assert "its sessions have their time" in alert.why_no_more
    assert "process.memory.restart" in alert.todo
    stage.run(500)
    assert "The kernel killed the gateway for want of memory (OOM) 8 min ago." in stage.whole.notes
    stage.run(300)
    assert "kernel" not in stage.notes


def test_a_kill_of_a_child_is_no_restart() -> None:
    stage = stage_of(oom_kills=3)
    stage.oom_kills = 4
    (alert,) = stage.look().alerts
    assert alert.what == "the kernel killed a process of the gateway for want of memory (OOM) 0 s ago"
    assert alert.why_no_more == "the gateway itself goes on"
    stage.run(295)
    assert told(stage) == ["the kernel killed a process of the gateway for want of memory (OOM)"]
    assert "The kernel killed a process of the gateway for want of memory (OOM) 5 min ago." in stage.whole.notes
    stage.begin_anew()
    stage.look()
    assert "not by us" in told(stage)[-1]


def test_the_process_may_end_a_while_after_the_kill() -> None:
    stage = stage_of(oom_kills=3)
    stage.oom_kills = 4
    stage.run(30)
    stage.begin_anew()
    stage.look()
    assert "for the kernel killed it" in told(stage)[-1]
    assert stage.memory.gateway.crashes.killed_whole


@pytest.mark.parametrize("counts", [(5, 0), (None, 7), (5, None, 5), (2, 2)])
def test_what_is_no_growth_is_no_kill(counts: tuple[int | None, ...]) -> None:
    stage = stage_of()
    for count in counts:
        stage.oom_kills = count
        stage.run(20)
    assert told(stage) == []


# The container engine


def test_what_the_engine_says_between_two_runs_is_a_kill_of_the_gateway() -> None:
    stage = stage_of(oom_killed=False)
    stage.gone, stage.reachable, stage.oom_killed = True, False, True
    (alert,) = stage.look().alerts
    assert alert.why_no_more == "it is not back yet, and started if nothing else brings it back"
    stage.look()
    assert told(stage)[0] == "the kernel killed the gateway for want of memory (OOM)"
    assert sum("kernel" in text for text in told(stage)) == 1
    assert "The kernel killed the gateway for want of memory (OOM) 5 s ago." in stage.whole.notes
    stage.begin_anew()
    stage.oom_killed = False
    stage.look()
    assert "restarted, for the kernel killed it for want of memory (OOM)" in told(stage)[-2]
    stage.run(600)
    stage.oom_killed = True  # the engine brought it back within one poll, and is asked now and then
    stage.look()
    assert told(stage)[-1] == "the kernel killed the gateway for want of memory (OOM)"


def test_what_the_engine_said_before_we_came_is_no_news_unless_the_gateway_is_gone() -> None:
    stage = stage_of(oom_killed=True)
    stage.run(60)
    assert told(stage) == []
    assert "kernel" not in stage.notes
    gone = Stage(policy=POLICY, gone=True, reachable=False, oom_killed=True)
    gone.look()
    assert told(gone)[0] == "the kernel killed the gateway for want of memory (OOM)"


# A systemd unit, whose control group is removed with it

PERHAPS = "restarted, not by us; perhaps by the kernel, which killed it or a neighbour (OOM)"


def test_what_was_killed_with_its_whole_unit_is_told_as_perhaps_killed_where_only_the_group_above_tells() -> None:
    stage = stage_of(oom_kills=0, oom_kills_above=3)
    stage.gone, stage.reachable = True, False
    stage.look()
    stage.oom_kills_above = 4
    stage.begin_anew()
    assert stage.look().alerts == ()  # nobody knows
    assert PERHAPS in told(stage)[-1]


@pytest.mark.parametrize("counts", [(3, 3), (4, 3), (None, 4), (3, None)])
def test_where_the_group_above_tells_nothing_it_is_not_told(counts: tuple[int | None, int | None]) -> None:
    stage = stage_of(oom_kills=0, oom_kills_above=counts[0])
    stage.oom_kills_above = counts[1]
    stage.begin_anew()
    stage.look()
    assert told(stage)[-1].startswith("the gateway process was restarted, not by us; its sessions")


def test_a_neighbour_that_was_killed_before_is_no_reason() -> None:
    stage = stage_of(oom_kills_above=3)
    stage.oom_kills_above = 4
    stage.look()
    stage.begin_anew()
    stage.look()
    assert told(stage)[-1].startswith("the gateway process was restarted, not by us; its sessions")


def test_systemd_knows_it_for_sure() -> None:
    stage = stage_of(oom_kills=0, oom_kills_above=3)
    stage.gone, stage.reachable, stage.oom_killed = True, False, True
    (alert,) = stage.look().alerts
    assert alert.reason is Reason.OOM_KILLED
    stage.oom_killed, stage.oom_kills_above = False, 4
    stage.begin_anew()
    stage.look()
    assert "restarted, for the kernel killed it for want of memory (OOM)" in told(stage)[-1]


def test_a_gateway_that_is_not_there_and_was_not_killed_is_not_told_as_killed() -> None:
    stage = Stage(policy=POLICY, gone=True, reachable=False, oom_killed=False)
    stage.run(30)
    assert "killed" not in "".join(told(stage))


def test_kills_and_loops_are_warnings() -> None:
    stage = stage_of(oom_kills=0)
    stage.oom_kills = 1
    stage.look()
    die(stage, 3)
    warned = [one.text for _, one in stage.journal if one.warn and one.kind is EntryKind.GATEWAY]
    assert "the kernel killed a process of the gateway for want of memory (OOM)" in warned
    assert any(one.startswith("the gateway dies again and again") for one in warned)
