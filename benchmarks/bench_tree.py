"""One sample of the gateway's process tree, beside psutil's own walk of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import psutil
from bench_table import milliseconds, ratio, table

from wasupervisor.host import proc
from wasupervisor.host.found import Find
from wasupervisor.host.process import ProcessWatch
from wasupervisor.host.survey import shared_memory

SIZES = (1, 10, 50)

# Its children end when their standard input does, and that is with it.
_GATEWAY = """
import subprocess, sys
child = [sys.executable, "-S", "-c", "import sys; print(flush=True); sys.stdin.read()"]
for _ in range(int(sys.argv[1]) - 1):
    one = subprocess.Popen(child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    one.stdout.readline()
print("ready", flush=True)
sys.stdin.read()
"""


def measure(seconds: float) -> Iterator[str]:
    """Measure each for about so long; gives what is to be printed."""
    rows = [row for size in SIZES for row in _rows(size, seconds / len(SIZES) / 5)]
    head = ["", "processes", "CPU ms", "ratio"]
    notes = [
        "Goal: 2 ms for 50 processes, without what is shared; that is looked at once a minute, in a thread.",
        "A sample is CPU, memory, threads, descriptors, event loop, groups, pressure and the host's memory.",
    ]
    yield table("One sample of a process tree", head, rows, notes)


def _rows(size: int, seconds: float) -> Iterator[list[str]]:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _GATEWAY, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as gateway:
        try:
            assert gateway.stdout is not None
            gateway.stdout.readline()
            root = proc.stat(gateway.pid)
            assert root is not None
            tree = proc.tree(root)
            assert len(tree) == size
            reference = _each(lambda: psutil.Process(gateway.pid).children(recursive=True), seconds)
            costs = [
                ("a sample", _sample(gateway.pid, seconds)),
                ("the walk alone", _each(lambda: proc.tree(root), seconds)),
                ("psutil: children() (reference)", reference),
                ("psutil: children(), CPU and memory", _each(lambda: _by_psutil(gateway.pid), seconds)),
                ("what is shared (PSS)", _each(lambda: shared_memory(tree), seconds)),
            ]
        finally:
            gateway.communicate()
    for name, cost in costs:
        yield [name, str(size), milliseconds(cost), ratio(cost, reference)]


def _by_psutil(pid: int) -> None:
    root = psutil.Process(pid)
    for one in (root, *root.children(recursive=True)):
        with one.oneshot():
            one.memory_info()
            one.cpu_times()


def _sample(pid: int, seconds: float) -> float:
    async def read() -> float:
        watch = ProcessWatch(Find(pid_file=file))
        for _ in range(3):
            await watch.read()
            await watch.survey()
        calls, began, end = 0, time.process_time(), time.monotonic() + seconds
        while time.monotonic() < end:
            await watch.read()
            calls += 1
        return (time.process_time() - began) / calls

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "gateway.pid")
        file.write_text(str(pid))
        return anyio.run(read)


def _each(work: Callable[[], object], seconds: float) -> float:
    calls, began, end = 0, time.process_time(), time.monotonic() + seconds
    while time.monotonic() < end:
        work()
        calls += 1
    return (time.process_time() - began) / calls
