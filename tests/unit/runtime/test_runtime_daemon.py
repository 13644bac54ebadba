"""The whole daemon in this process, beside a simulated gateway: whatever fails or hangs, it lives and ends in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from wasupervisor.config.loading import load
from wasupervisor.decide.memory import load as load_memory
from wasupervisor.report.http import Server
from wasupervisor.runtime import daemon as daemon_module
from wasupervisor.runtime.daemon import Daemon
from wasupervisor.runtime.startup import StartError
from wasupervisor.simulator.faults import Failed, Http
from wasupervisor.simulator.kinds import make_world
from wasupervisor.simulator.server import SimulatedGateway, serve
from wasupervisor.store import store as store_module
from wasupervisor.store.database import Database
from wasupervisor.store.errors import StateDirectoryInUse
from wasupervisor.store.reader import read_history, read_state
from wasupervisor.store.store import Store

pytestmark = pytest.mark.anyio

CONFIG = """
gateway: {{kind: waha, url: "{url}", poll_every: 100ms, timeout: {timeout}, action_timeout: 30s}}
recovery:
  failing_after: {{samples: 1, duration: 100ms}}
  startup_grace: 100ms
  stable_for: 100ms
  budget: {{spacing: 0s}}
uplink: {{host: 127.0.0.1, port: {uplink}}}
health: {{listen: "127.0.0.1:0", file: {folder}/health.json}}
control: {{socket: {folder}/control.sock}}
state: {{directory: {folder}/state}}
"""


class Ear:
    """Hears what systemd would hear."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(self.address)

    def heard(self) -> list[str]:
        """Since the last time."""
        found: list[str] = []
        while True:
            try:
                found.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


class Run:
    """A daemon that runs."""

    def __init__(self, folder: Path, gateway: SimulatedGateway, ear: Ear, timeout: str = "2s", more: str = "") -> None:
        self.folder = folder
        self.gateway = gateway
        self.ear = ear
        self.config = folder / "config.yaml"
        self.config.write_text(
            CONFIG.format(url=gateway.url, uplink=gateway.uplink.door.port, folder=folder, timeout=timeout) + more
        )
        self.daemon = Daemon(
            load(self.config, {}),
            read_again=lambda: load(self.config, {}),
            environ={"NOTIFY_SOCKET": ear.address, "WATCHDOG_USEC": "90000000"},
        )
        self.url = ""
        self.status: int | None = None

    async def live(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Until it ends."""
        async with anyio.create_task_group() as tasks:
            host, port = await tasks.start(self._run)
            self.url = f"http://{host}:{port}"
            task_status.started()

    async def _run(self, *, task_status: anyio.abc.TaskStatus[tuple[str, int]]) -> None:
        self.status = await self.daemon.run(task_status=task_status)

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            return await client.get(self.url + path)

    async def until(self, what: str, check: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Ask for the health document until something is true of it."""
        with anyio.fail_after(30):
            while True:
                document: dict[str, Any] = (await self.get("/health")).json()
                if check(document):
                    return document
                await anyio.sleep(0.02)

    async def until_healthy(self) -> None:
        await self.until("healthy", lambda found: found["status"] == "healthy" and found["ready"])

    async def until_called(self, match: str) -> None:
        await until(lambda: self.gateway.count(match))

    async def until_it_hangs(self) -> None:
        """From now on the gateway answers nothing, and the daemon waits for it."""
        begun = len(self.gateway.calls)
        self.gateway.apply(Http(answer="hang"))
        await until(lambda: len(self.gateway.calls) > begun and self.gateway.calls[-1].status is None)

    def journal(self) -> list[str]:
        return [one.entry.text for one in read_history(self.folder / "state")]


@asynccontextmanager
async def running(folder: Path, *, start: bool = True, timeout: str = "2s", more: str = "") -> AsyncIterator[Run]:
    """A daemon beside a gateway with two sessions; it has ended when this ends."""
    ear = Ear(folder)
    try:
        async with serve(make_world("waha", ["a", "b"], speed=4.0)) as gateway:
            run = Run(folder, gateway, ear, timeout, more)
            async with anyio.create_task_group() as tasks:
                if start:
                    await tasks.start(run.live)
                    await run.until_healthy()
                try:
                    yield run
                finally:
                    run.daemon.stop()
    finally:
        ear.close()


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def until(check: Callable[[], object]) -> None:
    """Wait for something that nobody tells."""
    with anyio.fail_after(30):
        while not check():  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def ended(run: Run) -> int:
    """Wait for its end."""
    await until(lambda: run.status is not None)
    assert run.status is not None
    return run.status


async def test_it_lives_and_ends_in_order(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        assert json.loads((tmp_path / "health.json").read_bytes())["status"] == "healthy"
        send(signal.SIGTERM)
        assert await ended(it) == 0
        assert json.loads((tmp_path / "health.json").read_bytes())["status"] == "stopped"
        assert not (tmp_path / "control.sock").exists()
        heard = it.ear.heard()
        assert heard[0].startswith("READY=1")
        assert "WATCHDOG=1" in heard
        assert any(one.startswith("STOPPING=1") for one in heard)
        assert it.journal()[-1] == "stopped"


async def test_a_fault_of_ours_in_each_turn_is_told_once_feeds_no_watchdog_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = 0

    def fail(*arguments: Any) -> None:
        nonlocal failures
        failures += 1
        raise MemoryError("boom")

    async with running(tmp_path) as it:
        with monkeypatch.context() as broken:
            broken.setattr("wasupervisor.runtime.cycle.step", fail)
            await until(lambda: failures >= 1)
            it.ear.heard()
            await until(lambda: failures >= 4)
            assert not any("WATCHDOG" in one for one in it.ear.heard())
            assert (await it.get("/health")).json()["status"] == "healthy"
            assert caplog.text.count("MemoryError: boom") == 1
        await it.until_healthy()
        await until(lambda: any("WATCHDOG" in one for one in it.ear.heard()))
        assert "a turn goes well again" in caplog.text
        it.daemon.stop()
        await ended(it)
        assert sum("a turn failed (MemoryError)" in text for text in it.journal()) == 1


async def test_a_fault_in_pruning_or_in_a_port_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, served = Server.serve, 0

    async def prune(_store: Store, **_rest: Any) -> bool:
        raise RuntimeError("prune")

    async def serve_later(server: Server, listening: socket.socket) -> None:
        nonlocal served
        served += 1
        if served <= 2:
            raise RuntimeError("port")
        await real(server, listening)

    monkeypatch.setattr(Store, "prune", prune)
    monkeypatch.setattr(Server, "serve", serve_later)
    async with running(tmp_path) as it:
        assert served == 4
        assert (await it.get("/livez")).status_code == 200
    assert it.status == 0
    for name in ("pruning the journal", "the health port", "the control socket"):
        assert caplog.text.count(f"{name} failed") == 1


async def test_a_stop_during_a_start_on_a_disk_that_hangs_is_heeded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, answers = threading.Event(), threading.Event()

    def hang(_directory: Path) -> None:
        begun.set()
        answers.wait(30)

    monkeypatch.setattr(store_module, "prepare_directory", hang)
    async with running(tmp_path, start=False) as it, anyio.create_task_group() as tasks:

        async def run() -> None:
            it.status = await it.daemon.run()

        tasks.start_soon(run)
        await until(begun.is_set)
        send(signal.SIGTERM)
        assert await ended(it) == 0
        answers.set()
    assert not (tmp_path / "control.sock").exists()
    assert not (tmp_path / "health.json").exists()


async def test_a_stop_during_a_look_at_a_gateway_that_hangs_waits_for_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, timeout="5m") as it:
        await it.until_it_hangs()
        for path in ("/health", "/livez", "/readyz"):
            assert (await it.get(path)).status_code == 200
        send(signal.SIGTERM)
        assert await ended(it) == 0
    assert it.journal()[-1] == "stopped"


async def test_a_storm_of_sighup_while_the_gateway_hangs_does_not_keep_sigterm_waiting(tmp_path: Path) -> None:
    async with running(tmp_path, timeout="5m") as it:
        await it.until_it_hangs()
        for _ in range(50):
            send(signal.SIGHUP)
            await anyio.sleep(0.001)
        send(signal.SIGTERM)
        assert await ended(it) == 0


async def test_sighup_takes_a_good_file_and_tells_systemd_in_order(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        it.ear.heard()
        it.config.write_text(it.config.read_text().replace("  startup_grace", "  mode: observe\n  startup_grace"))
        send(signal.SIGHUP)
        await it.until("observe", lambda found: any("observe" in note for note in found["notes"]))
        heard = [one for one in it.ear.heard() if "RELOADING" in one or "READY" in one]
        assert [one.split("\n")[0] for one in heard] == ["RELOADING=1", "READY=1"]
        it.config.write_text("nonsense: [")
        send(signal.SIGHUP)
        await until(lambda: any("kept as it was" in text for text in it.journal()))


async def test_a_remedy_that_does_not_end_is_cut_off_at_a_stop_told_and_counts_as_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "FINISH_WITHIN", 0.2)
    async with running(tmp_path) as it:
        it.gateway.apply(Http(answer="hang", path="*/restart"))
        it.gateway.apply(Failed(session="a"))
        await it.until_called("POST */restart")
        send(signal.SIGTERM)
        assert await ended(it) == 0
    assert any("the supervisor stopped before the gateway answered" in text for text in it.journal())
    memory = read_state(tmp_path / "state").memory
    assert memory is not None
    assert len(load_memory(memory).sessions["a"].made) == 1


async def test_a_second_signal_does_not_wait_and_the_state_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "FINISH_WITHIN", 3600.0)
    async with running(tmp_path) as it:
        it.gateway.apply(Http(answer="hang", path="*/restart"))
        it.gateway.apply(Failed(session="a"))
        await it.until_called("POST */restart")
        send(signal.SIGTERM)
        await it.until("stopping", lambda found: found["status"] == "stopping")
        send(signal.SIGINT)
        assert await ended(it) == 128 + signal.SIGINT
    memory = read_state(tmp_path / "state").memory
    assert memory is not None
    assert load_memory(memory).sessions["a"].attempt is not None


async def test_a_stop_while_the_states_disk_hangs_waits_for_it_no_longer_than_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = threading.Event()

    def hang(*arguments: Any) -> None:
        answers.wait(30)

    for call in (Store.save, Store.prune, Store.close):
        assert call.__kwdefaults__ is not None
        monkeypatch.setitem(call.__kwdefaults__, "timeout", 0.2)
    async with running(tmp_path) as it:
        monkeypatch.setattr(Database, "commit", hang)
        it.gateway.apply(Failed(session="a"))
        found = await it.until("told", lambda found: any("state cannot be written" in note for note in found["notes"]))
        assert found["status"] == "degraded"
        assert any("the disk has not answered" in note for note in found["notes"])
        assert (await it.get("/livez")).status_code == 200
        send(signal.SIGTERM)
        assert await ended(it) == 0
        assert json.loads((tmp_path / "health.json").read_bytes())["status"] == "stopped"
        assert it.gateway.count("POST *") == 0
        answers.set()
    assert "the state is not written" in caplog.text


async def test_orders_at_a_stop_are_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        it.gateway.apply(Http(answer="hang", path="*/restart"))
        it.gateway.apply(Failed(session="a"))
        await it.until_called("POST */restart")
        send(signal.SIGTERM)
        await it.until("stopping", lambda found: found["status"] == "stopping")
        transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "control.sock"))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            answer = await client.post("http://x/sessions/a/restart")
        assert (answer.status_code, answer.json()["error"]) == (503, "the daemon is stopping")
        send(signal.SIGINT)
        await ended(it)


async def test_a_start_that_is_refused_holds_nothing_and_leaves_no_socket(tmp_path: Path) -> None:
    async with running(tmp_path, start=False) as it:
        (tmp_path / "control.sock").mkdir()
        for _ in range(2):
            with pytest.raises(StartError, match="no socket"):
                await it.daemon.run()
        (tmp_path / "control.sock").rmdir()
        async with anyio.create_task_group() as tasks:
            await tasks.start(it.live)
            await it.until_healthy()
            second = Daemon(load(it.config, {}), environ={})
            with pytest.raises(StateDirectoryInUse, match=str(os.getpid())):
                await second.run()
            it.daemon.stop()


async def test_a_gateway_address_that_cannot_be_used_is_a_line_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise ValueError("cannot use gateway.url: it has no host")

    monkeypatch.setattr(daemon_module, "open_watch", refuse)
    async with running(tmp_path, start=False) as it:
        with pytest.raises(StartError, match=r"^cannot use gateway\.url: it has no host$"):
            await it.daemon.run()
    assert not (tmp_path / "state").exists()
