"""A hundred probes a second, each over a connection of its own, beside clients that nobody wants."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from bench_health import port_of
from bench_processes import HERE, PATIENCE, Gateway, Process, folder
from bench_table import milliseconds, ratio, table

SESSIONS = 50
RATE = 100
PATH = "/readyz"

SCENES = (
    ("nobody else (reference)", None),
    ("500 half-open connections", "half-open"),
    ("20 that ask for much and do not read", "deaf"),
    ("500 TLS hellos a second", "garbage"),
    ("500 wrong tokens a second", "guesses"),
    ("500 new connections a second, kept", "flood-500"),
    ("1,000 new connections a second, kept", "flood-1000"),
)


def measure(seconds: float) -> Iterator[str]:
    """Probe for so long in each scene; gives what is to be printed."""
    with ExitStack() as stack:
        gateway = stack.enter_context(Gateway("waha", SESSIONS))
        place = Path(stack.enter_context(folder()))
        process = stack.enter_context(_with_token(gateway, place))
        port = port_of(process)
        _wait_until_ready(port)
        rows: list[list[str]] = []
        idle = 0.0
        for name, kind in SCENES:
            before = process.usage.cpu
            with hostile(port, kind):
                time.sleep(1)
                answers, wrong = asyncio.run(probe(port, seconds))
            worst = percentile(answers, 0.99)
            idle = idle or worst
            cpu = (process.usage.cpu - before) / (seconds + 1)
            shown = [milliseconds(percentile(answers, 0.5)), milliseconds(worst), milliseconds(answers[-1])]
            rows.append([name, f"{len(answers):,}", f"{wrong}", *shown, ratio(worst, idle), f"{cpu:.0%}"])
            time.sleep(2)
        rss = process.usage.rss
    yield table(
        f"{RATE} probes a second among hostile clients: GET {PATH}, a connection each",
        ["beside", "answered", "not", "p50 ms", "p99 ms", "slowest", "ratio of p99", "CPU"],
        rows,
        [
            "Goal: p99 of 50 ms. From before the connect to the last byte; clients, probes and daemon share the CPUs.",
            f"CPU: the daemon's, of one. {SESSIONS} sessions, a poll every 5 s. RSS afterwards: {rss / 2**20:.1f} MB.",
        ],
    )


def _with_token(gateway: Gateway, place: Path) -> Process:
    """The daemon, which takes commands on its health port too."""
    token = place / "token"
    token.touch(mode=0o600)
    token.write_text("0123456789abcdef" * 4)
    config = gateway.config(place, "5s")
    config.write_text(config.read_text().replace("control.sock}", f"control.sock, token_file: {token}}}"))
    return Process([sys.executable, "-m", "wasupervisor", "run", "-c", str(config)], place)


def _wait_until_ready(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while httpx.get(f"http://127.0.0.1:{port}{PATH}", trust_env=False).status_code != 200:
        if time.monotonic() > end:
            raise TimeoutError("the gateway did not become ready")
        time.sleep(0.1)


def percentile(latencies: list[float], share: float) -> float:
    """Seconds within which this share was answered."""
    return latencies[min(int(len(latencies) * share), len(latencies) - 1)]


@contextmanager
def hostile(port: int, kind: str | None) -> Iterator[None]:
    """Clients of this kind, in a process of their own."""
    if kind is None:
        yield
        return
    process = subprocess.Popen([sys.executable, str(HERE / "hostile_clients.py"), str(port), kind])
    try:
        yield
    finally:
        process.kill()
        process.wait(PATIENCE)


async def probe(port: int, seconds: float) -> tuple[list[float], int]:
    """Begin one every hundredth of a second, whatever became of the last; latencies, sorted, and how many failed."""
    latencies: list[float] = []
    failed = 0

    async def one() -> None:
        nonlocal failed
        began = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            told = await reader.read()
            writer.close()
            await writer.wait_closed()
        except OSError:
            told = b""
        if told.startswith(b"HTTP/1.1 200 ") and told.endswith(b"\n"):
            latencies.append(time.monotonic() - began)
        else:
            failed += 1

    begin = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(round(seconds * RATE)):
            await asyncio.sleep(begin + number / RATE - time.monotonic())
            tasks.create_task(one())
    return sorted(latencies), failed
