"""recover, restart, park, pause, resume, reload: what is sent, what is said, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_daemon import Daemon

ACCEPTED: dict[str, Any] = {
    "action": "a7",
    "accepted": True,
    "verdict": "accepted",
    "text": "restart_session is performed now",
    "previous_status": "failing",
    "current_status": "recovering",
    "needs_qr": False,
    "retry_after": None,
}
WITHHELD = {**ACCEPTED, "action": None, "accepted": False, "text": "its breaker is open", "current_status": "failing"}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    it = Daemon(tmp_path)
    yield it
    it.close()


def test_an_order_that_is_taken_says_what_happens_and_how_to_follow_it(daemon: Daemon) -> None:
    daemon.answer("/sessions/s1/recover", ACCEPTED, 202)
    result = daemon.run("recover", "s1")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "restart_session is performed now",
        "it was failing, it is recovering",
        "action a7; follow it with: wasupervisor status --watch",
    ]


def test_an_order_that_is_withheld_says_why_and_exits_1(daemon: Daemon) -> None:
    daemon.answer("/sessions/s1/restart", {**WITHHELD, "needs_qr": True}, 409)
    result = daemon.run("restart", "s1")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "not done: its breaker is open",
        "it is failing",
        "it needs a person to scan its QR code",
    ]


@pytest.mark.parametrize("status", [429, 503, 409])
def test_whatever_withholds_it_exits_1(daemon: Daemon, status: int) -> None:
    daemon.answer("/resume", {"error": "the daemon is stopping"}, status)
    result = daemon.run("resume")
    assert (result.exit_code, result.stdout) == (1, "not done: the daemon is stopping\n")


def test_an_unknown_session_exits_2_and_says_so_on_standard_error(daemon: Daemon) -> None:
    daemon.answer("/sessions/s9/recover", {"accepted": False, "text": "no session 's9' is known"}, 404)
    result = daemon.run("recover", "s9")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no session 's9' is known" in result.stderr


def test_restart_may_be_forced_and_force_is_never_the_default(daemon: Daemon) -> None:
    daemon.answer("/sessions/s1/restart", ACCEPTED, 202)
    daemon.run("restart", "s1")
    daemon.run("restart", "s1", "--force")
    assert daemon.bodies() == [{"force": False}, {"force": True}]


def test_the_gateway_is_restarted_by_its_own_option(daemon: Daemon) -> None:
    answer = {**ACCEPTED, "text": "restart_gateway is performed now", "previous_status": None}
    daemon.answer("/gateway/restart", answer, 202)
    result = daemon.run("restart", "--gateway")
    daemon.run("restart", "--gateway", "--force")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "restart_gateway is performed now"
    assert [one.path for one in daemon.asked] == ["/gateway/restart"] * 2
    assert daemon.bodies() == [{"force": False}, {"force": True}]


def test_without_a_restarter_the_answer_is_printed_and_exits_1(daemon: Daemon) -> None:
    text = "nothing can restart the gateway: set recovery.restart_gateway"
    daemon.answer("/gateway/restart", {**WITHHELD, "text": text, "previous_status": None}, 409)
    result = daemon.run("restart", "--gateway")
    assert (result.exit_code, result.stdout) == (1, f"not done: {text}\n")


@pytest.mark.parametrize("words", [["restart"], ["restart", "s1", "--gateway"], ["restart", "--force"]])
def test_a_restart_is_of_a_session_or_of_the_gateway(daemon: Daemon, words: list[str]) -> None:
    result = daemon.run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "`restart SESSION` or `restart --gateway`" in result.stderr
    assert daemon.asked == []


def test_a_session_is_parked_by_name(daemon: Daemon) -> None:
    daemon.answer("/sessions/a%20b/park", {**ACCEPTED, "text": "park_session is performed now"}, 202)
    result = daemon.run("park", "a b")
    assert (result.exit_code, daemon.bodies()) == (0, [{}])
    assert result.stdout.startswith("park_session is performed now\n")


@pytest.mark.parametrize(
    ("name", "path"),
    [("a/b", "a%2Fb"), ("+49 170", "%2B49%20170"), ("ä?#", "%C3%A4%3F%23"), ("\udcff", "%3F"), ("..x", "..x")],
)
def test_odd_names_stay_one_part_of_the_path(daemon: Daemon, name: str, path: str) -> None:
    daemon.answer(f"/sessions/{path}/recover", ACCEPTED, 202)
    assert daemon.run("recover", name).exit_code == 0
    assert daemon.asked[0].path == f"/sessions/{path}/recover"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_an_http_client_would_swallow_asks_nobody(daemon: Daemon, name: str) -> None:
    result = daemon.run("restart", name)
    assert result.exit_code == 2
    assert "is known" in result.stderr
    assert daemon.asked == []


def test_a_pause_has_an_end_and_a_reason(daemon: Daemon) -> None:
    daemon.answer("/pause", {**ACCEPTED, "action": None, "text": "hands off for 1 h", "previous_status": None}, 202)
    result = daemon.run("pause", "--for", "1h", "--reason", "moving house")
    assert (result.exit_code, result.stdout) == (0, "hands off for 1 h\n")
    daemon.run("pause")
    assert daemon.bodies() == [{"reason": "moving house", "for": "1h"}, {"reason": ""}]


@pytest.mark.parametrize("lasts", ["soon", "10", "-5s", "1w"])
def test_a_bad_duration_asks_nobody_and_exits_2(daemon: Daemon, lasts: str) -> None:
    result = daemon.run("pause", "--for", lasts)
    assert result.exit_code == 2
    assert f"--for {lasts}" in result.stderr
    assert daemon.asked == []


def test_a_reload_that_is_not_taken_shows_every_mistake_and_exits_2(daemon: Daemon) -> None:
    daemon.answer("/reload", {"reloaded": True, "text": "the configuration was read again", "problems": []})
    good = daemon.run("reload")
    daemon.answer("/reload", {"reloaded": False, "text": "kept", "problems": ["line 1", "line 2"]}, 422)
    bad = daemon.run("reload")
    assert (good.exit_code, good.stdout) == (0, "the configuration was read again\n")
    assert (bad.exit_code, bad.stdout, bad.stderr) == (2, "", "kept\nline 1\nline 2\n")


@pytest.mark.parametrize(
    ("words", "path", "status", "exit_code"),
    [
        (["recover", "s1"], "/sessions/s1/recover", 202, 0),
        (["restart", "s1"], "/sessions/s1/restart", 409, 1),
        (["restart", "--gateway"], "/gateway/restart", 409, 1),
        (["park", "s1"], "/sessions/s1/park", 202, 0),
        (["pause"], "/pause", 202, 0),
        (["resume"], "/resume", 202, 0),
        (["reload"], "/reload", 422, 2),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_json_is_the_answer_itself_wherever_the_configuration_stands(
    daemon: Daemon, words: list[str], path: str, status: int, exit_code: int, before: bool
) -> None:
    daemon.answer(path, {"text": "t", "accepted": status == 202}, status)
    result = daemon.run(*words, "--json", before=before)
    assert result.exit_code == exit_code
    assert json.loads(result.stdout) == {"text": "t", "accepted": status == 202}
