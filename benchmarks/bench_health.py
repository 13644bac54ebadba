"""The health port under load, and with 500 clients beside that never finish their request."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from bench_load import Answers, half_open, load
from bench_processes import HERE, PATIENCE, Gateway, Process, daemon, folder
from bench_table import milliseconds, ratio, table

SESSIONS = 50
HALF_OPEN = 500
PATH = "/health"


def measure(seconds: float) -> Iterator[str]:
    """Ask for so long in each situation; gives what is to be printed."""
    with ExitStack() as stack:
        gateway = stack.enter_context(Gateway("waha", SESSIONS))
        place = Path(stack.enter_context(folder()))
        process = stack.enter_context(daemon(gateway, place))
        ours, size = port_of(process), 0
        size = _size(ours)
        theirs = stack.enter_context(_reference(size))
        rows = []
        for name, connections, slow in (
            ("1 connection", 1, 0),
            ("50 connections", 50, 0),
            (f"1 connection, {HALF_OPEN} half-open beside", 1, HALF_OPEN),
            (f"50 connections, {HALF_OPEN} half-open beside", 50, HALF_OPEN),
        ):
            answers = asyncio.run(_ask(ours, connections, slow, seconds))
            reference = asyncio.run(_ask(theirs, connections, slow, seconds))
            rows.append(_row(name, answers, reference))
        rss = process.usage.rss
    yield table(
        f"GET {PATH}: {SESSIONS} sessions, {size:,} bytes",
        ["", "per s", "p50 ms", "p99 ms", "asyncio per s", "ratio", "p99 ms", "ratio"],
        rows,
        [
            "Goal: p99 of 50 ms beside 500 half-open connections. Kept connections; client and server share the CPUs.",
            "asyncio: a protocol that answers a fixed text of the same size to anything, without parsing or limits.",
            f"The daemon polled every 5 s meanwhile. Its RSS afterwards: {rss / 2**20:.1f} MB.",
        ],
    )


def _row(name: str, ours: Answers, reference: Answers) -> list[str]:
    slow, slow_reference = ours.percentile(0.99), reference.percentile(0.99)
    return [
        name,
        *(f"{ours.per_second:,.0f}", milliseconds(ours.percentile(0.5)), milliseconds(slow)),
        *(f"{reference.per_second:,.0f}", ratio(ours.per_second, reference.per_second)),
        *(milliseconds(slow_reference), ratio(slow, slow_reference)),
    ]


async def _ask(port: int, connections: int, slow: int, seconds: float) -> Answers:
    async with half_open(port, slow):
        return await load(port, PATH, connections, seconds)


def port_of(process: Process) -> int:
    """The port that the process listens on."""
    inodes = {str(link.readlink()) for link in Path(f"/proc/{process.process.pid}/fd").iterdir() if link.is_symlink()}
    for line in Path(f"/proc/{process.process.pid}/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
            return int(words[1].split(":")[1], 16)
    raise LookupError("the daemon does not listen")


def _size(port: int) -> int:
    """Of the document, once all sessions are healthy."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = httpx.get(f"http://127.0.0.1:{port}{PATH}", trust_env=False)
        if answer.json()["connections"]["active"] == SESSIONS:
            return len(answer.content)
        time.sleep(0.1)
    raise TimeoutError("the sessions did not become healthy")


@contextmanager
def _reference(size: int) -> Iterator[int]:
    command = [sys.executable, str(HERE / "reference_answer.py"), str(size)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdout.close()
    finally:
        process.kill()
        process.wait(PATIENCE)
