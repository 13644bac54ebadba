"""`make simulate`: random schedules under the promises, and then the figures.

    python tests/simulation/simulate.py --schedules 1000 --seed 0 --runs 20

A schedule that fails is shrunk and printed as JSON: keep it in `kept_schedules.jsonl`.
"""

from __future__ import annotations

import argparse
import sys
import time

from sim_events import told
from sim_figures import table
from sim_make import schedule_of
from sim_run import run
from sim_shrink import shrink


def main() -> int:
    """The exit code: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description="Random schedules of faults, in virtual time.")
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first schedule; each has the next one")
    parser.add_argument("--runs", type=int, default=20, help="of each fault for the figures; 0: none")
    options = parser.parse_args()
    failed = sum(_fails(seed) for seed in _counted(options.seed, options.schedules))
    print(f"{options.schedules} schedules from seed {options.seed} on, {failed} with a broken promise\n")
    if options.runs:
        table(options.runs, options.seed, lambda line: print(line, flush=True))
    return 1 if failed else 0


def _counted(first: int, count: int) -> list[int]:
    print(f"{count} schedules of half an hour of virtual time", flush=True)
    return list(range(first, first + count))


def _fails(seed: int) -> bool:
    begun = time.monotonic()
    result = run(schedule_of(seed))
    if seed % 1000 == 999:
        print(f"  ... seed {seed} took {time.monotonic() - begun:.2f} s", flush=True)
    if result.broken is None:
        return False
    shortest = shrink(result.schedule, result.broken.promise)
    print(f"\nseed {seed}: {result.broken}\n{told(shortest)}\n{shortest.as_json()}\n", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
