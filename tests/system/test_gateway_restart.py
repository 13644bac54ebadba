"""The last rung, end to end: a real gateway process is replaced by a real command while the health port answers."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway_runners import KEEPER, KeptGateway
from stage import Gateway, Supervisor, wait_until

pytestmark = pytest.mark.timeout(120)

# One that gives up where TERM is not enough, as monit does: it leaves a gateway behind that is neither up nor down.
GIVES_UP = KEEPER.replace("(signal.SIGTERM, signal.SIGKILL)", "(signal.SIGTERM,)").replace(
    "with (place",
    """if pid_file.exists() and pathlib.Path(f"/proc/{old}").exists():
    if pathlib.Path(f"/proc/{old}/stat").read_text().split()[2] not in "ZX":
        sys.exit("failed to stop")
with (place""",
)
RESTARTED_BY = """recovery:
  restart_gateway: {{by: command, argv: {argv}, drain: {drain}, force: {force}}}
  gateway: {{hung_after: 1s, gone_after: 1s}}
"""


@pytest.fixture
def gateway(tmp_path: Path, gateways: Callable[..., Gateway]) -> Iterator[KeptGateway]:
    folder = tmp_path / "gateway"
    folder.mkdir()
    made = KeptGateway(folder, gateways().uplink_port)
    yield made
    made.close()


@pytest.fixture
def supervisor(supervisors: Callable[..., Supervisor], gateway: KeptGateway) -> Callable[..., Supervisor]:
    """Makes one with this drain."""

    def make(drain: str, *, force: str = "false") -> Supervisor:
        made = supervisors(gateway)
        section = RESTARTED_BY.format(argv=json.dumps(gateway.command), drain=drain, force=force)
        made.config.write_text(made.config.read_text().replace("recovery:\n", section))
        return made.start()

    return make


def remedies(it: Supervisor) -> list[tuple[Any, Any]]:
    return [(one["kind"], one["outcome"]) for one in it.history() if one["remedy"] == "restart_gateway"]


def test_an_ordered_restart_drains_replaces_the_process_and_is_verified(
    gateway: KeptGateway, supervisor: Callable[[str], Supervisor]
) -> None:
    it = supervisor("1500ms")
    wait_until("ready", lambda: it.get("/readyz").status_code == 200)
    first = gateway.pid
    ordered = it.command("restart", "--gateway")
    assert ordered.returncode == 0, ordered.stdout + ordered.stderr
    answers: list[httpx.Response] = []

    def drained() -> bool:
        answers.append(it.get("/readyz"))
        return "draining before a restart of the gateway" in answers[-1].text

    wait_until("readiness says no", drained)
    assert answers[-1].status_code == 503
    assert gateway.pid == first
    wait_until("another process", lambda: gateway.pid != first)
    wait_until("ready again", lambda: it.get("/readyz").status_code == 200)
    assert it.document()["gateway"]["pid"] == gateway.pid
    wait_until("it is verified", lambda: ("verified", "healed") in remedies(it))
    assert ("result", "accepted") in remedies(it)
    assert "started" in next(one["text"] for one in it.history() if one["kind"] == "result")


def test_a_frozen_gateway_is_replaced_once(gateway: KeptGateway, supervisor: Callable[[str], Supervisor]) -> None:
    it = supervisor("0s")
    it.until_condition("s1", "healthy")
    first = gateway.pid
    os.kill(first, signal.SIGSTOP)
    wait_until("another process", lambda: gateway.pid != first)
    it.until_condition("s1", "healthy")
    wait_until("it is verified", lambda: ("verified", "healed") in remedies(it))
    assert [outcome for kind, outcome in remedies(it) if kind == "result"] == ["accepted"]


def test_failed_to_stop_does_not_end_in_giving_up(gateway: KeptGateway, supervisor: Callable[..., Supervisor]) -> None:
    (gateway.folder / "keeper.py").write_text(GIVES_UP)
    it = supervisor("0s", force="true")
    it.until_condition("s1", "healthy")
    first = gateway.pid
    os.kill(first, signal.SIGSTOP)
    wait_until("it is verified", lambda: ("verified", "healed") in remedies(it))
    assert gateway.pid != first
    (told,) = [one["text"] for one in it.history() if one["kind"] == "result"]
    assert "its process was stopped (state T): CONT and TERM ended it; then python" in told


def test_one_that_dies_at_its_start_is_not_started_for_ever(
    gateway: KeptGateway, supervisor: Callable[..., Supervisor]
) -> None:
    it = supervisor("0s")
    it.until_condition("s1", "healthy")
    argv = (gateway.folder / "argv").read_text()
    (gateway.folder / "argv").write_text(json.dumps([sys.executable, "-c", "print('uplink_port')"]))
    os.kill(gateway.pid, signal.SIGKILL)
    wait_until("it was started", lambda: ("result", "accepted") in remedies(it))
    looks: set[str] = set()

    def has_looked_often() -> bool:
        looks.add(it.document()["written_at"])
        return len(looks) > 20

    wait_until("many more looks", has_looked_often)
    assert [kind for kind, _ in remedies(it)].count("remedy") == 1
    # A person heals it.
    (gateway.folder / "argv").write_text(argv)
    (gateway.folder / "pid").unlink()
    gateway.replace()
    wait_until("it is verified", lambda: ("verified", "healed") in remedies(it))


def test_a_stop_while_it_is_drained_leaves_the_gateway_alone(
    gateway: KeptGateway, supervisor: Callable[[str], Supervisor]
) -> None:
    it = supervisor("10m")
    it.until_condition("s1", "healthy")
    first = gateway.pid
    assert it.command("restart", "--gateway").returncode == 0
    wait_until("it is drained", lambda: "draining" in it.get("/readyz").text)
    assert it.stop() == 0
    it.start()
    assert gateway.pid == first
    assert ("withheld", "withheld") in remedies(it)
