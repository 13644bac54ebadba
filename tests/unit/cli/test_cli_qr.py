"""qr: what is drawn and said on a terminal, what is kept out of files, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import segno
from cli_daemon import Daemon

from wasupervisor.cli import qr

CODE = "2@LAB15x0x8ax8o7hvt94,UJpxyta52V9T5sMckb1MehzLoFtRJORVdLZEuPzvjUA=,lIDkcUuPo8J4V5fDxa0ljjctf,ldfEL8rRPlc="
SHOWN: dict[str, Any] = {"accepted": True, "text": "valid for 20 s", "qr": CODE, "action": "a7", "needs_qr": True}
REFUSED: dict[str, Any] = {"accepted": False, "text": "the QR code is withheld: it works", "needs_qr": False}
LARGE: dict[str, str | None] = {"COLUMNS": "200", "LINES": "100"}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    it = Daemon(tmp_path)
    it.answer("/sessions/s1/qr", SHOWN)
    yield it
    it.close()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody reads what is written."""
    monkeypatch.setattr(qr, "on_terminal", lambda: True)


def modules(border: int = qr.BORDER) -> list[list[int]]:
    """What is to be seen."""
    return [list(row) for row in segno.make_qr(CODE, error="l", boost_error=False).matrix_iter(border=border)]


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_it_is_drawn_with_how_long_it_is_valid_and_what_to_do(daemon: Daemon) -> None:
    result = daemon.run("qr", "s1", env=LARGE)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[-3:] == ["", qr.ON_THE_PHONE, "valid for 20 s."]
    assert lines[:-3] == qr.drawn(CODE, "utf-8")
    assert CODE not in result.stdout
    assert [(one.method, one.path) for one in daemon.asked] == [("GET", "/sessions/s1/qr")]


def test_half_blocks_show_two_modules_each_dark_on_light() -> None:
    seen: list[list[int]] = []
    for line in qr.drawn(CODE, "utf-8"):
        assert line.startswith("\x1b[30;107m")
        assert line.endswith("\x1b[0m")
        pairs = [{"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}[char] for char in line[9:-4]]
        seen += [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]
    wanted = modules()
    assert seen[: len(wanted)] == wanted
    assert all(not any(row) for row in seen[len(wanted) :])


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", None])
def test_where_there_are_no_half_blocks_each_module_is_two_blanks_on_its_colour(encoding: str | None) -> None:
    lines = qr.drawn(CODE, encoding)
    cells = [line.removesuffix("\x1b[0m").replace("\x1b[40m  ", "1").replace("\x1b[107m  ", "0") for line in lines]
    assert cells == ["".join(map(str, row)) for row in modules()]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("size", [{"COLUMNS": "40", "LINES": "100"}, {"COLUMNS": "200", "LINES": "24"}])
def test_a_terminal_that_is_too_small_is_told_the_size_that_does(daemon: Daemon, size: dict[str, str | None]) -> None:
    last = daemon.run("qr", "s1", env=size).stdout.splitlines()[-1]
    width = len(modules())
    assert last == (
        f"This terminal is too small to show it whole: make it {width} columns by {(width + 1) // 2 + 5} lines."
    )


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_where_no_terminal_is_nobody_is_asked_and_nothing_is_burnt(daemon: Daemon, words: list[str]) -> None:
    result = daemon.run("qr", "s1", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "With --raw its text is written all the same" in result.stderr
    assert daemon.asked == []


def test_raw_writes_its_text_alone_also_into_a_pipe(daemon: Daemon) -> None:
    result = daemon.run("qr", "s1", "--raw")
    assert (result.exit_code, result.stdout) == (0, f"{CODE}\n")


def test_json_is_the_answer_itself(daemon: Daemon) -> None:
    result = daemon.run("qr", "s1", "--raw", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, SHOWN)
    daemon.answer("/sessions/s1/qr", REFUSED, 409)
    result = daemon.run("qr", "s1", "--raw", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, REFUSED)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("status", [409, 429, 503])
def test_a_refusal_says_why_and_exits_1(daemon: Daemon, status: int) -> None:
    daemon.answer("/sessions/s1/qr", REFUSED, status)
    result = daemon.run("qr", "s1")
    assert (result.exit_code, result.stdout) == (1, "not done: the QR code is withheld: it works\n")


@pytest.mark.usefixtures("terminal")
def test_whoever_needs_a_qr_and_gets_none_is_told_where_else_it_is(daemon: Daemon) -> None:
    daemon.answer("/sessions/s1/qr", {**REFUSED, "needs_qr": True}, 429)
    lines = daemon.run("qr", "s1").stdout.splitlines()
    assert lines[1] == (
        "it can also be scanned where the gateway itself shows it: in WAHA's dashboard, in Evolution's manager"
    )


def test_with_raw_a_refusal_is_nothing_that_a_program_could_take_for_a_code(daemon: Daemon) -> None:
    daemon.answer("/sessions/s1/qr", REFUSED, 409)
    result = daemon.run("qr", "s1", "--raw")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "it works" in result.stderr


@pytest.mark.usefixtures("terminal")
def test_an_unknown_session_and_a_daemon_that_does_not_know_the_verb_exit_2(daemon: Daemon) -> None:
    for status, answer in ((404, {"text": "no session 's9' is known"}), (405, {"error": "only POST"})):
        daemon.answer("/sessions/s9/qr", answer, status)
        result = daemon.run("qr", "s9")
        assert (result.exit_code, result.stdout) == (2, "")
        assert next(iter(answer.values())) in result.stderr
