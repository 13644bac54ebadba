"""What `state.record` costs: bytes of a day and CPU of a step, beside the same observations as JSON and zlib alone."""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
from bench_table import megabytes, milliseconds, ratio, table
from msgspec.structs import replace

from wasupervisor.model.observation import Look, Observation, ProcessReading
from wasupervisor.model.policy import Policy
from wasupervisor.model.sessions import Sighting, State
from wasupervisor.store.recording import Step
from wasupervisor.store.segments import Writer, files_in

DAY = 17_280
"""Steps, at 5 s."""
PER_WRITE = 6


def measure(steps: int) -> Iterator[str]:
    """Record so many steps of each; gives what is to be printed."""
    rows = [
        _row("50 sessions, quiet", 50, 0.0, steps),
        _row("50 sessions, each hears something every minute", 50, 1 / 12, steps),
        _row("1,000 sessions, quiet", 1000, 0.0, steps // 4),
        _row("1,000 sessions, each hears something every minute", 1000, 1 / 12, steps // 4),
    ]
    head = ["", "MB a day", "JSON and zlib", "ratio", "CPU ms a step"]
    yield table("A recording (state.record)", head, rows)


def _row(name: str, sessions: int, busy: float, steps: int) -> list[str]:
    observations = list(_day(sessions, busy, steps))
    dice = Random(1)
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(Path(folder), run="r", keep_free=0)
        began = time.process_time()
        for number, observation in enumerate(observations):
            step = Step(number, 1e9 + number * 5, number * 5.0, dice.random(), observation, Policy(), os.urandom(16))
            memory = b"" if writer.wants_memory(step.wall) else None
            writer.add(replace(step, memory=memory))
            if number % PER_WRITE == PER_WRITE - 1:
                writer.flush()
        writer.flush()
        cpu = time.process_time() - began
        size = sum(path.stat().st_size for path in files_in(writer.folder))
    plain = sum(len(zlib.compress(msgspec.json.encode(one))) for one in observations[:200]) * len(observations) / 200
    scale = DAY / len(observations)
    return [name, megabytes(size * scale), megabytes(plain * scale), ratio(size, plain), milliseconds(cpu / steps)]


def _day(sessions: int, busy: float, steps: int) -> Iterator[Observation]:
    """Latency, CPU and memory never stand still; so many of the sessions heard something since the last look."""
    chance = Random(2)
    sightings = [
        Sighting(f"5511{number:08}", State.WORKING, claim="WORKING", paired=True, activity=1_700_000_000_000 + number)
        for number in range(sessions)
    ]
    for step in range(steps):
        for index in range(sessions):
            if chance.random() < busy:
                heard = 1_700_000_000_000 + step * 5000 + chance.randrange(5000)
                sightings[index] = replace(sightings[index], activity=heard)
        yield Observation(
            look=Look(
                reachable=True,
                sightings=tuple(sightings),
                latency_seconds=0.01 + chance.random() / 100,
                version="2026.1.1",
                engine="NOWEB",
                run="1700000000",
            ),
            process=ProcessReading(
                exists=True,
                pid=4711,
                started=1.7e9,
                born=100.0,
                cpu_percent=chance.random() * 20,
                rss_bytes=4096 * chance.randrange(50_000, 60_000),
                memory_percent=chance.random() * 10,
                processes=3,
            ),
            hour_of_week=step // 720,
        )
