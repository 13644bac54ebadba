"""When the next turn is due."""

from __future__ import annotations

import anyio
import pytest

from wasupervisor.runtime.pulse import Pulse

pytestmark = pytest.mark.anyio


class Waits:
    """Virtual time: a wait is noted, and passes at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.waited: list[float] = []
        self.woken = False
        monkeypatch.setattr(anyio, "move_on_after", self._move_on_after)
        monkeypatch.setattr(anyio, "sleep", self._sleep)

    def _move_on_after(self, delay: float) -> anyio.CancelScope:
        self.waited.append(round(delay, 6))
        if self.woken:
            return anyio.CancelScope()
        self.now += delay
        return anyio.CancelScope(deadline=anyio.current_time())

    async def _sleep(self, delay: float) -> None:
        self.waited.append(round(delay, 6))
        self.now += delay


async def test_the_cadence_holds_whatever_a_turn_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Waits(monkeypatch)
    pulse = Pulse(5.0, lambda: time.now)
    for turn in (1.0, 2.0, 0.0):
        time.now += turn
        await pulse.wait()
    assert time.waited == [4.0, 3.0, 5.0]
    assert time.now == 115.0


async def test_a_turn_that_took_too_long_is_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Waits(monkeypatch)
    pulse = Pulse(5.0, lambda: time.now)
    time.now += 17.0
    await pulse.wait()
    await pulse.wait()
    assert time.waited == [0.0, 5.0]


async def test_a_wake_makes_the_next_turn_come_now_and_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Waits(monkeypatch)
    pulse = Pulse(5.0, lambda: time.now)
    pulse.wake()
    pulse.wake()
    time.woken = True
    await pulse.wait()
    assert time.now == pytest.approx(100.05)
    time.woken = False
    await pulse.wait()
    assert time.now == pytest.approx(105.05)


async def test_a_storm_of_wakes_does_not_flood_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Waits(monkeypatch)
    pulse = Pulse(5.0, lambda: time.now)
    time.woken = True
    for _ in range(20):
        pulse.wake()
        await pulse.wait()
    assert time.now >= 100.99
