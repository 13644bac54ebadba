"""Prints the benchmarks. Nothing is asserted: each figure stands beside a reference of the same run.

make bench                              about five minutes
make bench ARGS="--quick"               under two minutes, rougher
make bench ARGS="--only cycle,step"     some of them
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import bench_cycle
import bench_footprint
import bench_health
import bench_hostile
import bench_lifecycle
import bench_recording
import bench_step
import bench_sweep
import bench_tree

import wasupervisor

Measure = Callable[[], Iterator[str]]


def sections(*, quick: bool) -> dict[str, Measure]:
    """What is measured, in order."""
    return {
        "footprint": lambda: bench_footprint.measure(17.0 if quick else 66.0),
        "lifecycle": lambda: bench_lifecycle.measure(3 if quick else 11),
        "cycle": lambda: bench_cycle.measure(0.5 if quick else 3.0),
        "tree": lambda: bench_tree.measure(1.5 if quick else 15.0),
        "step": lambda: bench_step.measure(0.5 if quick else 3.0),
        "recording": lambda: bench_recording.measure(400 if quick else 4000),
        "sweep": lambda: bench_sweep.measure(100_000 if quick else 1_000_000),
        "health": lambda: bench_health.measure(1.0 if quick else 5.0),
        "hostile": lambda: bench_hostile.measure(2.0 if quick else 10.0),
    }


def main() -> None:
    """Measure and print."""
    names = list(sections(quick=True))
    parser = argparse.ArgumentParser(description="Prints the benchmarks.")
    parser.add_argument("--quick", action="store_true", help="under two minutes, rougher")
    parser.add_argument("--only", default=",".join(names), help=f"some of {','.join(names)}")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := set(wanted) - set(names):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    # As an installation has them: a daemon that compiles its modules itself takes 4 MB more and half a second longer.
    compileall.compile_dir(Path(wasupervisor.__file__).parent, quiet=1)
    print(_where(), flush=True)
    for name, measure in sections(quick=options.quick).items():
        if name in wanted:
            for text in measure():
                print(text, flush=True)


def _where() -> str:
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    python, kernel, load = platform.python_version(), platform.release(), os.getloadavg()[0]
    return (
        f"wasupervisor {wasupervisor.__version__}, {today}; Python {python}, Linux {kernel}, "
        f"{os.cpu_count()} CPUs ({model}), load {load:.1f}\n"
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    main()
