"""status and history: what is shown, and the exit status."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from cli_daemon import Daemon, document, entry, session

from wasupervisor.report.connection import Request, Response


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    it = Daemon(tmp_path)
    yield it
    it.close()


def test_a_healthy_daemon_exits_0_and_shows_every_session(daemon: Daemon) -> None:
    daemon.answer("/health", document(session("s1"), session("s2", "failing", "connection_lost", next="waits")))
    result = daemon.run("status")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "healthy  2 sessions: 1 active, 1 failed, 0 recovering, 0 needs human, 0 stopped"
    assert lines[1] == "gateway waha 2024.10.8, answers, pid 4711, cpu 12 %, memory 650 MB, ready"
    assert lines[4].split() == ["s2", "failing", "2025-01-31", lines[4].split()[3], "connection_lost", "waits"]
    assert "none" not in result.stdout


@pytest.mark.parametrize("status", ["starting", "degraded", "unhealthy", "stopping", "stopped"])
def test_anything_else_exits_1(daemon: Daemon, status: str) -> None:
    daemon.answer("/health", document(status=status), 503)
    assert daemon.run("status").exit_code == 1
    assert daemon.run("status", "--json").exit_code == 1


def test_what_is_unknown_is_said_to_be(daemon: Daemon) -> None:
    gateway = {"kind": "waha", "reachable": None, "version": None, "pid": None}
    resources = {"cpu": None, "memory": {"rss_bytes": None}}
    daemon.answer("/health", document(status="starting", gateway=gateway, resources=resources, ready=False))
    assert "gateway waha, not asked yet, pid unknown, not ready" in daemon.run("status").stdout


def test_a_pause_an_incident_and_the_notes_are_shown(daemon: Daemon) -> None:
    paused = {"since": "2025-01-31T12:00:00Z", "until": None, "reason": "moving", "by": "eve"}
    incident = {"since": "2025-01-31T12:00:00Z", "cause": "uplink_down", "sessions": ["a", "b"], "canary": "a"}
    daemon.answer("/health", document(paused=paused, incident=incident, notes=["look here"]))
    text = daemon.run("status").stdout
    assert "paused since" in text
    assert "by eve: moving" in text
    assert ": 2 sessions, likely because WhatsApp cannot be reached from here" in text
    assert ", a is the canary" in text
    assert "- look here" in text


def test_names_from_outside_are_no_markup_and_are_never_cut(daemon: Daemon) -> None:
    long = "ø" * 250
    daemon.answer("/health", document(session("[red]a[/red]"), session(long)))
    assert "[red]a[/red]" in daemon.run("status").stdout
    narrow = daemon.run("status", env={"COLUMNS": "60"}).stdout
    assert narrow.count("ø") == len(long)
    assert "…" not in narrow


def test_a_program_that_reads_on_gets_whole_lines(daemon: Daemon) -> None:
    daemon.answer("/health", document(session("s1", next="y" * 300), notes=["z" * 300]))
    result = daemon.run("status", env={"COLUMNS": None})
    assert "y" * 300 in result.stdout
    assert "z" * 300 in result.stdout


def test_json_is_the_document_itself(daemon: Daemon) -> None:
    daemon.answer("/health", document(session("s1")))
    assert json.loads(daemon.run("status", "--json").stdout) == document(session("s1"))


def test_a_daemon_that_could_not_answer_is_no_traceback(daemon: Daemon) -> None:
    result = daemon.run("status")
    assert result.exit_code == 1
    assert result.stderr == "wasupervisor: the daemon could not answer (500): internal error, see the log\n"


class Sleeps:
    """Lets the seconds of --watch pass at once, and Ctrl-C come after some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, until: int) -> None:
        self.slept = 0
        self.until = until
        monkeypatch.setattr("wasupervisor.cli.status.time.sleep", self._sleep)

    def _sleep(self, _seconds: float) -> None:
        self.slept += 1
        if self.slept == self.until:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("status", "exit_code"), [("healthy", 0), ("degraded", 1)])
def test_watching_ends_with_ctrl_c_and_the_last_status(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, status: str, exit_code: int
) -> None:
    Sleeps(monkeypatch, until=3)
    daemon.answer("/health", document(status=status))
    result = daemon.run("status", "--watch")
    assert result.exit_code == exit_code
    assert result.stdout.count("2 sessions:") == 3
    assert "Aborted" not in result.output


def test_watching_goes_on_while_the_daemon_is_restarted(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    Sleeps(monkeypatch, until=3)
    shown = [
        Response.json(200, document()),
        Response.text(500, "away"),
        Response.json(200, document(status="degraded")),
    ]
    daemon.then = lambda _request: shown.pop(0)
    result = daemon.run("status", "--watch")
    assert result.stdout.count("2 sessions:") == 3
    assert "away" in result.stderr
    assert result.exit_code == 1


def history(daemon: Daemon, *arguments: str) -> Request:
    """What the daemon is asked by a `history` with these arguments."""
    daemon.answer("/history", {"entries": [entry(1, "restarted"), entry(2, "paused", None, "order")]})
    daemon.asked.clear()
    result = daemon.run("history", *arguments)
    assert result.exit_code == 0
    return daemon.asked[0]


def test_history_shows_one_line_for_each_entry(daemon: Daemon) -> None:
    history(daemon)
    lines = daemon.run("history").stdout.splitlines()
    assert [line[21:] for line in lines] == ["remedy     s1: restarted", "order      paused"]


def test_history_asks_for_what_was_asked(daemon: Daemon) -> None:
    words = ["--session", "a b&c", "--since", "2h", "--kind", "remedy", "--kind", "SEEN", "--limit", "7"]
    query = history(daemon, *words).query
    assert float(query.pop("since")[0]) == pytest.approx(time.time() - 7200, abs=60)
    assert query == {"session": ["a b&c"], "kind": ["remedy", "seen"], "limit": ["7"]}
    assert history(daemon, "--session", "\udcff").query["session"] == ["?"]
    query = history(daemon).query
    assert float(query.pop("since")[0]) == pytest.approx(time.time() - 86400, abs=60)
    assert query == {"limit": ["1000"]}


@pytest.fixture
def in_kolkata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone without summer time, so that a time of the clock is one moment."""
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_kolkata")
@pytest.mark.parametrize(
    ("until", "moment"),
    [
        ("30m", "2026-01-31T02:42"),
        ("0s", "2026-01-31T03:12"),
        ("03:12", "2026-01-31T03:12"),
        ("03:13", "2026-01-30T03:13"),
        ("2026-01-30T03:12:30", "2026-01-30T03:12:30"),
        ("2026-01-30", "2026-01-30T00:00"),
        ("2026-01-30T03:12:30Z", "2026-01-30T08:42:30"),
    ],
)
def test_a_time_is_a_duration_ago_a_time_of_the_clock_or_a_date(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, until: str, moment: str
) -> None:
    monkeypatch.setattr(
        "wasupervisor.cli.status.time.time", datetime.fromisoformat("2026-01-31T03:12:00+05:30").timestamp
    )
    query = history(daemon, "--since", "9d", "--until", until).query
    assert float(query["until"][0]) == datetime.fromisoformat(f"{moment}+05:30").timestamp()
    assert history(daemon, "--since", until).query["since"] == query["until"]


@pytest.mark.parametrize(
    "words",
    [
        ["--since", "5"],
        ["--since", "25:61"],
        ["--until", "later"],
        ["--since", "1h", "--until", "2h"],
        ["--since", "later"],
        ["--kind", "nonsense"],
        ["--limit", "0"],
        ["--limit", "10001"],
        ["--nope"],
    ],
)
def test_a_history_that_makes_no_sense_exits_2_and_asks_nobody(daemon: Daemon, words: list[str]) -> None:
    assert daemon.run("history", *words).exit_code == 2
    assert daemon.asked == []


def test_an_empty_history_says_so_and_its_json_is_empty(daemon: Daemon) -> None:
    daemon.answer("/history", {"entries": []})
    result = daemon.run("history")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing in that time\n")
    assert json.loads(daemon.run("history", "--json").stdout) == []


def test_a_journal_that_cannot_be_read_exits_1(daemon: Daemon) -> None:
    daemon.answer("/history", {"error": "the disk has not answered"}, 503)
    result = daemon.run("history")
    assert (result.exit_code, result.stderr) == (1, "wasupervisor: the disk has not answered\n")
