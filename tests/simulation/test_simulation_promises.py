"""Random schedules of faults: every promise holds in each step, and what can be healed is healed when they end."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from sim_events import At, Schedule, WallClock, happens, read_schedule
from sim_make import schedule_of
from sim_many import blocks, on_all_cores, play
from sim_run import Run, run

from wasupervisor.model.journal import Entry, EntryKind

SCHEDULES = int(os.environ.get("SCHEDULES", "1000"))
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


@pytest.mark.timeout(900)
def test_the_promises_hold() -> None:
    failures = [failure for _, block in on_all_cores(play, blocks(SEED, SCHEDULES)) for failure in block.failures]
    assert not failures, "\n\n".join(map(str, failures))


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
    found = (schedule_of(seed) for seed in range(100))
    schedule = next(one for one in found if len(one.events) > 15 and "reboot" not in one.as_json())
    plain = schedule.with_events(tuple(one for one in schedule.events if "wall_clock" not in told_of(one)))
    clocked = plain.with_events(tuple(sorted((*plain.events, *map(wall_jump, jumps)), key=lambda one: one.at)))
    assert about_the_gateway(run(plain)) == about_the_gateway(run(clocked))


def about_the_gateway(result: Run) -> list[tuple[float, Entry]]:
    """The journal without what the supervisor tells of itself: that the clock was set."""
    return [(at, entry) for at, entry in result.journal if entry.kind is not EntryKind.SUPERVISOR]


def told_of(event: object) -> str:
    """As JSON."""
    return msgspec.json.encode(event).decode()


def wall_jump(jump: tuple[float, float]) -> At:
    """At a time, by so many seconds."""
    return happens(jump[0], WallClock(by=jump[1]))
