"""A frozen gateway under an engine and under a kubelet, played by threads of the test over a real process."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from stage import Gateway, Supervisor, free_port, wait_until

pytestmark = pytest.mark.timeout(120)

# Seconds from TERM to KILL, for what is not waited for in a test; and between two looks of the kubelet.
STOP, LOOK = 0.5, 0.1
PATIENCE = "  gateway: {hung_after: 1s, gone_after: 1s}\n"


class RunGateway:
    """A simulated WAHA in a process that its runner replaces: TERM, a wait, KILL, and a start in every case."""

    kind = "waha"

    def __init__(self, uplink_port: int) -> None:
        self.uplink_port, port = uplink_port, free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._argv = [sys.executable, "-m", "wasupervisor.simulator", "--kind", "waha", "--sessions", "2"]
        self._argv += ["--speed", "8", "--api-key", "secret-key", "--port", str(port)]
        self.ends: list[int] = []
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(self._argv, stdout=subprocess.PIPE)
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


class Engine(socketserver.ThreadingUnixStreamServer):
    """The two calls that are made of a container engine (API 1.41)."""

    daemon_threads = True

    def __init__(self, socket: Path, gateway: RunGateway) -> None:
        self.asked: list[str] = []
        self.gateway = gateway
        super().__init__(str(socket), Call)


class Call(BaseHTTPRequestHandler):
    """One of them."""

    server: Engine

    def do_GET(self) -> None:
        self._answer(200, {"Config": {"StopTimeout": 45}})

    def do_POST(self) -> None:
        self.server.gateway.replace()
        self._answer(204)

    def _answer(self, status: int, document: dict[str, Any] | None = None) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        body = json.dumps(document).encode() if document else b""
        self.send_response(status)
        if document:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Nothing: its standard error is the test's."""


@contextmanager
def running(work: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


class Livez:
    """Asks the health port again and again."""

    def __init__(self, it: Supervisor) -> None:
        self.answers: list[int] = []
        self._it, self._end = it, threading.Event()

    def ask(self) -> None:
        while not self._end.wait(0.05):
            self.answers.append(self._it.get("/livez").status_code)

    def stop(self) -> None:
        self._end.set()


@pytest.fixture
def gateway(gateways: Callable[..., Gateway]) -> Iterator[RunGateway]:
    made = RunGateway(gateways().uplink_port)
    yield made
    made.close()


@pytest.fixture
def supervisor(supervisors: Callable[..., Supervisor], gateway: RunGateway) -> Callable[[str], Supervisor]:
    def make(by: str) -> Supervisor:
        made = supervisors(gateway)
        section = f"recovery:\n  restart_gateway: {{{by}, drain: 0s}}\n{PATIENCE}"
        made.config.write_text(made.config.read_text().replace("recovery:\n", section))
        return made.start()

    return make


def freeze_and_heal(it: Supervisor, gateway: RunGateway) -> str:
    """What the journal says of the restart."""
    it.until_condition("s1", "healthy")
    first, livez = gateway.process.pid, Livez(it)
    with running(livez.ask, livez.stop):
        os.kill(first, signal.SIGSTOP)
        wait_until("it is verified", lambda: "healed" in outcomes(it))
    assert set(livez.answers) == {200}
    assert gateway.ends == [-signal.SIGKILL]
    assert it.document()["gateway"]["pid"] == gateway.process.pid != first
    (told,) = [one["text"] for one in it.history() if one["kind"] == "result"]
    return str(told)


def outcomes(it: Supervisor) -> list[str]:
    return [one["outcome"] for one in it.history() if one["remedy"] == "restart_gateway"]


def test_a_container_engine_restarts_a_frozen_gateway(
    gateway: RunGateway, supervisor: Callable[[str], Supervisor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    with Engine(socket, gateway) as engine, running(engine.serve_forever, engine.shutdown):
        told = freeze_and_heal(supervisor("by: docker, container: waha"), gateway)
        assert engine.asked == ["GET /containers/waha/json", "POST /containers/waha/restart?t=45"]
    assert told.endswith("the engine restarted the container waha, with 45 s to stop")


def test_a_kubelet_restarts_a_frozen_gateway_while_the_file_is_there(
    gateway: RunGateway, supervisor: Callable[[str], Supervisor], tmp_path: Path
) -> None:
    file, end = tmp_path / "restart-wanted", threading.Event()
    liveness = ["sh", "-c", f"test ! -e {file}"]

    def kubelet() -> None:
        failures = 0
        while not end.wait(LOOK):
            failures = failures + 1 if subprocess.run(liveness, check=False).returncode else 0
            if failures == 3:
                gateway.replace()
                failures = -20  # initialDelaySeconds of the new container

    with running(kubelet, end.set):
        told = freeze_and_heal(supervisor(f"by: kubelet, file: {file}"), gateway)
        assert not file.exists()
    assert told.endswith(f"{file} is there for the liveness probe; a new process was seen")
