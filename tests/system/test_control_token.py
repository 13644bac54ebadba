"""Commands on the health port, end to end: the token's file, its change, the QR code, and what nobody sees there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from stage import PATIENCE, Gateway, Supervisor, wait_until

pytestmark = pytest.mark.timeout(120)

Gateways = Callable[..., Gateway]
Supervisors = Callable[..., Supervisor]

OLD, NEW = "0123456789abcdef" * 4, "fedcba9876543210" * 4


def set_token(supervisor: Supervisor, token: str, mode: int = 0o600) -> Path:
    """Write the token's file, and name it in the configuration."""
    file = supervisor.folder / "control.token"
    file.touch(mode=0o600)
    file.write_text(f"{token}\n")
    file.chmod(mode)
    text = supervisor.config.read_text()
    if "token_file:" not in text:
        supervisor.config.write_text(text.replace("control.sock}", "control.sock, token_file: control.token}"))
    return file


def order(supervisor: Supervisor, path: str, token: str | None, **body: Any) -> httpx.Response:
    """POST on the health port."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.post(supervisor.url + path, json=body, headers=headers, timeout=PATIENCE, trust_env=False)


def test_commands_come_with_the_token_change_with_it_and_go_with_it(
    gateways: Gateways, supervisors: Supervisors
) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway).start()
    supervisor.until_condition("s1", "healthy")
    without = supervisor.config.read_text()
    assert order(supervisor, "/pause", OLD).status_code == 404

    set_token(supervisor, OLD)
    assert supervisor.command("reload").returncode == 0
    assert order(supervisor, "/pause", None).status_code == 401
    paused = order(supervisor, "/pause", OLD, reason="moving house")
    assert (paused.status_code, paused.json()["accepted"]) == (202, True)
    wait_until("it is paused", lambda: supervisor.document()["paused"])
    assert supervisor.document()["paused"]["by"] == "the token, from 127.0.0.1"

    set_token(supervisor, NEW)
    assert order(supervisor, "/reload", OLD).json()["reloaded"] is True
    assert order(supervisor, "/resume", OLD).status_code == 401
    assert order(supervisor, "/resume", NEW).status_code == 202

    file = set_token(supervisor, OLD, mode=0o644)
    refused = supervisor.command("reload")
    assert refused.returncode == 2
    assert f"cannot be used: {file} is open to others (mode 0644)" in refused.stderr
    assert order(supervisor, "/pause", OLD).status_code == 401
    restarted = order(supervisor, "/sessions/s1/restart", NEW)
    assert (restarted.status_code, restarted.json()["action"] is not None) == (202, True)
    wait_until("the session was restarted", lambda: gateway.count("POST */restart") == 1)

    supervisor.config.write_text(without)
    assert supervisor.command("reload").returncode == 0
    assert order(supervisor, "/pause", NEW).status_code == 404
    supervisor.until_condition("s1", "healthy")
    assert supervisor.stop() == 0
    file.unlink()
    written = b"".join(path.read_bytes() for path in supervisor.folder.rglob("*") if path.is_file())
    assert OLD.encode() not in written
    assert NEW.encode() not in written
    assert gateway.world()["harm"] == []


def test_a_bad_token_file_ends_the_start_and_validate_says_so_too(gateways: Gateways, supervisors: Supervisors) -> None:
    supervisor = supervisors(gateways())
    for token, mode, told in ((OLD, 0o644, "open to others"), ("hush", 0o600, "too easily guessed")):
        set_token(supervisor, token, mode)
        for words in (["run"], ["config", "validate"]):
            ran = supervisor.command(*words)
            assert (ran.returncode, told in ran.stderr, "control.token_file" in ran.stderr) == (2, True, True)
            assert "Traceback" not in ran.stderr
            assert token not in ran.stderr


READ_ONLY = (
    "/health",
    "/healthz",
    "/livez",
    "/startupz",
    "/readyz?verbose",
    "/readyz?policy=all&verbose",
    "/readyz?session=NAME&verbose",
    "/health/sessions/NAME",
    "/metrics",
    "/",
    "/history",
    "/status",
    "/sessions/NAME/qr",
    "/nothing",
)


def test_a_qr_code_is_shown_to_who_has_the_token_and_stands_nowhere_else(
    gateways: Gateways, supervisors: Supervisors
) -> None:
    gateway = gateways()
    supervisor = supervisors(gateway)
    set_token(supervisor, OLD)
    supervisor.start()
    supervisor.until_condition("s1", "healthy")
    gateway.fault("qr_wanted", session="s1")
    supervisor.until_condition("s1", "needs_human")
    path = f"{supervisor.url}/sessions/s1/qr"
    assert httpx.get(path, trust_env=False).status_code == 401

    def shown() -> httpx.Response | None:
        answer = httpx.get(path, headers={"Authorization": f"Bearer {OLD}"}, timeout=PATIENCE, trust_env=False)
        return answer if answer.status_code == 200 else None

    answer = wait_until("it can be shown", shown)
    code = answer.json()["qr"]
    assert answer.headers["cache-control"] == "no-store"
    assert len(code) > 20
    seen = "".join(supervisor.get(path.replace("NAME", "s1")).text for path in READ_ONLY)
    written = b"".join(path.read_bytes() for path in supervisor.folder.rglob("*") if path.is_file())
    assert code not in seen
    assert code.encode() not in written
    assert OLD not in seen


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_with_hashed_names_no_phone_number_stands_on_the_read_only_port(
    gateways: Gateways, supervisors: Supervisors, kind: str
) -> None:
    numbers = ["4915112345678", "+34600111222", "5511 98765-4321"]
    gateway = gateways(kind, ",".join(numbers))
    supervisor = supervisors(gateway)
    text = supervisor.config.read_text().replace("health: {", "health: {names: hashed, ")
    supervisor.config.write_text(text)
    set_token(supervisor, OLD)
    supervisor.start()
    gateway.fault("failed", session=numbers[0])
    gateway.fault("logged_out", session=numbers[1])
    wait_until("something is wrong", lambda: supervisor.document()["status"] == "degraded")
    order(supervisor, f"/sessions/{quote(numbers[2])}/restart", OLD)

    hashes = [one["name"] for one in supervisor.document()["sessions"]]
    assert len(hashes) == 3
    seen = []
    with httpx.Client(base_url=supervisor.url, trust_env=False) as client:
        for path in READ_ONLY:
            for name in [*hashes, "none"]:
                for accept in ("*/*", "application/health+json"):
                    answer = client.get(path.replace("NAME", name), headers={"Accept": accept})
                    seen.append(f"{answer.headers} {answer.text}")
    seen.append((supervisor.folder / "health.json").read_text())
    for number in numbers:
        for spelling in (number, quote(number), quote(number, safe=""), "".join(filter(str.isdigit, number))):
            assert not [one for one in seen if spelling in one]
    plain = json.loads(supervisor.command("status", "--json").stdout)
    assert sorted(one["name"] for one in plain["sessions"]) == sorted(numbers)
