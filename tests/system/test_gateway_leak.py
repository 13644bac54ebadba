"""A gateway that really leaks is warned of, drained, restarted once and verified, while the health port answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stage import Gateway, Supervisor, wait_until
from test_gateway_restart import RESTARTED_BY, KeptGateway, remedies

pytestmark = pytest.mark.timeout(120)

LEAKS = """
import pathlib, runpy, sys, threading, time
place, kept = pathlib.Path(sys.argv.pop(1)), []

def leak():
    while not (place / "leak").exists():
        time.sleep(0.05)
    (place / "leak").unlink()  # the next one is well
    while True:
        kept.append(bytearray(b"x" * 10_000_000))
        time.sleep(0.05)

threading.Thread(target=leak, daemon=True).start()
runpy.run_module("wasupervisor.simulator", run_name="__main__")
"""
LIMITS = "process: {memory: {warn: 200MB, restart: 300MB, for: 300ms}}\n"


class LeakingGateway(KeptGateway):
    """Leaks 200 MB a second once it is told to."""

    def __init__(self, folder: Path, uplink_port: int) -> None:
        (folder / "leaks.py").write_text(LEAKS)
        super().__init__(folder, uplink_port)

    def arguments(self, port: int) -> list[str]:
        """The simulator, and beside it the leak."""
        _python, _module, _simulator, *rest = super().arguments(port)
        return [sys.executable, str(self.folder / "leaks.py"), str(self.folder), *rest]

    def leak(self) -> None:
        """From now on, until the process ends."""
        (self.folder / "leak").touch()


@pytest.fixture
def gateway(tmp_path: Path, gateways: Callable[..., Gateway]) -> Iterator[LeakingGateway]:
    folder = tmp_path / "gateway"
    folder.mkdir()
    made = LeakingGateway(folder, gateways().uplink_port)
    yield made
    made.close()


def test_a_leaking_gateway_is_restarted_once_and_verified_while_the_health_port_answers(
    gateway: LeakingGateway, supervisors: Callable[..., Supervisor]
) -> None:
    it = supervisors(gateway, more=LIMITS)
    section = RESTARTED_BY.format(argv=json.dumps(gateway.command), drain="300ms", force="false")
    it.config.write_text(it.config.read_text().replace("recovery:\n", section))
    it.start()
    wait_until("ready", lambda: it.get("/readyz").status_code == 200)
    first = gateway.pid
    gateway.leak()

    def answers() -> bool:
        assert it.get("/livez").status_code == 200
        return gateway.pid != first

    wait_until("another process", answers)
    wait_until("it is verified", lambda: ("verified", "healed") in remedies(it))
    told = [one["text"] for one in it.history()]
    assert any("memory: process.memory.warn is 200 MB" in text for text in told)
    assert any("restart_gateway for the gateway: the gateway uses more memory than its limit" in text for text in told)
    assert [one["reason"] for one in it.history() if one["kind"] == "remedy"] == ["memory_high"]
    wait_until("ready again", lambda: it.get("/readyz").status_code == 200)
    assert it.document()["resources"]["memory"]["used_bytes"] < 200_000_000
