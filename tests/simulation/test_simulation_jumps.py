"""Jumping over quiet time changes nothing: not a line of the journal, no memory, no call, no harm."""

from __future__ import annotations

import msgspec
import pytest
from sim_make import schedule_of
from sim_run import Run, run

SEEDS = range(900_000, 900_050)


def trace(result: Run) -> tuple[object, ...]:
    """Everything that could differ."""
    site = result.site
    memory = None if site.daemon is None else msgspec.json.encode(site.daemon.memory)
    calls = [(call.at, call.remedy, call.outcome) for call in site.promises.calls_made]
    told = str(result.broken), result.calm_for, site.now, site.uplink_asked
    return msgspec.json.encode(result.journal), memory, calls, site.world.snapshot(), told


@pytest.mark.timeout(300)
def test_jumping_changes_nothing() -> None:
    jumped = 0
    for seed in SEEDS:
        schedule = schedule_of(seed)
        with_jumps, without = run(schedule), run(schedule, jumps=False)
        assert trace(with_jumps) == trace(without), f"seed {seed}"
        jumped += with_jumps.site.jumped
    assert jumped > 100 * len(SEEDS)
