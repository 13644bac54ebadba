"""Many schedules on all cores. Each seed is a story of its own, so the number of cores changes no result."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeVar

from sim_events import Schedule, told
from sim_make import schedule_of
from sim_run import run
from sim_shrink import shrink

BLOCK = 25
"""Schedules that one process plays before it reports."""

Job = TypeVar("Job")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Failure:
    """A promise that was broken, with the shortest schedule that still breaks it."""

    seed: int
    broken: str
    shortest: Schedule

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.broken}\n{told(self.shortest)}\nto keep it:\n{self.shortest.as_json()}"


@dataclass(frozen=True)
class Block:
    """What came of some seeds in a row."""

    played: int
    failures: tuple[Failure, ...]
    calls: int
    """Remedies that were performed."""
    healed: int
    """Verdicts 'healed'."""


def play(seeds: Sequence[int]) -> Block:
    """Play the schedules of some seeds."""
    failures: list[Failure] = []
    calls = healed = 0
    for seed in seeds:
        result = run(schedule_of(seed))
        calls += len(result.site.promises.calls_made)
        healed += len(result.site.promises.healed)
        if result.broken is not None:
            shortest = shrink(result.schedule, result.broken.promise)
            failures.append(Failure(seed, str(result.broken), shortest))
    return Block(len(seeds), tuple(failures), calls, healed)


def blocks(first: int, count: int) -> list[range]:
    """The seeds, in blocks."""
    end = first + count
    return [range(start, min(start + BLOCK, end)) for start in range(first, end, BLOCK)]


def on_all_cores(
    work: Callable[[Job], Done], jobs: Iterable[Job], processes: int | None = None
) -> Iterator[tuple[Job, Done]]:
    """Do the jobs, in as many processes as there are cores; gives each with its result, as they end."""
    processes = processes or os.cpu_count() or 1
    if processes == 1:
        yield from ((job, work(job)) for job in jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        under_way = {pool.submit(work, job): job for job in jobs}
        for future in as_completed(under_way):
            yield under_way[future], future.result()
