"""Random schedules of faults: every promise holds in each step, and what can be healed is healed when they end."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from sim_events import At, Schedule, WallClock, happens, read_schedule, told
from sim_make import schedule_of
from sim_run import run
from sim_shrink import shrink

BLOCK = 25
SCHEDULES = int(os.environ.get("SCHEDULES", "150"))
SEED = int(os.environ.get("SEED", "0"))
KEPT = Path(__file__).with_name("kept_schedules.jsonl")


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A schedule that failed once."""

    name: str
    """What went wrong, as a person saw it."""
    schedule: Schedule


def kept() -> list[Kept]:
    """All of them."""
    return [msgspec.json.decode(line, type=Kept) for line in KEPT.read_bytes().splitlines() if line.strip()]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(SEED, SEED + SCHEDULES, BLOCK))
def test_the_promises_hold(first: int) -> None:
    for seed in range(first, min(first + BLOCK, SEED + SCHEDULES)):
        result = run(schedule_of(seed))
        if result.broken is not None:
            shortest = shrink(result.schedule, result.broken.promise)
            pytest.fail(f"seed {seed}: {result.broken}\n{told(shortest)}\nto keep it:\n{shortest.as_json()}")


@pytest.mark.parametrize("one", kept(), ids=lambda one: one.name.replace(" ", "-"))
def test_what_went_wrong_once(one: Kept) -> None:
    assert run(one.schedule).broken is None


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_a_healthy_quiet_gateway_is_left_alone(kind: str) -> None:
    quiet = Schedule(seed=1, kind=kind, sessions=6, poll=5.0, events=(), length=7200.0)  # type: ignore[arg-type]
    result = run(quiet)
    assert result.broken is None
    assert result.site.promises.calls_made == []
    assert {session.logins for session in result.site.world.sessions.values()} == {1}
    assert result.site.uplink_asked == 0


def test_the_same_seed_gives_the_same_journal() -> None:
    schedule = schedule_of(7)
    assert schedule == schedule_of(7) == read_schedule(schedule.as_json())
    first, again = run(schedule), run(schedule)
    assert msgspec.json.encode(first.journal) == msgspec.json.encode(again.journal)
    assert first.site.disk.memory == again.site.disk.memory


def test_a_wall_clock_that_jumps_changes_nothing() -> None:
    jumps = ((200.0, -86400.0), (400.0, 1e8), (900.0, -3600.0))
    schedule = next(one for seed in range(100) if len((one := schedule_of(seed)).events) > 15)
    plain = schedule.with_events(tuple(one for one in schedule.events if "wall_clock" not in told_of(one)))
    clocked = plain.with_events(tuple(sorted((*plain.events, *map(wall_jump, jumps)), key=lambda one: one.at)))
    assert msgspec.json.encode(run(plain).journal) == msgspec.json.encode(run(clocked).journal)


def told_of(event: object) -> str:
    """As JSON."""
    return msgspec.json.encode(event).decode()


def wall_jump(jump: tuple[float, float]) -> At:
    """At a time, by so many seconds."""
    return happens(jump[0], WallClock(by=jump[1]))
