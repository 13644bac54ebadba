"""The timeline: it never goes backwards, and time that nobody can vouch for did not pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasupervisor.store.timeline import Saved, Timeline, elapsed_since, read_boot_id

# Whole seconds and their 1024ths: floats add and subtract them without rounding, so that equality can be asked for.
seconds = st.integers(0, 2**40).map(lambda n: n / 1024)
boots = st.sampled_from([None, "a", "b"])


class Clock:
    """CLOCK_BOOTTIME by hand."""

    def __init__(self, at: float = 0.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def test_the_first_run_begins_at_zero() -> None:
    clock = Clock(5000.0)
    timeline = Timeline.resume(None, "a", clock)
    assert timeline.now() == 0.0
    clock.at += 12.5
    assert timeline.now() == 12.5


def test_a_restart_within_one_boot_counts_the_time_between() -> None:
    clock = Clock(100.0)
    first = Timeline.resume(None, "a", clock)
    clock.at = 160.0
    saved = first.moment(wall=1.0)
    clock.at = 190.0
    assert Timeline.resume(saved, "a", clock).now() == 90.0


@pytest.mark.parametrize(("boot_id", "boottime"), [("b", 1e6), (None, 1e6), ("a", 10.0)])
def test_a_reboot_grants_no_time(boot_id: str | None, boottime: float) -> None:
    saved = Saved(timeline=500.0, boottime=1000.0, wall=1.7e9, boot_id="a")
    clock = Clock(boottime)
    timeline = Timeline.resume(saved, boot_id, clock)
    assert timeline.now() == 500.0
    clock.at += 3
    assert timeline.now() == 503.0


def test_without_a_boot_id_on_both_sides_no_time_passed() -> None:
    assert elapsed_since(Saved(timeline=0.0, boottime=1.0, wall=0.0), None, 2.0) == 0.0


@given(saved_at=seconds, now_at=seconds, saved_boot=boots, boot=boots)
def test_elapsed_is_never_negative_and_exact_within_one_boot(
    saved_at: float, now_at: float, saved_boot: str | None, boot: str | None
) -> None:
    elapsed = elapsed_since(Saved(timeline=7.0, boottime=saved_at, wall=0.0, boot_id=saved_boot), boot, now_at)
    assert elapsed >= 0.0
    if boot is not None and boot == saved_boot and now_at >= saved_at:
        assert elapsed == now_at - saved_at
    else:
        assert elapsed == 0.0


@given(steps=st.lists(st.tuples(boots, seconds, st.lists(seconds, max_size=4), st.floats(allow_nan=False)), max_size=8))
def test_over_any_history_of_runs_boots_and_clocks_it_never_goes_backwards(
    steps: list[tuple[str | None, float, list[float], float]],
) -> None:
    saved: Saved | None = None
    latest = 0.0
    for boot_id, start, readings, wall in steps:
        clock = Clock(start)
        timeline = Timeline.resume(saved, boot_id, clock)
        for reading in readings:
            clock.at = reading
            now = timeline.now()
            assert now >= latest
            latest = now
        saved = timeline.moment(wall)
        assert saved.timeline >= latest
        latest = saved.timeline


@given(pauses=st.lists(st.integers(0, 2**30).map(lambda n: n / 1024), min_size=1, max_size=10))
def test_restarts_within_one_boot_lose_nothing(pauses: list[float]) -> None:
    clock = Clock(33.0)
    saved = Timeline.resume(None, "a", clock).moment(wall=0.0)
    for pause in pauses:
        clock.at += pause
        saved = Timeline.resume(saved, "a", clock).moment(wall=0.0)
    assert saved.timeline == sum(pauses)


def test_the_boot_id_is_read_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "boot_id").write_text("5adefbb4-caf7\n")
    assert read_boot_id(tmp_path / "boot_id") == "5adefbb4-caf7"
    assert read_boot_id(tmp_path / "absent") is None
    (tmp_path / "empty").write_text("\n")
    assert read_boot_id(tmp_path / "empty") is None
