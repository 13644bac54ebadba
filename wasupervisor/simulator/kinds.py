"""The two kinds of gateway by name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from wasupervisor.simulator.evolution_world import EvolutionWorld
from wasupervisor.simulator.happen import AnyWorld
from wasupervisor.simulator.timings import EvolutionTimings, WahaTimings
from wasupervisor.simulator.waha_world import WahaWorld

Kind = Literal["waha", "evolution"]


def make_world(
    kind: Kind,
    sessions: Sequence[str] | int,
    *,
    speed: float = 1.0,
    keeper: bool = True,
    epoch: float | None = None,
    core: bool = False,
    mode: str = "A",
) -> AnyWorld:
    """A healthy gateway with these sessions (a number: s1, s2, ...), `speed` times as fast as the real one.

    `keeper`: something starts the process again when it ends. `core`: WAHA's old single-session core. `mode`:
    where Evolution keeps its credentials, A is Redis, B PostgreSQL. `epoch`: the wall time now.
    """
    names = [f"s{number}" for number in range(1, sessions + 1)] if isinstance(sessions, int) else list(sessions)
    wall = time.time() if epoch is None else epoch
    if kind == "waha":
        waha_timings = WahaTimings().faster(speed)
        return WahaWorld(names, timings=waha_timings, keeper=keeper, core=core, epoch=wall)
    evolution_timings = EvolutionTimings().faster(speed)
    return EvolutionWorld(names, timings=evolution_timings, keeper=keeper, mode=mode, epoch=wall)
