"""A parent that holds the health port's socket, as systemd does: the daemon comes and goes, and no probe is lost."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stage import PATIENCE, Gateway, Supervisor, wait_until

Gateways = Callable[..., Gateway]

# As systemd does: the file becomes number 3, and the variables name the process that is to take it.
LAUNCH = """
import os
import sys

os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="health")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class Activated(Supervisor):
    """The daemon, beside a socket that outlives it."""

    def __init__(self, folder: Path, gateway: Gateway, more: str = "") -> None:
        super().__init__(folder, gateway, more=more)
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self.listening.getsockname()[1]

    def _spawn(self) -> None:
        number = self.listening.fileno()
        with self.log.open("a") as log:
            self.log_from = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(number), "-m", "wasupervisor", "run", "-c", str(self.config)],
                stderr=log,
                text=True,
                pass_fds=(number,),
            )

    def close(self) -> None:
        super().close()
        self.listening.close()


class Probes:
    """Clients that ask without a pause, each time on a new connection, as a balancer does."""

    def __init__(self, port: int, path: str = "/readyz", clients: int = 4) -> None:
        self._port = port
        self._path = path
        self._ends = threading.Event()
        self.answers: list[int] = []
        self.lost: list[str] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for one in self._threads:
            one.start()

    def _ask(self) -> None:
        while not self._ends.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            try:
                connection.request("GET", self._path, headers={"Connection": "close"})
                answer = connection.getresponse()
                answer.read()
                self.answers.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
            finally:
                connection.close()

    def until_more(self, least: int = 20) -> None:
        """Until so many more were answered."""
        wanted = len(self.answers) + least
        wait_until("probes are answered", lambda: len(self.answers) >= wanted)

    def end(self) -> None:
        self._ends.set()
        for one in self._threads:
            one.join(PATIENCE)


@pytest.fixture
def activated(gateways: Gateways, tmp_path: Path) -> Iterator[Activated]:
    one = Activated(tmp_path, gateways())
    yield one
    one.close()


def until_ready(supervisor: Supervisor) -> None:
    wait_until("it is ready", lambda: supervisor.get("/readyz").status_code == 200)


def test_probes_go_on_through_restarts_and_none_is_refused_or_told_no(activated: Activated) -> None:
    activated.start()
    until_ready(activated)
    probes = Probes(activated.port)
    try:
        for _ in range(4):
            probes.until_more()
            assert activated.stop() == 0
            activated._spawn()
        probes.until_more()
        activated.signal(signal.SIGHUP)
        wait_until("the configuration was read again", lambda: "was read again" in activated.logged())
        probes.until_more()
    finally:
        probes.end()
    assert probes.lost == []
    assert set(probes.answers) == {200}
    assert sum(one["text"] == "stopped" for one in activated.history()) == 4


def test_what_comes_while_no_daemon_runs_waits_for_the_next_one(activated: Activated) -> None:
    with socket.create_connection(("127.0.0.1", activated.port), timeout=PATIENCE) as early:
        early.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        activated.start()
        assert early.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_gateway_that_answers_slowly_after_a_restart_costs_no_probe(gateways: Gateways, activated: Activated) -> None:
    gateway = gateways()
    activated.config.write_text(activated.settings(gateway))
    activated.start()
    until_ready(activated)
    assert activated.stop() == 0
    gateway.fault("http", answer="slow", path="*", seconds=1.5)  # the configuration waits for 2 s
    activated._spawn()
    probes = Probes(activated.port)
    try:
        probes.until_more(4)
    finally:
        probes.end()
    assert probes.lost == []
    assert set(probes.answers) == {200}


def test_a_client_that_sends_nothing_does_not_hold_up_a_stop(activated: Activated) -> None:
    activated.start()
    with socket.create_connection(("127.0.0.1", activated.port)):
        until_ready(activated)  # so the one before was accepted
        assert activated.stop() == 0


def test_while_a_remedy_gets_its_time_probes_are_told_that_it_stops(
    gateways: Gateways, activated: Activated, tmp_path: Path
) -> None:
    gateway = gateways()
    activated.config.write_text(activated.settings(gateway))
    activated.start()
    activated.until_condition("s1", "healthy")
    gateway.fault("http", answer="slow", path="*/restart", seconds=2)
    gateway.fault("failed", session="s1", heals_after_restarts=1)
    wait_until("the restart was asked for", lambda: gateway.count("POST */restart") == 1)
    activated.signal(signal.SIGTERM)
    wait_until("not ready", lambda: activated.get("/readyz").status_code == 503)
    assert activated.wait() == 0
    activated.start()
    activated.until_condition("s1", "healthy")


def test_a_restart_command_inherits_nothing_of_it(gateways: Gateways, activated: Activated, tmp_path: Path) -> None:
    gateway, seen = gateways(), tmp_path / "seen"
    look = f"env | grep LISTEN_ >{seen}.new; ls -l /proc/self/fd | grep -c socket: >>{seen}.new; mv {seen}.new {seen}"
    more = f'recovery: {{restart_gateway: {{by: command, argv: [sh, -c, "{look}"]}}}}\n'
    text = activated.settings(gateway)
    start, end = text.index("recovery:"), text.index("uplink:")
    activated.config.write_text(text[:start] + more + text[end:])
    activated.start()
    until_ready(activated)
    assert activated.command("restart", "--gateway", "--force").returncode in (0, 1)
    wait_until("the command ran", seen.exists)
    assert seen.read_text() == "0\n"
