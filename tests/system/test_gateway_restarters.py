"""A frozen gateway under an engine and under a kubelet, played by threads of the test over a real process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gateway_runners import ChildGateway, Engine, Kubelet, running
from stage import Gateway, Supervisor, wait_until

pytestmark = pytest.mark.timeout(120)

PATIENCE = "  gateway: {hung_after: 1s, gone_after: 1s}\n"


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
def gateway(gateways: Callable[..., Gateway]) -> Iterator[ChildGateway]:
    made = ChildGateway(gateways().uplink_port)
    yield made
    made.close()


@pytest.fixture
def supervisor(supervisors: Callable[..., Supervisor], gateway: ChildGateway) -> Callable[[str], Supervisor]:
    def make(by: str) -> Supervisor:
        made = supervisors(gateway)
        section = f"recovery:\n  restart_gateway: {{{by}, drain: 0s}}\n{PATIENCE}"
        made.config.write_text(made.config.read_text().replace("recovery:\n", section))
        return made.start()

    return make


def freeze_and_heal(it: Supervisor, gateway: ChildGateway) -> str:
    """What the journal says of the restart."""
    it.until_condition("s1", "healthy")
    first, livez = gateway.pid, Livez(it)
    with running(livez.ask, livez.stop):
        os.kill(first, signal.SIGSTOP)
        wait_until("it is verified", lambda: "healed" in outcomes(it))
    assert set(livez.answers) == {200}
    assert gateway.ends == [-signal.SIGKILL]
    assert it.document()["gateway"]["pid"] == gateway.pid != first
    (told,) = [one["text"] for one in it.history() if one["kind"] == "result"]
    return str(told)


def outcomes(it: Supervisor) -> list[str]:
    return [one["outcome"] for one in it.history() if one["remedy"] == "restart_gateway"]


def test_a_container_engine_restarts_a_frozen_gateway(
    gateway: ChildGateway, supervisor: Callable[[str], Supervisor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    with Engine(socket, gateway) as engine, running(engine.serve_forever, engine.shutdown):
        told = freeze_and_heal(supervisor("by: docker, container: waha"), gateway)
        assert engine.asked == ["GET /containers/waha/json", "POST /containers/waha/restart?t=45"]
    assert told.endswith("the engine restarted the container waha, with 45 s to stop")


def test_a_kubelet_restarts_a_frozen_gateway_while_the_file_is_there(
    gateway: ChildGateway, supervisor: Callable[[str], Supervisor], tmp_path: Path
) -> None:
    file = tmp_path / "restart-wanted"
    kubelet = Kubelet(["sh", "-c", f"test ! -e {file}"], gateway)
    with running(kubelet.run, kubelet.stop):
        told = freeze_and_heal(supervisor(f"by: kubelet, file: {file}"), gateway)
        assert not file.exists()
    assert told.endswith(f"{file} is there for the liveness probe; a new process was seen")
