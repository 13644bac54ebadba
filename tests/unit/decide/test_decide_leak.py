"""Memory that grows is forecast, whatever its noise; what only looks so is not; and a window is used once."""

from __future__ import annotations

import math
import re
from random import Random
from typing import Any

import pytest
from decide_scenes import CALM, Stage
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from wasupervisor.decide.leak import BEGINS, GOES_ON, MOST, SPACING, WIDEST, seconds_left, slope_of, with_point
from wasupervisor.decide.memory import Resources
from wasupervisor.model.alerts import AlertKind, Event
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import LimitRule
from wasupervisor.model.remedies import Outcome
from wasupervisor.model.sessions import Reason

GB, MB, HOUR = 1e9, 1e6, 3600.0
POLICY = replace(
    CALM, restarter="systemd", poll_every=30.0, memory=LimitRule(restart=1.8 * GB), tell=tuple(AlertKind), remind=HOUR
)


def stage_of(policy: Any = POLICY, **rest: Any) -> Stage:
    stage = Stage(policy=policy, memory_bytes=0.6 * GB, **rest)
    return stage.healthy("a", "b")


def told(stage: Stage) -> list[str]:
    return stage.told(EntryKind.GATEWAY)


# The sum


def series(hours: float, value: Any, spacing: float = SPACING) -> list[tuple[int, int]]:
    """Points of a function of the hours."""
    count = round(hours * HOUR / spacing)
    return [(round(number * spacing), round(value(number * spacing / HOUR))) for number in range(count + 1)]


def test_a_straight_line_is_followed_to_its_limit() -> None:
    points = series(1, lambda hour: 600 * MB + 100 * MB * hour)
    assert seconds_left(points, 1000 * MB, BEGINS) == pytest.approx(3 * HOUR, rel=0.01)


def test_what_grows_less_than_at_first_is_followed_by_its_newer_half() -> None:
    points = series(1, lambda hour: 600 * MB + 100 * MB * min(hour, 0.5) + 70 * MB * max(0.0, hour - 0.5))
    assert seconds_left(points, 1000 * MB, BEGINS) == pytest.approx((1000 - 685) / 70 * HOUR, rel=0.01)


def test_outliers_do_not_move_it() -> None:
    dice = Random(1)
    points = series(1, lambda hour: 600 * MB + 100 * MB * hour + (400 * MB if dice.random() < 0.15 else 0))
    points[-1] = (points[-1][0], round(700 * MB))
    assert seconds_left(points, 1000 * MB, GOES_ON) == pytest.approx(3 * HOUR, rel=0.15)


NOT_GROWING = {
    "flat": lambda hour: 700 * MB,
    "falling": lambda hour: 700 * MB - 50 * MB * hour,
    "a warm-up that ends": lambda hour: 700 * MB - 300 * MB * math.exp(-hour * 6),
    "a saw-tooth": lambda hour: 500 * MB + 300 * MB * ((hour * 6.3) % 1.0),
    "one step": lambda hour: 500 * MB + (300 * MB if hour > 1.0 else 0),
    "a breath": lambda hour: 700 * MB + 1 * MB * hour,
}


@pytest.mark.parametrize("name", NOT_GROWING)
def test_what_does_not_grow_is_not_forecast(name: str) -> None:
    points = series(2, NOT_GROWING[name])
    assert all(seconds_left(points[:number], 1000 * MB, BEGINS) is None for number in range(len(points)))


def test_noise_around_a_level_is_not_forecast() -> None:
    dice = Random(7)
    for _ in range(50):
        points = series(2, lambda hour: 700 * MB + dice.gauss(0, 60 * MB))
        assert seconds_left(points, 1000 * MB, BEGINS) is None


def test_too_little_is_not_forecast() -> None:
    line = series(1, lambda hour: 600 * MB + 100 * MB * hour)
    assert seconds_left([], 1000 * MB, BEGINS) is None
    assert seconds_left(line[:10], 1000 * MB, BEGINS) is None  # 18 minutes
    assert seconds_left(line[:11], 1000 * MB, BEGINS) is not None
    assert seconds_left(line[::5], 1000 * MB, BEGINS) is None  # seven points


def test_what_is_over_its_limit_has_no_time_left() -> None:
    points = series(1, lambda hour: 600 * MB + 100 * MB * hour)
    assert seconds_left(points, 650 * MB, BEGINS) == 0.0


@given(st.lists(st.integers(0, 10**10), min_size=2, max_size=MOST))
@settings(max_examples=60, deadline=None)
def test_a_slope_is_finite_and_turns_with_its_points(values: list[int]) -> None:
    points = [(number * 120, value) for number, value in enumerate(values)]
    slope, mirrored = slope_of(points), slope_of([(at, -value) for at, value in points])
    assert slope.rate == pytest.approx(-mirrored.rate)
    assert 0.0 <= slope.rising <= 1.0


def test_points_are_bounded_and_reach_back_eight_hours() -> None:
    known = Resources()
    for at in range(0, 48 * 3600, 30):
        if not known.points or at - known.points[-1][0] >= known.spacing:
            known = with_point(known, (at, at))
        assert len(known.points) <= MOST
    assert known.spacing == WIDEST
    reach = known.points[-1][0] - known.points[0][0]
    assert 7.5 * HOUR < reach <= 8 * HOUR


def test_when_there_is_no_room_every_second_point_goes() -> None:
    known = Resources()
    for number in range(MOST + 1):
        known = with_point(known, (number * 120, number))
    assert known.spacing == 240.0
    assert known.points == tuple((number * 120, number) for number in range(0, MOST + 1, 2))


# The story


def test_a_leak_is_forecast_in_the_journal_in_the_notes_and_by_one_alert() -> None:
    stage = stage_of()
    stage.grows = 0.3 * GB / HOUR
    alert = _next_alert(stage)
    assert (alert.kind, alert.event, alert.reason) == (AlertKind.LEAK, Event.BEGIN, Reason.MEMORY_LEAK)
    text = "the gateway's memory grows and will reach its limit (1.8 GB) in 4 h"
    assert (alert.what, told(stage)) == (text, [text])
    assert alert.why_no_more == "it is restarted when it reaches process.memory.restart"
    assert alert.todo.startswith("Restart the gateway at a time that suits you")
    assert f"T{text[1:]}." in stage.whole.notes
    stage.run(2 * HOUR)
    assert told(stage) == [text]
    assert re.search("in 10. min", stage.notes)
    assert stage.whole.memory_full_in == pytest.approx(102 * 60, abs=120)
    assert stage.made == []
    assert stage.run_until_remedy(2 * HOUR).cause is Reason.MEMORY_HIGH


def test_a_forecast_starts_anew_with_another_process_and_its_alert_ends() -> None:
    stage = stage_of()
    stage.grows = 0.3 * GB / HOUR
    _next_alert(stage)
    stage.begin_anew()
    stage.memory_bytes = 0.5 * GB
    end = _next_alert(stage)
    assert (end.kind, end.event) == (AlertKind.LEAK, Event.END)
    assert "grow" not in stage.notes
    assert len(told(stage)) == 2  # the forecast, and the restart; that it is over goes without saying
    start = stage.now
    _next_alert(stage)
    assert stage.now - start >= 1700  # a warm-up, and twenty minutes


def test_a_forecast_ends_when_memory_grows_no_more() -> None:
    stage = stage_of()
    stage.grows = 0.3 * GB / HOUR
    _next_alert(stage)
    stage.grows = 0.0
    stage.run(3 * HOUR)
    assert told(stage)[1:] == ["the gateway's memory does not grow towards its limit any more"]


def test_the_limit_is_the_nearer_one_of_the_operators_and_the_kernels() -> None:
    stage = stage_of(limit_bytes=round(1.2 * GB))
    stage.grows = 0.3 * GB / HOUR
    assert "will reach its limit (1.2 GB)" in _next_alert(stage).what


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (replace(POLICY, memory=None), "no limit is configured at which it is restarted (process.memory.restart)"),
        (replace(POLICY, maintenance=10.0), "it is restarted when a window of recovery.maintenance is open"),
        (replace(POLICY, restarter="none"), "nobody is configured to restart the gateway"),
    ],
)
def test_the_alert_says_what_becomes_of_it(policy: Any, why: str) -> None:
    stage = stage_of(policy, limit_bytes=round(1.8 * GB))
    stage.grows = 0.3 * GB / HOUR
    assert why in _next_alert(stage).why_no_more


def test_without_any_limit_nothing_is_forecast_and_nothing_written() -> None:
    stage = stage_of(replace(POLICY, memory=None))
    stage.grows = 0.3 * GB / HOUR
    before = stage.writes
    stage.run(2 * HOUR)
    assert (told(stage), stage.writes) == ([], before)


def test_a_limit_farther_than_a_day_is_not_told() -> None:
    stage = stage_of()
    stage.grows = 40 * MB / HOUR
    stage.run(4 * HOUR)
    assert told(stage) == []


def test_a_forecast_stays_while_its_limit_is_not_clearly_farther_than_a_day() -> None:
    stage = stage_of()
    stage.grows = 60 * MB / HOUR
    _next_alert(stage)
    stage.grows = 35 * MB / HOUR
    for _ in range(4):
        stage.run(HOUR)
        assert stage.whole.memory_full_in is not None
    assert (stage.whole.memory_full_in or 0.0) > 25 * HOUR
    assert len(told(stage)) == 1


def test_a_forecast_writes_the_state_some_thirty_times_an_hour_at_the_most() -> None:
    stage = stage_of()
    before = stage.writes
    stage.run(HOUR)
    assert stage.writes - before <= 31


def test_at_its_limit_it_is_said_without_a_time() -> None:
    stage = stage_of(replace(POLICY, act=False))
    stage.grows = 0.3 * GB / HOUR
    stage.run(5 * HOUR)
    assert "will reach its limit (1.8 GB) at any moment." in stage.notes


# The window


def leaking(**rest: Any) -> Stage:
    stage = stage_of(replace(POLICY, maintenance=26 * HOUR, **rest))
    stage.in_maintenance = False
    stage.grows = 0.1 * GB / HOUR
    stage.run(2 * HOUR)
    assert "will reach its limit" in stage.notes
    return stage


def test_a_forecast_restart_is_made_when_the_window_opens_and_once_in_it() -> None:
    stage = leaking()
    assert stage.made == []
    assert not stage.look().ask_uplink
    stage.in_maintenance = True
    stage.uplink = UplinkState.UNKNOWN
    assert stage.look().ask_uplink
    stage.uplink = UplinkState.UP
    decision = stage.look()
    assert [one.cause for one in decision.remedies] == [Reason.MEMORY_LEAK]
    stage.look()
    stage.begin_anew()
    stage.memory_bytes = 0.5 * GB
    stage.run(120)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("healed: the gateway is well again")
    stage.run(2 * HOUR)
    assert "will reach its limit" in stage.notes
    assert len(stage.gateway_restarts) == 1
    stage.in_maintenance = False
    stage.run(2 * HOUR)
    assert len(stage.gateway_restarts) == 1
    stage.in_maintenance = True
    stage.look()
    assert len(stage.gateway_restarts) == 2


def test_a_restart_of_an_earlier_window_does_not_count_though_nobody_saw_that_one_close() -> None:
    stage = leaking()
    stage.in_maintenance = True
    stage.look()
    stage.look()
    stage.begin_anew()
    stage.run(2 * HOUR)
    assert "will reach its limit" in stage.notes
    stage.restart_supervisor(away=24 * HOUR)
    stage.look()
    assert len(stage.gateway_restarts) == 2


def test_a_restart_in_the_window_that_was_not_made_is_tried_again_in_it() -> None:
    stage = leaking()
    stage.in_maintenance = True
    stage.answers = Outcome.WITHHELD
    stage.run(600)
    assert len(stage.gateway_restarts) > 1


def test_an_unknown_hour_neither_opens_nor_closes_a_window() -> None:
    stage = leaking()
    stage.in_maintenance = None
    stage.run(600)
    stage.in_maintenance = True
    stage.look()
    stage.look()
    stage.begin_anew()
    stage.run(HOUR)
    since = stage.memory.gateway.window_since
    stage.in_maintenance = None
    stage.run(HOUR)
    assert stage.memory.gateway.window_since == since
    assert len(stage.gateway_restarts) == 1


def test_without_a_restarter_a_window_changes_nothing() -> None:
    stage = leaking(restarter="none")
    stage.in_maintenance = True
    stage.run(600)
    assert "Only a restart" not in stage.notes
    assert stage.made == []


def test_without_a_leak_a_window_changes_nothing() -> None:
    stage = stage_of(replace(POLICY, maintenance=26 * HOUR))
    stage.in_maintenance = True
    stage.run(2 * HOUR)
    assert stage.made == []


def test_a_limit_before_the_end_of_the_next_window_counts_though_it_is_days_away() -> None:
    stage = stage_of(replace(POLICY, maintenance=6 * 24 * HOUR))
    stage.grows = 20 * MB / HOUR  # 60 hours
    stage.run(6 * HOUR)
    assert "will reach its limit (1.8 GB) in 2 d" in stage.notes
    stage.in_maintenance = True
    stage.look()
    assert len(stage.gateway_restarts) == 1


def _next_alert(stage: Stage, limit: float = 8 * HOUR) -> Any:
    until = stage.now + limit
    while stage.now < until:
        alerts = stage.look().alerts
        if alerts:
            return alerts[0]
    raise AssertionError("no alert")
