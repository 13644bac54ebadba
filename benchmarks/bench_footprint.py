"""Memory and CPU of a daemon that has nothing to do but to look, for 50 sessions every 5 s."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench_processes import PATIENCE, Gateway, Usage, daemon, folder, reference_poll
from bench_redis import redis_binary, redis_server
from bench_table import megabytes, ratio, table

SESSIONS = 50
SETTLE = 6.0
"""Seconds of the run that are not counted: the start, and the first turns in which everything is new."""

MONIT = """set daemon 5
set pidfile {folder}/monit.pid
set statefile {folder}/monit.state
set idfile {folder}/monit.id
check system here
"""
SUPERVISORD = """[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
[program:sleep]
command=sleep 3600
"""


class Figures(NamedTuple):
    """What one process used."""

    name: str
    rss: int
    pss: int
    cpu_per_hour: float


def measure(seconds: float) -> Iterator[str]:
    """Run everything side by side for so many seconds; gives what is to be printed."""
    with ExitStack() as stack:
        pids = {}
        for name, kind, options in (
            ("wasupervisor, WAHA", "waha", ()),
            ("wasupervisor, Evolution, /metrics", "evolution", ()),
            ("wasupervisor, Evolution, one call each", "evolution", ("--no-metrics",)),
        ):
            gateway = stack.enter_context(Gateway(kind, SESSIONS, *options))
            place = Path(stack.enter_context(folder()))
            pids[name] = stack.enter_context(daemon(gateway, place)).process.pid
            if kind == "waha":
                pids["reference: anyio+httpx"] = stack.enter_context(reference_poll(gateway, place)).process.pid
        binary = redis_binary()
        if binary is None:
            yield "no redis-server: no figures of a daemon that watches one\n"
        else:
            gateway = stack.enter_context(Gateway("waha", SESSIONS))
            port = stack.enter_context(redis_server(binary, "--appendonly", "yes"))
            more = f'redis: {{url: "redis://127.0.0.1:{port}/0"}}\n'
            place = Path(stack.enter_context(folder()))
            pids["wasupervisor, WAHA, Redis"] = stack.enter_context(daemon(gateway, place, more=more)).process.pid
        for program, config, arguments in (
            ("monit", MONIT, ("-I", "-c")),
            ("supervisord", SUPERVISORD, ("-n", "-c")),
        ):
            if shutil.which(program) is None:
                yield f"{program} is not installed: no figures of it\n"
            else:
                pids[program] = stack.enter_context(_other(program, config, arguments))
        time.sleep(SETTLE)
        before, began = {name: Usage.of(pid) for name, pid in pids.items()}, time.monotonic()
        time.sleep(max(seconds - SETTLE, 1.0))
        after, lasted = {name: Usage.of(pid) for name, pid in pids.items()}, time.monotonic() - began
    found = [
        Figures(name, use.rss, use.pss, (use.cpu - before[name].cpu) / lasted * 3600) for name, use in after.items()
    ]
    yield _printed(found, seconds, lasted)


def _printed(found: list[Figures], seconds: float, lasted: float) -> str:
    reference = next(one for one in found if one.name.startswith("reference"))
    rows = [
        [
            one.name,
            megabytes(one.rss),
            ratio(one.rss, reference.rss),
            megabytes(one.pss),
            ratio(one.pss, reference.pss),
            f"{one.cpu_per_hour:.1f}",
            ratio(one.cpu_per_hour, reference.cpu_per_hour),
        ]
        for one in found
    ]
    return table(
        f"Footprint after {seconds:.0f} s: {SESSIONS} sessions, a poll every 5 s",
        ["", "RSS MB", "ratio", "PSS MB", "ratio", "CPU s/h", "ratio"],
        rows,
        [
            "Goals: RSS 36 MB (stretch 32), with Redis 42 (40); 6 CPU s/h where one call lists all sessions.",
            f"CPU: that of the last {lasted:.0f} s, scaled to an hour. All processes ran side by side.",
        ],
    )


@contextmanager
def _other(program: str, config: str, arguments: tuple[str, ...]) -> Iterator[int]:
    """Another supervisor, watching as little as it can."""
    with folder() as place:
        path = Path(place) / "config"
        path.write_text(config.format(folder=place))
        path.chmod(0o600)
        process = subprocess.Popen([program, *arguments, str(path)], stdout=subprocess.DEVNULL)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(PATIENCE)
