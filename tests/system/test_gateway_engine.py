"""A WAHA whose engine runs in a child process, end to end: the child ends, and the gateway process is replaced."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from gateway_runners import KeptGateway
from stage import PATIENCE, Gateway, Supervisor, wait_until

from wasupervisor.host import proc

pytestmark = pytest.mark.timeout(120)

# The simulator, with a child in a session of its own, as WAHA starts its engine.
WITH_CHILD = """
import runpy, subprocess, sys
subprocess.Popen([sys.argv.pop(1), "600"], start_new_session=True)
runpy.run_module("wasupervisor.simulator", run_name="__main__", alter_sys=True)
"""
RESTARTED_BY = "recovery:\n  restart_gateway: {{by: command, argv: {argv}, drain: 0s}}\n"
LAPSE = Path(__file__).with_name("time_lapse.py")


def engine_of(gateway: KeptGateway) -> int | None:
    """The living child's pid."""
    root = proc.stat(gateway.pid)
    tree = [] if root is None else proc.tree(root)
    return next((one.pid for one in tree if one.comm == "gows" and not one.dead), None)


@pytest.fixture
def gateway(tmp_path: Path, gateways: Callable[..., Gateway]) -> Iterator[KeptGateway]:
    folder = tmp_path / "gateway"
    folder.mkdir()
    made = KeptGateway(folder, gateways().uplink_port)
    try:
        engine = shutil.copy(shutil.which("sleep") or "", folder / "gows")
        argv = [sys.executable, "-c", WITH_CHILD, str(engine), *made.argv[3:]]
        (folder / "argv").write_text(json.dumps(argv))
        made.replace()
        wait_until("the gateway has an engine", lambda: engine_of(made) is not None)
        wait_until("the gateway listens", lambda: "uplink_port" in (folder / "out").read_text())
        yield made
    finally:
        if (left := engine_of(made)) is not None:
            os.kill(left, signal.SIGKILL)
        made.close()


def fail_all(gateway: KeptGateway) -> None:
    fault = {"fault": "failed", "session": "*", "heals_after_restarts": 1}
    url = f"http://127.0.0.1:{gateway._control}/_simulator/fault"
    assert httpx.post(url, json=fault, trust_env=False, timeout=PATIENCE).status_code == 200


def test_a_gateway_that_lives_on_without_its_engine_is_replaced_and_no_session_is_restarted(
    gateway: KeptGateway, supervisors: Callable[..., Supervisor], tmp_path: Path
) -> None:
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    it = supervisors(gateway)
    section = RESTARTED_BY.format(argv=json.dumps(gateway.command))
    it.config.write_text(it.config.read_text().replace("recovery:\n", section))
    it.program = (str(LAPSE), str(ahead))
    it.start()
    it.until_condition("s1", "healthy")
    first, engine = gateway.pid, engine_of(gateway)
    assert engine is not None
    os.kill(engine, signal.SIGKILL)
    wait_until("it has ended", lambda: engine_of(gateway) is None)
    looked_at = it.document()["written_at"]
    wait_until("it was missed", lambda: it.document()["written_at"] > looked_at)
    looked_at = it.document()["written_at"]
    wait_until("and again", lambda: it.document()["written_at"] > looked_at)
    fail_all(gateway)
    wait_until("its sessions fail for it", lambda: it.session("s1")["reason"] == "engine_gone")
    assert gateway.pid == first
    explained = it.command("explain", "s1").stdout
    assert "the process of the gateway's engine is gone" in explained
    assert "docs/reasons/engine_gone.md" in explained
    (tmp_path / "next").write_text("31")
    (tmp_path / "next").replace(ahead)
    wait_until("another process", lambda: gateway.pid != first)
    it.until_condition("s1", "healthy")
    wait_until(
        "it is verified",
        lambda: [one["outcome"] for one in it.history() if one["kind"] == "verified"] == ["healed"],
    )
    assert {one["remedy"] for one in it.history() if one["kind"] == "remedy"} == {"restart_gateway"}
    assert engine_of(gateway) is not None
