"""A gateway that really leaks, beside a daemon for whose decider half an hour passes at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
from gateway_runners import RunGateway, running
from stage import PATIENCE, Supervisor, wait_until

LIMITS = """
process: {{find: {find}, memory: {{restart: 300MB, for: 300ms}}}}
alerts: [{{to: "{hook}"}}]
"""
STEP = 130.0
"""Seconds between two steps of a leak: a forecast takes a point each 120."""


class Lapse(Supervisor):
    """The daemon of which `time_lapse.py` tells."""

    def __init__(self, folder: Path, gateway: Any, **options: Any) -> None:
        super().__init__(folder, gateway, **options)
        self._ahead = folder / "ahead"
        self.program = (str(Path(__file__).with_name("time_lapse.py")), str(self._ahead))
        self._passed = 0.0
        self.let_pass(0.0)

    def let_pass(self, seconds: float) -> None:
        """So much time has passed for the decider."""
        self._passed += seconds
        fresh = self._ahead.with_name("ahead.next")
        fresh.write_text(str(self._passed))
        fresh.replace(self._ahead)

    def look_again(self) -> dict[str, Any]:
        """The health document of a look that began from now on."""
        self._next(self._next(self.document()))
        return self.document()

    def _next(self, before: dict[str, Any]) -> dict[str, Any]:
        wait_until("another look", lambda: self.document()["written_at"] != before["written_at"])
        return self.document()


class Lap(NamedTuple):
    """One round of questions to the health port."""

    pid: int
    """The gateway's, before."""
    live: int
    ready: tuple[int, str]
    health: tuple[int, str]


class Prober:
    """Asks all that a load balancer may, all the while; a question without an answer ends it with its error."""

    def __init__(self, url: str, gateway: RunGateway) -> None:
        self.laps: list[Lap] = []
        self.error: Exception | None = None
        self._url, self._gateway, self._end = url, gateway, threading.Event()

    def run(self) -> None:
        """Until it is stopped."""
        try:
            with httpx.Client(base_url=self._url, trust_env=False, timeout=PATIENCE) as client:
                while not self._end.wait(0.05):
                    self.laps.append(self._lap(client))
        except Exception as error:
            self.error = error

    def _lap(self, client: httpx.Client) -> Lap:
        pid, ready, health = self._gateway.pid, client.get("/readyz"), client.get("/health")
        said = (health.status_code, str(health.json()["status"]))
        return Lap(pid, client.get("/livez").status_code, (ready.status_code, ready.text), said)

    def stop(self) -> None:
        """Ask no more."""
        self._end.set()

    def judge(self, first: int) -> None:
        """It always answered, and readiness said no while the first process was still there."""
        assert self.error is None
        assert {one.live for one in self.laps} == {200}
        drained = [one for one in self.laps if "draining before a restart of the gateway" in one.ready[1]]
        assert drained
        assert {(one.pid, one.ready[0]) for one in drained} == {(first, 503)}
        unwell = {"unhealthy", "starting"}
        assert [one.health for one in self.laps if (one.health[0] == 503) is not (one.health[1] in unwell)] == []


class Hook(ThreadingHTTPServer):
    """Where alerts are sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Alert)
        self.heard: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def told(self, kind: str) -> list[tuple[str, str]]:
        """Event and sentence of all alerts of this kind."""
        return [(one["event"], one["what"]) for one in self.heard if one["kind"] == kind]


class _Alert(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.heard.append(msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Nothing: its standard error is the test's."""


@contextmanager
def hook() -> Iterator[Hook]:
    """Listens until the end of the block."""
    with Hook() as it, running(it.serve_forever, it.shutdown):
        yield it


def configure(it: Supervisor, gateway: RunGateway, by: str, alerts: Hook, find: str = "") -> None:
    """Have it restart the gateway this way, above 300 MB."""
    port = gateway.url.rpartition(":")[2]
    section = f"recovery:\n  restart_gateway: {{{by}, drain: 500ms}}\n"
    # What the leak keeps busy is not silent yet.
    text = it.config.read_text().replace("recovery:\n", section).replace("timeout: 2s", "timeout: 10s")
    it.config.write_text(text + LIMITS.format(find=find or f"{{port: {port}}}", hook=alerts.url))


def of_restarts(it: Supervisor) -> list[dict[str, Any]]:
    """What the journal tells of restarts of the gateway."""
    return [one for one in it.history() if one["remedy"] == "restart_gateway"]


def is_verified(it: Supervisor) -> bool:
    return any(one["outcome"] == "healed" for one in of_restarts(it))


def leak_on(it: Lapse, gateway: RunGateway) -> str:
    """Two minutes in which it leaks 5 MB. Gives the notes afterwards."""
    gateway.take(5)
    it.let_pass(STEP)
    return str(it.look_again()["notes"])


def leak_and_heal(it: Lapse, gateway: RunGateway, alerts: Hook) -> str:
    """The whole story. Gives what the restarter said."""
    it.start()
    wait_until("ready", lambda: it.get("/readyz").status_code == 200)
    first, prober = gateway.pid, Prober(it.url, gateway)
    with running(prober.run, prober.stop):
        _is_forecast(it, gateway, alerts)
        assert gateway.pid == first
        for megabytes in (60, 60, 100):  # only the last is too much: then its time is up
            gateway.take(megabytes)
        wait_until("another process", lambda: gateway.pid != first)
        wait_until("it is verified", lambda: is_verified(it))
        wait_until("ready again", lambda: it.get("/readyz").status_code == 200)
    prober.judge(first)
    document = it.look_again()
    assert document["gateway"]["pid"] == gateway.pid
    assert document["resources"]["memory"]["used_bytes"] < 300_000_000
    assert "will reach its limit" not in str(document["notes"])
    told = [one for one in of_restarts(it) if one["kind"] != "withheld"]
    assert [(one["kind"], one["outcome"]) for one in told] == [
        ("remedy", None),
        ("result", "accepted"),
        ("verified", "healed"),
    ]
    assert told[0]["reason"] == "memory_high"
    # Of a restart that heals nobody is told more: not that the gateway was away, nor its sessions.
    wait_until("the end of both alerts", lambda: len(alerts.heard) >= 4)
    assert sorted((one["kind"], one["event"]) for one in alerts.heard) == [
        ("leak", "begin"),
        ("leak", "end"),
        ("resources", "begin"),
        ("resources", "end"),
    ]
    return str(told[1]["text"])


def _is_forecast(it: Lapse, gateway: RunGateway, alerts: Hook) -> None:
    """Half an hour in which it leaks: told in the notes, the journal, and by one alert."""
    for _ in range(14):
        notes = leak_on(it, gateway)
    assert "The gateway's memory grows and will reach its limit (300 MB) in " in notes
    wait_until("an alert", lambda: alerts.told("leak"))
    ((event, what),) = alerts.told("leak")
    assert event == "begin"
    assert what.startswith("the gateway's memory grows and will reach its limit (300 MB) in ")
    assert sum(one["kind"] == "gateway" and what[:60] in one["text"] for one in it.history()) == 1
    assert of_restarts(it) == []
