"""The heart alone: one pure step for 1,000 sessions, beside reading the same 1,000 sightings from JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import msgspec
from bench_table import milliseconds, ratio, table

from wasupervisor.decide.memory import Memory, dump
from wasupervisor.decide.step import step
from wasupervisor.model.observation import Look, Observation, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.sessions import Reason, Sighting, State

SESSIONS = 1000
POLICY = Policy(gateway_kind="waha")
UP = Uplink(state=UplinkState.UP, age_seconds=1.0)


def measure(seconds: float) -> Iterator[str]:
    """Measure each for about so long; gives what is to be printed."""
    well, failed = _look(0), _look(SESSIONS // 20)
    quiet = Memory()
    for turn in range(40):
        quiet = step(quiet, well, turn * 5.0, 0.5, POLICY).memory
    troubled = quiet
    for turn in range(40, 60):
        troubled = step(troubled, failed, turn * 5.0, 0.5, POLICY).memory
    assert well.look.sightings is not None
    text = msgspec.json.encode(well.look.sightings)
    decoder = msgspec.json.Decoder(tuple[Sighting, ...])
    share = seconds / 6
    reference = _each(lambda: decoder.decode(text), share)
    works: list[tuple[str, Callable[[], object]]] = [
        ("step, all healthy, nothing changed", lambda: step(quiet, well, 200.0, 0.5, POLICY)),
        ("step, 50 have just failed", lambda: step(quiet, failed, 200.0, 0.5, POLICY)),
        ("step, 50 have failed for a while", lambda: step(troubled, failed, 305.0, 0.5, POLICY)),
        ("step, all seen for the first time", lambda: step(Memory(), well, 0.0, 0.5, POLICY)),
        ("the memory as JSON, for the state", lambda: dump(quiet)),
        ("json.loads of the sightings", lambda: json.loads(text)),
    ]
    rows = [["msgspec: the sightings from JSON (reference)", milliseconds(reference), "1.00"]]
    for name, work in works:
        cost = _each(work, share)
        rows.append([name, milliseconds(cost), ratio(cost, reference)])
    yield table(f"One pure step for {SESSIONS:,} sessions", ["", "CPU ms", "ratio"], rows)


def _look(failed: int) -> Observation:
    sightings = tuple(
        Sighting(name=f"s{number}", state=State.FAILED, reason=Reason.UNEXPLAINED, claim="FAILED", paired=True)
        if number < failed
        else Sighting(name=f"s{number}", state=State.WORKING, claim="WORKING", paired=True)
        for number in range(SESSIONS)
    )
    return Observation(look=Look(reachable=True, sightings=sightings, store_ok=True, run="1"), uplink=UP)


def _each(work: Callable[[], object], seconds: float) -> float:
    """CPU seconds of one run."""
    work()
    runs, began, cpu = 0, time.monotonic(), time.process_time()
    while runs < 5 or time.monotonic() - began < seconds:
        work()
        runs += 1
    return (time.process_time() - cpu) / runs
