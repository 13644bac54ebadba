"""From spawn to READY, and from SIGTERM to the end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from bench_processes import Gateway, Process, daemon, folder, reference_poll
from bench_table import milliseconds, ratio, table

IDLE = 0.4
"""Seconds between READY and SIGTERM: the first cycle is done, and nothing is under way."""


def measure(runs: int) -> Iterator[str]:
    """Start and stop it so many times; gives what is to be printed."""
    with Gateway("waha", 50) as gateway:
        ours, theirs, bare = [], [], []
        for _ in range(runs):  # in turns, so that a noisy neighbour disturbs all
            ours.append(_once(lambda place: daemon(gateway, place)))
            theirs.append(_once(lambda place: reference_poll(gateway, place)))
            bare.append(_python())
    ready, end = (median(run[part] for run in ours) for part in (0, 1))
    ready_reference, end_reference = (median(run[part] for run in theirs) for part in (0, 1))
    python = median(bare)
    yield table(
        f"Start and stop: median of {runs}, 50 sessions",
        ["", "wasupervisor ms", "slowest", "anyio+httpx ms", "ratio", "bare python ms", "ratio"],
        [
            [
                "spawn to READY=1",
                *(milliseconds(ready), milliseconds(max(run[0] for run in ours))),
                *(milliseconds(ready_reference), ratio(ready, ready_reference)),
                *(milliseconds(python), ratio(ready, python)),
            ],
            [
                "SIGTERM to exit",
                *(milliseconds(end), milliseconds(max(run[1] for run in ours))),
                *(milliseconds(end_reference), ratio(end, end_reference)),
                *("-", "-"),
            ],
        ],
        ["Goals: READY in 500 ms, exit in 200 ms. At READY the ports are bound and the state is loaded."],
    )


def _once(start: Callable[[Path], Process]) -> tuple[float, float]:
    with folder() as place, start(Path(place)) as process:
        time.sleep(IDLE)
        return process.seconds_to_ready, process.stop()


def _python() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.monotonic() - began
