"""Starts what is measured as processes of their own, and reads what the kernel knows of them."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

HERE = Path(__file__).parent
PATIENCE = 30.0
"""Seconds after which something that does not come is given up."""

CONFIG = """
gateway: {{kind: {kind}, url: "{url}", api_key: secret-key, poll_every: {poll}}}
recovery: {{stable_for: 1s}}
uplink: {{host: 127.0.0.1, port: {uplink_port}}}
health: {{listen: "127.0.0.1:0", file: {folder}/health.json}}
control: {{socket: {folder}/control.sock}}
state: {{directory: {folder}/state}}
log: {{level: warning}}
"""


class Usage(NamedTuple):
    """What a process uses: bytes, and seconds of CPU since it began."""

    rss: int
    pss: int
    cpu: float

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Look now."""
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        rss, pss = (int(fields[name].split()[0]) * 1024 for name in ("Rss", "Pss"))
        # What clock_getcpuclockid(3) gives: the CPU clock of a whole process, exact to the nanosecond.
        return cls(rss, pss, time.clock_gettime(~pid << 3 | 2))


class Process:
    """A process that says READY=1 as to systemd, and ends at SIGTERM. It is ended with the `with` block."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        address = str(folder / f"notify-{id(self):x}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(address)
            ready.settimeout(PATIENCE)
            began = time.monotonic()
            self.process = subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": address})
            try:
                while b"READY=1" not in ready.recv(4096):
                    pass
            except BaseException:
                self.__exit__(None, None, None)
                raise
            self.seconds_to_ready = time.monotonic() - began

    @property
    def usage(self) -> Usage:
        """What it uses."""
        return Usage.of(self.process.pid)

    def stop(self) -> float:
        """SIGTERM; gives the seconds to its end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        return time.monotonic() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Gateway:
    """A simulated gateway in a process of its own. It is ended with the `with` block."""

    def __init__(self, kind: str, sessions: int, *options: str) -> None:
        command = [sys.executable, "-m", "wasupervisor.simulator", "--kind", kind, "--sessions", str(sessions)]
        self.process = subprocess.Popen(
            [*command, "--api-key", "secret-key", *options], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise TimeoutError("the simulated gateway did not begin")
        about = json.loads(self.process.stdout.readline())
        self.kind = kind
        self.url: str = about["url"]
        self.uplink_port: int = about["uplink_port"]
        listing = "/api/sessions?all=true" if kind == "waha" else "/instance/fetchInstances"
        self.list_url = self.url + listing
        self.header = ("X-Api-Key" if kind == "waha" else "apikey", "secret-key")

    def config(self, folder: Path, poll: str, more: str = "") -> Path:
        """A configuration for it, and more of it as it stands there."""
        path = folder / "config.yaml"
        text = CONFIG.format(kind=self.kind, url=self.url, uplink_port=self.uplink_port, folder=folder, poll=poll)
        path.write_text(text + more)
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()


def daemon(gateway: Gateway, folder: Path, poll: str = "5s", more: str = "") -> Process:
    """The daemon beside a gateway."""
    config = gateway.config(folder, poll, more)
    return Process([sys.executable, "-m", "wasupervisor", "run", "-c", str(config)], folder)


def reference_poll(gateway: Gateway, folder: Path, every: float = 5.0) -> Process:
    """The bare loop that only asks for the list."""
    script = str(HERE / "reference_poll.py")
    return Process([sys.executable, script, gateway.list_url, *gateway.header, str(every)], folder)


def folder() -> tempfile.TemporaryDirectory[str]:
    """A place for one measurement."""
    return tempfile.TemporaryDirectory(prefix="wasupervisor-bench-")
