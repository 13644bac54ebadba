"""`make simulate`: random schedules under the promises on all cores, and then the figures.

    python tests/simulation/simulate.py --schedules 1000 --seed 0 --runs 20

A schedule that fails is shrunk and printed as JSON: keep it in `kept_schedules.jsonl`.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sim_many import Failure, blocks, on_all_cores, play
from sim_proof import Proof, figures, write_proof

TELL_EVERY = 10.0


@dataclass
class Played:
    """What came of all schedules."""

    schedules: int
    calls: int
    healed: int
    seconds: float
    failures: list[Failure]


def main() -> int:
    """The exit code: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description="Random schedules of faults, in virtual time.")
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule; each has the next one")
    parser.add_argument("--runs", type=int, default=20, help="of each fault for the figures; 0: none")
    parser.add_argument("--processes", type=int, default=0, help="0: as many as there are cores")
    parser.add_argument("--proof", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    played = _play(options.seed, options.schedules, options.processes)
    if options.runs:
        table = figures(options.runs, options.seed, options.processes, lambda line: print(line, flush=True))
        if options.proof is not None and not played.failures:
            proof = Proof(options.seed, played.schedules, played.calls, played.healed, played.seconds, options.runs)
            write_proof(options.proof, proof, table)
            print(f"\nwritten to {options.proof}")
    return 1 if played.failures else 0


def _play(seed: int, schedules: int, processes: int) -> Played:
    print(f"{schedules} schedules of half an hour of virtual time, from seed {seed} on", flush=True)
    begun = told = time.monotonic()
    played = Played(0, 0, 0, 0.0, [])
    for _, block in on_all_cores(play, blocks(seed, schedules), processes):
        played.schedules += block.played
        played.calls += block.calls
        played.healed += block.healed
        played.failures += block.failures
        for failure in block.failures:
            print(f"\n{failure}\n", flush=True)
        if time.monotonic() - told > TELL_EVERY:
            told = time.monotonic()
            rate = played.schedules / (told - begun)
            left = (schedules - played.schedules) / rate
            print(f"  {played.schedules} played, {len(played.failures)} failed, {left:.0f} s left", flush=True)
    played.seconds = time.monotonic() - begun
    print(
        f"{played.schedules} schedules in {played.seconds:.0f} s: {len(played.failures)} with a broken promise; "
        f"{played.calls} remedies, {played.healed} sessions seen healed by one\n",
        flush=True,
    )
    return played


if __name__ == "__main__":
    sys.exit(main())
