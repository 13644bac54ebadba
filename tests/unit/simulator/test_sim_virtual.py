"""Virtual time and calls that take time."""

from __future__ import annotations

from wasupervisor.simulator.virtual import Pending, Timeline


def test_events_happen_in_order_each_at_its_own_time() -> None:
    timeline = Timeline(10.0)
    seen: list[tuple[str, float]] = []
    timeline.add(13.0, lambda: seen.append(("late", timeline.now)), inside=True)
    timeline.add(12.0, lambda: seen.append(("early", timeline.now)), inside=False)
    assert timeline.next_at == 12.0
    timeline.advance(12.5)
    assert seen == [("early", 12.0)]
    assert timeline.now == 12.5
    timeline.advance(20.0)
    assert seen == [("early", 12.0), ("late", 13.0)]
    assert timeline.next_at is None


def test_events_made_by_events_happen_in_the_same_advance() -> None:
    timeline = Timeline(0.0)
    seen: list[float] = []

    def again() -> None:
        seen.append(timeline.now)
        timeline.add(timeline.now + 1.0, again, inside=True)

    timeline.add(1.0, again, inside=True)
    timeline.advance(3.5)
    assert seen == [1.0, 2.0, 3.0]


def test_time_never_goes_back() -> None:
    timeline = Timeline(5.0)
    timeline.advance(3.0)
    assert timeline.now == 5.0


def test_a_held_process_makes_up_for_its_timers_when_it_wakes() -> None:
    timeline = Timeline(0.0)
    seen: list[tuple[str, float]] = []
    timeline.add(1.0, lambda: seen.append(("inside", timeline.now)), inside=True)
    timeline.add(2.0, lambda: seen.append(("outside", timeline.now)), inside=False)
    timeline.held = True
    timeline.advance(5.0)
    assert seen == [("outside", 2.0)]
    timeline.held = False
    timeline.advance(5.0)
    assert seen == [("outside", 2.0), ("inside", 5.0)]


def test_a_call_calls_back_once_it_has_an_answer() -> None:
    pending: Pending[int] = Pending()
    doubled = pending.map(lambda value: value * 2)
    assert not doubled.done
    pending.finish(21)
    assert (doubled.done, doubled.dropped, doubled.value) == (True, False, 42)


def test_a_dropped_call_drops_what_was_made_of_it() -> None:
    pending: Pending[int] = Pending()
    doubled = pending.bind(lambda value: Pending.of(value * 2))
    pending.drop()
    assert (doubled.done, doubled.dropped) == (True, True)


def test_a_call_ends_only_once() -> None:
    pending: Pending[int] = Pending()
    pending.drop()
    pending.finish(1)
    assert pending.dropped
