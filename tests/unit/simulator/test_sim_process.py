"""The simulator as a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest


@contextmanager
def simulator(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "wasupervisor.simulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def post(url: str, document: object = None) -> httpx.Response:
    return httpx.post(url, json=document, trust_env=False, verify=False)


def test_it_says_when_it_is_ready_can_be_driven_and_ends_cleanly() -> None:
    with simulator("--kind", "waha", "--sessions", "office,shop", "--api-key", "k") as (process, ready):
        assert ready["pid"] == process.pid
        url = ready["url"] + "/api/sessions?all=true"
        assert httpx.get(url, trust_env=False, verify=False).status_code == 401
        assert (
            post(ready["control_url"] + "/_simulator/fault", {"fault": "failed", "session": "shop"}).status_code == 200
        )
        rows = httpx.get(url, headers={"X-Api-Key": "k"}, trust_env=False, verify=False).json()
        assert [(row["name"], row["status"]) for row in rows] == [("office", "WORKING"), ("shop", "FAILED")]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("kind", "action", "exit_code"), [("waha", "terminate", 0), ("waha", "kill", 137), ("evolution", "terminate", 143)]
)
def test_a_mortal_one_dies_as_its_gateway_does(kind: str, action: str, exit_code: int) -> None:
    with simulator("--kind", kind, "--mortal", "--speed", "20") as (process, ready):
        post(ready["control_url"] + "/_simulator/fault", {"fault": "process", "action": action})
        assert process.wait(10) == exit_code


def resident(process: subprocess.Popen[str]) -> float:
    """Megabytes."""
    (line,) = [one for one in Path(f"/proc/{process.pid}/status").read_text().splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1]) * 1024 / 1e6


def test_memory_is_really_taken_until_the_gateways_process_ends() -> None:
    with simulator("--kind", "waha", "--memory", "60", "--speed", "20") as (process, ready):
        started, fault = resident(process), ready["control_url"] + "/_simulator/fault"
        post(fault, {"fault": "memory", "megabytes": 40})
        grown = resident(process)
        post(fault, {"fault": "process", "action": "kill"})
        assert grown - started > 35
        assert grown - resident(process) > 95


def test_a_taken_port_ends_in_one_line() -> None:
    with simulator("--kind", "evolution", "--no-metrics", "--mode", "B") as (_, ready):
        command = [sys.executable, "-m", "wasupervisor.simulator", "--kind", "waha", "--port", str(ready["port"])]
        second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert second.returncode == 2
        assert second.stderr.count("\n") == 1
        assert f"cannot use port {ready['port']}" in second.stderr
