"""`qr` end to end: a person links a phone through the supervisor, and nobody else ever sees the code."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from stage import PATIENCE, Gateway, Supervisor

from wasupervisor.cli.qr import drawn

pytestmark = pytest.mark.timeout(120)

Gateways = Callable[..., Gateway]
Supervisors = Callable[..., Supervisor]

CALL = {"waha": "GET */auth/qr*", "evolution": "GET */connect/*"}


def on_a_terminal(supervisor: Supervisor, *words: str) -> tuple[int, str]:
    """A command whose standard output is a terminal; its exit status, and what is to be seen there."""
    master, slave = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # EIO: the other end is closed
                return
            if not chunk:
                return
            seen.append(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        command = [sys.executable, "-m", "wasupervisor", "-c", str(supervisor.config), *words]
        environ = {**os.environ, "COLUMNS": "200", "LINES": "100", "PYTHONIOENCODING": "utf-8"}
        ended = subprocess.run(command, stdin=slave, stdout=slave, timeout=PATIENCE, check=False, env=environ)
    finally:
        os.close(slave)
        reader.join(PATIENCE)
        os.close(master)
    return ended.returncode, b"".join(seen).decode().replace("\r\n", "\n")


def everything_written(folder: Path) -> bytes:
    """All that the daemon left in files: log, state, journal, recording, health file."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_a_phone_is_linked_through_it_and_the_code_is_nowhere_else(
    kind: str, gateways: Gateways, supervisors: Supervisors
) -> None:
    gateway = gateways(kind)
    supervisor = supervisors(gateway)
    config = supervisor.config.read_text()
    supervisor.config.write_text(
        config.replace("state: {", "state: {record: 24h, ").replace("format: json", "format: json, level: debug")
    )
    supervisor.start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("qr_wanted", session="s1")
    supervisor.until_condition("s1", "needs_human")

    raw = supervisor.command("qr", "s1", "--raw")
    assert (raw.returncode, raw.stderr) == (0, "")
    code = raw.stdout.removesuffix("\n")
    assert code.startswith("2@")
    assert gateway.count(CALL[kind]) == 1

    status, seen = on_a_terminal(supervisor, "qr", "s1")
    assert status == 1
    assert "recovery.qr_interval is 60 s" in seen
    assert "WAHA's dashboard" in seen
    assert gateway.count(CALL[kind]) == 1

    gateway.fault("scanned", session="s1")
    supervisor.until_condition("s1", "healthy")
    assert gateway.world()["harm"] == []
    told = [one["text"] for one in supervisor.history("--session", "s1")]
    assert any(one.startswith("a QR code was shown to ") for one in told)
    assert supervisor.get("/sessions/s1/qr").status_code == 404
    assert supervisor.stop() == 0
    written = everything_written(supervisor.folder)
    assert b"a QR code was shown to" in written
    assert code.encode() not in written
    assert code.split(",")[1].encode() not in written


def test_on_a_terminal_it_is_drawn(gateways: Gateways, supervisors: Supervisors) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    gateway.fault("qr_wanted", session="s1")
    supervisor.until_condition("s1", "needs_human")
    url, headers = f"{gateway.url}/api/s1/auth/qr?format=raw", {"X-Api-Key": "secret-key"}
    code = httpx.get(url, headers=headers, trust_env=False).json()["value"]
    status, seen = on_a_terminal(supervisor, "qr", "s1")
    assert status == 0
    assert "\n".join(drawn(code, "utf-8")) in seen
    assert "WAHA's first QR code is valid for 60 s" in seen
    assert "Linked devices" in seen


@pytest.mark.parametrize(
    ("kind", "fault", "condition", "text"),
    [
        ("waha", None, "healthy", "it works; nothing is to be scanned"),
        ("waha", "logged_out", "fatal", "log it out in WAHA's dashboard"),
        ("evolution", "logged_out", "fatal", "may be about to reconnect by itself: then two would fight"),
        ("evolution", "qr_expired", "needs_human", "ask for a new one in its manager"),
    ],
)
def test_who_cannot_be_linked_so_is_told_why_and_the_gateway_is_not_asked(
    kind: str, fault: str | None, condition: str, text: str, gateways: Gateways, supervisors: Supervisors
) -> None:
    gateway = gateways(kind)
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    if fault is not None:
        gateway.fault(fault, session="s1")
    supervisor.until_condition("s1", condition)
    answer = supervisor.command("qr", "s1", "--raw")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("not done: the QR code is withheld")
    assert text in answer.stderr
    assert gateway.count(CALL[kind]) == 0
    assert gateway.world()["harm"] == []
