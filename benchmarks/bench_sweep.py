"""What a sweep of all keys costs beside a bare SCAN of them, and what another client of the same Redis notices."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import anyio
from bench_redis import redis_binary, redis_server
from bench_table import megabytes, milliseconds, ratio, table

from wasupervisor.keyspace.connection import Node, Script, Servers, connect
from wasupervisor.keyspace.info import read_info
from wasupervisor.keyspace.rules import Rule
from wasupervisor.keyspace.sweep import Sweep, Wrong

MISTYPED = 20
ROUNDS = 7
EVERY = 0.004
"""Seconds between two commands of the other client."""

NOTHING, BARE, SWEEP = "nothing", "bare SCAN COUNT 1000", "sweep"

_CLIENT_HEAD = ("client p50 ms", "more", "p99 ms", "more", "ratio", "max ms", "more")
HEAD = ("", "s", "ratio", "call p99 ms", "memory +MB", *_CLIENT_HEAD)

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

CLIENT = """
import socket, sys, threading, time
talk = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
talk.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
every, now = float(sys.argv[2]), time.perf_counter
commands = b"*2\\r\\n$3\\r\\nGET\\r\\n$5\\r\\nprobe\\r\\n", \\
    b"*3\\r\\n$3\\r\\nSET\\r\\n$5\\r\\nprobe\\r\\n$1\\r\\nx\\r\\n"
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
print("ready", flush=True)
took, due = [], now()
while not ended.is_set():
    due += every
    began, left = due, due - now()
    if left > 0:
        time.sleep(left)
        began = now()
    # Else the reply before was late, and a client that does not wait for it would have sent this one when it was due.
    talk.sendall(commands[len(took) % 2])
    talk.recv(64)
    took.append(now() - began)
took.sort()
print(took[len(took) // 2], took[int(len(took) * 0.99)], took[-1])
"""


class Round(NamedTuple):
    """One way over all keys, once."""

    seconds: float
    call: float
    """Seconds that the server was busy with one call, of a hundred all but one; 0 where it does not tell (6.2)."""
    grown: float
    """Bytes by which our memory was larger at its most than before."""
    p50: float
    """Seconds that another client waited: half of the time at most, of a hundred all but one, the longest."""
    p99: float
    longest: float


Rounds = Sequence[dict[str, Round]]


def measure(keys: int) -> Iterator[str]:
    """Over so many keys; gives what is to be printed."""
    binary = redis_binary()
    if binary is None:
        yield "## A sweep of all keys\n\nNot measured: no redis-server.\n"
        return
    for share, title in ((1, "one key in ten is under a rule"), (10, "every key is under a rule")):
        with redis_server(binary) as port:
            version, rounds = anyio.run(_rounds, port, keys, share)
        yield table(
            f"A sweep of {keys:,} keys, {title}: Redis {version}",
            HEAD,
            [_row(name, rounds) for name in (NOTHING, BARE, SWEEP)],
            [
                f"Medians of {ROUNDS} rounds, in each of which every way was gone once.",
                f"{MISTYPED} keys are of a wrong type, and each sweep found just those.",
                "Call: by the server's own clock. A client that comes in its midst waits for its end.",
                f"Client: in a process of its own, GET and SET in turn, one every {EVERY * 1000:g} ms; each is counted",
                "from when it was due. The rests of the sweep, if calls took more than 1.5 ms, are in its seconds.",
                "More, and the ratio beside it: than beside nothing, in the same round.",
            ],
        )


def _row(name: str, rounds: Rounds) -> list[str]:
    def middle(figure: Callable[[Round], float]) -> float:
        return median(figure(one[name]) for one in rounds)

    def more(figure: Callable[[Round], float]) -> str:
        return milliseconds(median(figure(one[name]) - figure(one[NOTHING]) for one in rounds))

    def times(figure: Callable[[Round], float], reference: str) -> str:
        return ratio(median(figure(one[name]) / figure(one[reference]) for one in rounds), 1.0)

    def p50(one: Round) -> float:
        return one.p50

    def p99(one: Round) -> float:
        return one.p99

    def longest(one: Round) -> float:
        return one.longest

    waited = [milliseconds(middle(p50)), more(p50), milliseconds(middle(p99)), more(p99), times(p99, NOTHING)]
    waited += [milliseconds(middle(longest)), more(longest)]
    if name == NOTHING:
        return [name, "-", "-", "-", "-", waited[0], "-", waited[2], "-", "-", waited[5], "-"]
    return [
        name,
        f"{middle(lambda one: one.seconds):.2f}",
        times(lambda one: one.seconds, BARE),
        milliseconds(middle(lambda one: one.call)) if all(one[name].call for one in rounds) else "-",
        megabytes(max(one[name].grown for one in rounds)),
        *waited,
    ]


async def _rounds(port: int, keys: int, share: int) -> tuple[str, Rounds]:
    async with await connect(f"redis://127.0.0.1:{port}/0", timeout=30.0) as servers:
        node = servers.nodes[0]
        for first in range(0, keys, 10_000):
            await node.run(FILL, [], [first, min(first + 10_000, keys) - 1, share])
        await node.calls([("SET", f"wa:auth:wrong-{number}", "x") for number in range(MISTYPED)])
        ways: dict[str, tuple[str, Callable[[], Awaitable[None]]]] = {
            NOTHING: ("", lambda: anyio.sleep(1.0)),
            BARE: ("scan", lambda: _bare(node)),
            SWEEP: ("evalsha", lambda: _sweep(servers)),
        }
        rounds = [
            {name: await _round(node, port, command, work) for name, (command, work) in ways.items()}
            for _ in range(ROUNDS)
        ]
        version = (await read_info(node, "server")).text("redis_version")
    return version or "unknown", rounds


async def _round(node: Node, port: int, command: str, work: Callable[[], Awaitable[None]]) -> Round:
    await node.call("CONFIG", "RESETSTAT")
    before = _begin_peak()
    with _client(port) as waited:
        began = time.perf_counter()
        await work()
        seconds = time.perf_counter() - began
    return Round(seconds, await _longest(node, command), _memory("VmHWM") - before, *waited)


async def _longest(node: Node, command: str) -> float:
    found = re.search(rf"usec_{command}:.*p99=([0-9.]+)", (await node.call("INFO", "latencystats")).decode())
    return 0.0 if found is None else float(found[1]) / 1e6


async def _bare(node: Node) -> None:
    cursor = None
    while cursor != b"0":
        cursor, _names = await node.call("SCAN", cursor or b"0", "COUNT", 1000)


async def _sweep(servers: Servers) -> None:
    found: list[Wrong] = []

    async def take(wrong: Sequence[Wrong]) -> None:
        found.extend(wrong)

    await Sweep(servers, RULES, clock=time.perf_counter, rest=anyio.sleep).run(take)
    assert len(found) == MISTYPED, len(found)


@contextmanager
def _client(port: int) -> Iterator[list[float]]:
    """Another client; its figures are there at the end."""
    figures: list[float] = []
    words = [sys.executable, "-c", CLIENT, str(port), str(EVERY)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        client.stdout.readline()
        yield figures
        figures.extend(float(word) for word in client.communicate()[0].split())


def _begin_peak() -> float:
    """The memory of now, from which VmHWM grows; see proc(5)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _memory("VmRSS")


def _memory(name: str) -> float:
    """Of our process, bytes: `VmRSS`, or `VmHWM`, its peak."""
    found = re.search(rf"{name}:\s+([0-9]+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024.0
