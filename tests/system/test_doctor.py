"""`wasupervisor doctor` as a process: by a user without rights, and under a real systemd with polkit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_fixtures import RedisServer
from skipping import cannot
from systemd_fixtures import INSTALL, Service

SIMULATOR = [sys.executable, "-m", "wasupervisor.simulator", "--kind", "waha", "--sessions", "2"]
# Loads everything as root, then becomes nobody: whoever runs the tests may keep Python where nobody gets to.
AS_NOBODY = """
import contextlib, io, os, sys
from wasupervisor.cli.main import cli, main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    cli(sys.argv[1:])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
main()
"""
RULE = "/etc/polkit-1/rules.d/50-wasupervisor.rules"


@pytest.fixture
def gateway() -> Iterator[str]:
    """A simulated WAHA in a process of our user; its address."""
    with subprocess.Popen(SIMULATOR, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody gets to, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def verdicts(stdout: str) -> dict[str, str]:
    """By code, the last of each."""
    return {one["code"]: one["verdict"] for one in json.loads(stdout)["checks"]}


def test_a_user_without_rights_is_told_what_could_not_be_seen(
    place: Path, gateway: str, redis_server: RedisServer
) -> None:
    if os.geteuid() != 0:
        cannot("needs root, to become nobody")
    config, state = place / "config.yaml", place / "state"
    state.mkdir(mode=0o700)
    config.write_text(
        f"gateway: {{kind: waha, url: '{gateway}', api_key_file: key}}\nuplink: null\n"
        f"redis: {{url: '{redis_server.url}'}}\nstate: {{directory: {state}}}\n"
        f"control: {{socket: {state}/control.sock}}\nhealth: {{file: {place}/health.json}}\n"
    )
    (place / "key").write_text("s3cr3t-noise-key")
    (place / "key").chmod(0o600)
    words = ["doctor", "--json", "-c", str(config)]
    command = [sys.executable, "-c", AS_NOBODY, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert done.stderr == ""
    found = verdicts(done.stdout)
    assert done.returncode == 1
    assert found["configuration.secrets"] == "unknown"
    assert found["gateway.answers"] == "unknown", "its key may not be read"
    assert found["process.found"] == "unknown", "it is another user's"
    assert found["redis.connection"] == "ok"
    assert found["places.state"] == "wrong"
    assert found["places.socket"] == "wrong"
    assert found["service.daemon"] == "unknown"
    told = json.loads(done.stdout)
    assert told["looked_as"] == told["runs_as"] == "nobody"
    assert list(state.iterdir()) == []

    command = [sys.executable, "-m", "wasupervisor", *words]
    as_root = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    found = verdicts(as_root.stdout)
    assert found["gateway.answers"] == found["gateway.key"] == found["process.found"] == found["places.state"] == "ok"
    assert "s3cr3t" not in done.stdout + as_root.stdout + as_root.stderr


CONFIG = """
gateway: {kind: waha, url: "http://127.0.0.1:3000", poll_every: 200ms, timeout: 2s, api_key: "${DOCTOR_KEY}"}
recovery: {restart_gateway: {by: systemd, unit: simulator.service}}
uplink: null
"""


def diagnosis(service: Service) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(
        service.container.run("wasupervisor", "doctor", "--json", "-c", service.config, check=False).stdout
    )
    return told


def of(told: dict[str, Any], code: str) -> tuple[str, str]:
    (one,) = [one for one in told["checks"] if one["code"] == code]
    return one["verdict"], one["text"]


def test_the_unit_and_the_right_to_restart_the_gateways(service: Service) -> None:
    if shutil.which("pkcheck") is None:
        cannot("this machine has no polkit (Debian: polkitd)")
    box = service.container
    environment = box.path("/etc/wasupervisor/environment")
    template = environment.read_text()
    environment.write_text(f"{template}DOCTOR_KEY=k\n")
    service.configure(CONFIG)
    try:
        told = diagnosis(service)
        assert of(told, "service.active")[0] == "wrong"
        assert of(told, "restarter.allowed")[0] == "warning", "without a daemon only the rule can be looked for"
        assert of(told, "configuration.secrets")[0] == "ok", "as the unit gets them"
        service.start()
        service.wait_until_well()
        told = diagnosis(service)
        assert (told["asked_daemon"], told["runs_as"]) == (True, "wasupervisor")
        for code in ("installed", "active", "daemon", "watchdog", "memory"):
            assert of(told, f"service.{code}")[0] == "ok", code
        for code in ("state", "disk", "health_file", "socket"):
            assert of(told, f"places.{code}")[0] == "ok", code
        assert of(told, "process.found")[0] == "warning", "a port of root's process leads our user nowhere"
        assert of(told, "restarter.allowed") == (
            "wrong",
            "polkit does not let wasupervisor restart simulator.service",
        )
        box.run(INSTALL, "--allow-restart", "simulator")
        assert of(diagnosis(service), "restarter.allowed") == (
            "ok",
            "polkit allows a restart of simulator.service",
        )
    finally:
        environment.write_text(template)
        box.path(RULE).unlink(missing_ok=True)
