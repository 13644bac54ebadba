"""Who runs a gateway's process and replaces it, played by the tests: a command, a container engine, a kubelet."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
from stage import PATIENCE, free_port, wait_until

from wasupervisor.host import proc
from wasupervisor.host.moments import wall_time_of

# Seconds from TERM to KILL, for what is not waited for in a test; and between two looks of the kubelet.
STOP, LOOK = 0.5, 0.1

# A keeper, in one command: TERM, a wait, KILL, and a start in every case.
KEEPER = """
import contextlib, json, os, pathlib, signal, subprocess, sys, time
place = pathlib.Path(sys.argv[1])
pid_file, argv = place / "pid", json.loads((place / "argv").read_text())
with contextlib.suppress(OSError):
    old = int(pid_file.read_text())
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.kill(old, number)
        end = time.monotonic() + 1.0
        while time.monotonic() < end and pathlib.Path(f"/proc/{old}/stat").read_text().split()[2] not in "ZX":
            time.sleep(0.02)
with (place / "out").open("w") as out:
    new = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
new.returncode = 0
(place / "next").write_text(str(new.pid))
(place / "next").replace(pid_file)
print("started", new.pid)
"""


class RunGateway:
    """A simulated WAHA, always on the same ports, in a process that somebody replaces."""

    kind = "waha"

    def __init__(self, uplink_port: int, *options: str) -> None:
        """`uplink_port`: WhatsApp is played by another process, which neither freezes nor ends with the gateway."""
        self.uplink_port, self.port, self._control = uplink_port, free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.argv = [sys.executable, "-m", "wasupervisor.simulator", "--kind", "waha", "--sessions", "2"]
        self.argv += ["--speed", "8", "--api-key", "secret-key", "--port", str(self.port)]
        self.argv += ["--control-port", str(self._control), *options]

    @property
    def pid(self) -> int:
        """Of the present process, or of the one that has just ended."""
        raise NotImplementedError

    def take(self, megabytes: int) -> None:
        """Let the present process lose so much memory."""
        fault = {"fault": "memory", "megabytes": megabytes}
        answer = httpx.post(
            f"http://127.0.0.1:{self._control}/_simulator/fault", json=fault, trust_env=False, timeout=PATIENCE
        )
        assert answer.status_code == 200, answer.text

    def replace(self) -> None:
        """TERM, a wait, KILL, and a start in every case."""
        raise NotImplementedError

    def close(self) -> None:
        """End all that it ever was."""
        raise NotImplementedError


class KeptGateway(RunGateway):
    """Started and replaced by a command. It stops as WAHA does, slowly."""

    def __init__(self, folder: Path, uplink_port: int, *options: str) -> None:
        super().__init__(uplink_port, "--mortal", *options)
        self.folder = folder
        (folder / "argv").write_text(json.dumps(self.argv))
        (folder / "keeper.py").write_text(KEEPER)
        self.command = [sys.executable, str(folder / "keeper.py"), str(folder)]
        self.started: list[int] = []
        self.replace()
        wait_until("the gateway listens", lambda: "uplink_port" in (folder / "out").read_text())

    @property
    def pid(self) -> int:
        pid = int((self.folder / "pid").read_text())
        if pid not in self.started:
            self.started.append(pid)
        return pid

    def replace(self) -> None:
        os.waitpid(os.posix_spawn(self.command[0], self.command, os.environ), 0)

    def close(self) -> None:
        for pid in {self.pid, *self.started}:
            with contextlib.suppress(OSError):
                if str(self.folder) in Path(f"/proc/{pid}/fd/1").readlink().as_posix():
                    os.kill(pid, signal.SIGKILL)


class ChildGateway(RunGateway):
    """A child of the test, for an engine or a kubelet that the test plays."""

    def __init__(self, uplink_port: int, *options: str) -> None:
        super().__init__(uplink_port, *options)
        self.ends: list[int] = []
        self._start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _start(self) -> None:
        self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def replace(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._reap()
        self._start()

    def _reap(self) -> None:
        self.ends.append(self.process.wait())
        assert self.process.stdout is not None
        self.process.stdout.close()

    def close(self) -> None:
        self.process.kill()
        self._reap()


@contextmanager
def running(work: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    """Work in a thread, from here to the end of the block."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


class Engine(socketserver.ThreadingUnixStreamServer):
    """The two calls that are made of a container engine (API 1.41), for the one container `waha`."""

    daemon_threads = True

    def __init__(self, socket: Path, gateway: ChildGateway) -> None:
        self.asked: list[str] = []
        self.gateway = gateway
        super().__init__(str(socket), _Call)

    def inspected(self) -> Mapping[str, Any]:
        """GET /containers/waha/json, cut."""
        pid = self.gateway.pid
        process = proc.stat(pid)
        started = datetime.fromtimestamp(0.0 if process is None else wall_time_of(process.born), UTC)
        return {
            "Id": "4f1d0c3e9b5a7d2f6e8c1b0a9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d0e",
            "Name": "/waha",
            "State": {"Status": "running", "Running": True, "Pid": pid, "StartedAt": started.isoformat()},
            "Config": {"StopTimeout": 45},
        }


class _Call(BaseHTTPRequestHandler):
    server: Engine

    def do_GET(self) -> None:
        self._answer(200, self.server.inspected())

    def do_POST(self) -> None:
        self.server.gateway.replace()
        self._answer(204)

    def _answer(self, status: int, document: Mapping[str, Any] | None = None) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        body = json.dumps(document).encode() if document else b""
        self.send_response(status)
        if document:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Nothing: its standard error is the test's."""


class Kubelet:
    """Restarts a container whose liveness probe fails three times in a row."""

    def __init__(self, liveness: list[str], gateway: ChildGateway) -> None:
        self._liveness, self._gateway, self._end = liveness, gateway, threading.Event()

    def run(self) -> None:
        """Until it is stopped."""
        failures = 0
        while not self._end.wait(LOOK):
            failures = failures + 1 if subprocess.run(self._liveness, check=False).returncode else 0
            if failures == 3:
                self._gateway.replace()
                failures = -20  # initialDelaySeconds of the new container

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
