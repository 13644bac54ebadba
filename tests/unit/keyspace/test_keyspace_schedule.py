"""When a sweep is due, in virtual time."""

from __future__ import annotations

from itertools import pairwise

from wasupervisor.keyspace.counter import Growth
from wasupervisor.keyspace.schedule import FRESH, SELDOM, SPACING, Cause, Due, SweepSchedule

EVERY = 600.0
UNCOUNTED = Growth(errors=None, unknown=("redis:6379: it does not count",))


def swept(schedule: SweepSchedule, now: float, found: int = 0) -> Due:
    """A sweep that is due, and ends at once."""
    due = schedule.due(now)
    assert due is not None
    schedule.began(now, due)
    schedule.ended(now, complete=True, found=found)
    return due


def started(every: float = EVERY) -> SweepSchedule:
    schedule = SweepSchedule(every)
    assert swept(schedule, 0.0).cause is Cause.START
    return schedule


def times(schedule: SweepSchedule, begin: int, end: int, growth: Growth, found: int = 0) -> list[int]:
    """When it sweeps, if every second brings this growth."""
    at = []
    for now in range(begin, end):
        schedule.heard(growth)
        if schedule.due(now) is not None:
            swept(schedule, now, found)
            at.append(now)
    return at


def test_the_first_look_at_a_redis_is_a_sweep() -> None:
    assert SweepSchedule(EVERY).due(5.0) == Due(cause=Cause.START, text="no sweep yet since the start")


def test_growth_is_followed_at_once_even_right_after_the_start() -> None:
    schedule = started()
    assert schedule.due(1.0) is None
    schedule.heard(Growth(errors=1))
    schedule.heard(Growth(errors=2))
    assert swept(schedule, 2.0) == Due(cause=Cause.GROWTH, text="WRONGTYPE errors grew by 3")
    assert schedule.due(3.0) is None, "they are answered for"


def test_sweeps_on_growth_that_find_something_come_once_a_minute() -> None:
    assert times(started(), 1, 200, Growth(errors=9), found=1) == [1, 61, 121, 181]


def test_sweeps_in_vain_double_the_wait_up_to_sweep_every() -> None:
    at = times(started(), 1, 3000, Growth(errors=9))
    assert [after - before for before, after in pairwise(at)][:6] == [120, 240, 480, 600, 600, 600]


def test_a_short_sweep_every_does_not_make_sweeps_on_growth_more_frequent() -> None:
    assert times(started(10.0), 1, 130, Growth(errors=1))[:3] == [1, 61, 121]


def test_growth_after_a_quiet_time_counts_as_new() -> None:
    schedule = started()
    assert times(schedule, 1, 400, Growth(errors=1)) == [1, 121, 361]
    assert times(schedule, 2000, 2200, Growth(errors=1)) == [2000, 2120]


def test_errors_that_have_to_wait_are_not_forgotten() -> None:
    schedule = started()
    schedule.heard(Growth(errors=1))
    swept(schedule, 1.0, found=1)
    schedule.heard(Growth(errors=4))
    assert schedule.due(2.0) is None
    schedule.heard(Growth())
    assert swept(schedule, 61.0).text == "WRONGTYPE errors grew by 4"


def test_errors_while_a_sweep_is_under_way_count_for_the_next() -> None:
    schedule = SweepSchedule(EVERY)
    due = schedule.due(0.0)
    assert due is not None
    schedule.began(0.0, due)
    schedule.heard(Growth(errors=2))
    assert schedule.due(1.0) is None, "one at a time"
    assert schedule.due(1.0, before_restart=True) is None
    schedule.ended(2.0, complete=True)
    assert swept(schedule, 3.0).text == "WRONGTYPE errors grew by 2"


def test_a_sweep_that_broke_off_is_done_again_a_minute_later() -> None:
    schedule = started()
    schedule.heard(Growth(errors=2, joined=("z",)))
    due = schedule.due(1.0)
    assert due is not None
    schedule.began(1.0, due)
    schedule.heard(Growth(errors=1))
    schedule.ended(10.0, complete=False)
    assert schedule.due(10.0 + SPACING - 1) is None
    assert swept(schedule, 10.0 + SPACING).text == "WRONGTYPE errors grew by 3"
    assert schedule.due(10.0 + SPACING + 1) is None, "that saw the new node too"


def test_where_errors_are_not_counted_sweeps_come_by_schedule() -> None:
    schedule = started()
    assert times(schedule, 1, 1300, UNCOUNTED) == [600, 1200]
    schedule.heard(UNCOUNTED)
    due = schedule.due(1800.0)
    assert due is not None
    assert due.cause is Cause.UNCOUNTED
    assert due.text == "every 600 s, as WRONGTYPE errors are not counted (redis:6379: it does not count)"


def test_where_they_are_counted_sweeps_are_seldom_but_not_never() -> None:
    assert times(started(), 1, 7300, Growth()) == [SELDOM * 600, 2 * SELDOM * 600]


def test_one_server_of_a_cluster_that_does_not_count_is_enough() -> None:
    assert times(started(), 1, 700, Growth(errors=0, unknown=("y: why",))) == [600]


def test_a_server_that_joins_is_swept() -> None:
    schedule = started()
    schedule.heard(Growth(joined=("redis:7001",)))
    assert swept(schedule, 1.0) == Due(cause=Cause.JOINED, text="redis:7001: not seen before")
    assert schedule.due(2.0) is None


def test_before_a_restart_there_is_a_sweep_unless_one_just_ended() -> None:
    schedule = started()
    assert schedule.due(FRESH, before_restart=True) is None
    assert schedule.is_fresh(FRESH)
    assert not schedule.is_fresh(FRESH + 1)
    due = schedule.due(FRESH + 1, before_restart=True)
    assert due is not None
    assert due.cause is Cause.RESTART
    schedule.began(FRESH + 1, due)
    schedule.ended(FRESH + 2, complete=False)
    assert not schedule.is_fresh(FRESH + 3)
    assert schedule.due(FRESH + 3, before_restart=True) is not None, "a restart does not wait a minute for the next try"
