"""explain: what a person who was just woken up reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_daemon import Daemon, document, entry, session

from wasupervisor.cli.story import story
from wasupervisor.cli.telling import MEANING
from wasupervisor.decide.reasons import TABLE
from wasupervisor.model.sessions import Condition, Reason
from wasupervisor.report.connection import Request, Response


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    it = Daemon(tmp_path)
    yield it
    it.close()


def explain(daemon: Daemon, *arguments: str) -> str:
    return daemon.run("explain", *arguments).stdout


def answers_about(daemon: Daemon, health: dict[str, Any], entries: list[Any]) -> None:
    """The health, and the journal of one session with what concerns all."""

    def answer(request: Request) -> Response:
        if request.path == "/health":
            return Response.json(200, health)
        assert request.query["shared"] == ["1"]
        return Response.json(200, {"entries": entries})

    daemon.then = answer


def past(text: str) -> list[str]:
    """The last hour, without the times."""
    lines = text.splitlines()
    return [line[12:] for line in lines[lines.index("The last hour:") + 1 :]]


def test_it_tells_first_how_it_is_and_then_how_that_came(daemon: Daemon) -> None:
    failing = session("s1", "failing", "connection_lost", claim="STARTING", next="restart in 5 s", advice="Look at it.")
    entries = [entry(1, "failing", kind="concluded"), entry(2, "paused by eve", None, "order"), entry(3, "restarted")]
    answers_about(daemon, document(failing), entries)
    text = explain(daemon, "s1")
    lines = text.splitlines()
    assert lines[0].startswith("s1 is failing: its connection to WhatsApp is lost")
    assert lines[1].startswith("  since     2025-01-31")
    assert lines[2] == "  gateway   says STARTING"
    assert lines[3].startswith("  done      1 remedy (restart_session), last at ")
    assert lines[4:7] == [
        "  next      restart in 5 s",
        "  to do     Look at it.",
        "  more      docs/reasons/connection_lost.md",
    ]
    assert past(text) == ["concluded   failing", "order       paused by eve", "remedy      restarted"]


def test_the_same_is_said_only_once(daemon: Daemon) -> None:
    fatal = session("s1", "fatal", "logged_out", next="Link it again.", advice="Link it again.")
    answers_about(daemon, document(fatal), [])
    text = explain(daemon, "s1")
    assert text.count("Link it again.") == 1
    assert "  to do     Link it again." in text


def test_what_comes_next_does_not_repeat_the_headline(daemon: Daemon) -> None:
    why = TABLE[Reason.UPLINK_DOWN].sentence
    answers_about(daemon, document(session("s1", "failing", "uplink_down", next=f"nothing is done: {why}")), [])
    text = explain(daemon, "s1")
    assert text.count(why) == 1
    assert "  next      nothing is done while that is so\n" in text


def test_a_command_can_be_copied(daemon: Daemon) -> None:
    advice = TABLE[Reason.PARKED].advice
    answers_about(daemon, document(session("s1", "needs_human", "parked", next=advice, advice=advice)), [])
    text = explain(daemon, "s1")
    assert text.count("to do     Open WhatsApp") == 1
    assert "`wasupervisor recover s1` then starts it again.\n" in text
    assert "  next " not in text


def test_a_healthy_session_needs_no_page_and_nothing_to_do(daemon: Daemon) -> None:
    answers_about(daemon, document(session("s1")), [])
    lines = explain(daemon, "s1").splitlines()
    assert lines[0] == f"s1 is healthy: {MEANING['healthy']}"
    assert [line.split()[0] for line in lines[1:3]] == ["since", "gateway"]
    assert lines[3:] == ["", "Nothing happened in the last hour."]


def test_every_condition_has_its_meaning() -> None:
    assert set(MEANING) == set(Condition)


def test_what_was_done_names_the_last_verdict_also_on_the_gateway(daemon: Daemon) -> None:
    gateway = {**entry(3, "restart_gateway: ...", None, "remedy"), "remedy": "restart_gateway"}
    entries = [entry(1, "again"), entry(2, "did not heal it", kind="verified"), gateway]
    answers_about(daemon, document(session("s1")), entries)
    (line,) = [one for one in explain(daemon, "s1").splitlines() if one.startswith("  done")]
    assert line.startswith("  done      2 remedies (restart_session, restart_gateway), last at ")
    assert "did not heal it" not in line
    answers_about(daemon, document(session("s1")), [*entries, entry(4, "healed: it works", None, "verified")])
    (line,) = [one for one in explain(daemon, "s1").splitlines() if one.startswith("  done")]
    assert line.endswith(": healed: it works")


def test_what_concerns_all_sessions_is_told(daemon: Daemon) -> None:
    gateway = {"kind": "waha", "reachable": False, "version": None, "pid": None}
    paused = {"since": "2025-01-31T12:00:00Z", "until": None, "reason": "", "by": "eve"}
    incident = {"since": "2025-01-31T12:00:00Z", "cause": "uplink_down", "sessions": ["s1"], "canary": None}
    health = document(session("s1", "unknown", "later_reason"), gateway=gateway, paused=paused, incident=incident)
    answers_about(daemon, health, [])
    text = explain(daemon, "s1")
    assert text.startswith("s1 is unknown: later_reason\n")
    assert "does not answer: nothing is known of its sessions" in text
    assert "by eve; `wasupervisor resume` ends it" in text
    assert ": 1 session, likely because WhatsApp cannot be reached from here" in text
    assert "canary" not in text
    assert "docs/reasons/later_reason" not in text
    assert "Nothing happened in the last hour." in text


def test_a_session_that_is_gone_tells_what_was(daemon: Daemon) -> None:
    answers_about(daemon, document(), [entry(1, "healthy")])
    text = explain(daemon, "s1")
    assert text.startswith("s1: the gateway does not list it any more\n")
    assert "healthy" in text


def test_an_unknown_session_exits_2(daemon: Daemon) -> None:
    answers_about(daemon, document(session("s1")), [entry(1, "started", None, "supervisor")])
    result = daemon.run("explain", "s9")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no session 's9' is known; `wasupervisor status` lists them" in result.stderr


def test_json_has_the_facts(daemon: Daemon) -> None:
    answers_about(daemon, document(session("s1")), [entry(1, "x")])
    told = json.loads(explain(daemon, "s1", "--json"))
    assert told["session"]["name"] == "s1"
    assert [one["text"] for one in told["entries"]] == ["x"]
    assert told["status"] == "healthy"


def flapping(times: int, first: int = 0) -> list[dict[str, Any]]:
    """An instance that goes to and fro with each look."""
    return [entry(first + n, f"the gateway says {'close' if n % 2 else 'open'}", kind="seen") for n in range(2 * times)]


def told(entries: list[dict[str, Any]]) -> list[str]:
    """Without the times of the begin of each line."""
    return [line[12:] for line in story(entries)]


def test_what_comes_over_and_over_is_told_once_with_its_number_and_its_end() -> None:
    lines = told(flapping(37))
    assert len(lines) == 2
    assert lines[0].startswith("seen        the gateway says open (37 times until ")
    assert story(flapping(37))[1].endswith(f"until {story(flapping(37)[-1:])[0][2:10]})")


def test_numbers_do_not_make_it_another_thing_and_twice_is_not_often() -> None:
    waits = [
        entry(n, f"it works again after {n} s; healthy if it stays so for 8 s", kind="concluded") for n in range(5)
    ]
    (line,) = told(waits)
    assert line.startswith("concluded   it works again after 0 s; healthy if it stays so for 8 s (5 times until ")
    assert len(told(waits[:2])) == 2


def test_what_was_judged_or_done_is_never_gathered_and_keeps_its_place() -> None:
    warned = {**entry(100, "failing: it is lost", kind="concluded"), "warn": True}
    deeds = [entry(101, "restart_session (attempt 1)"), entry(102, "restart_session (attempt 2)")]
    lines = told([*flapping(3), warned, *deeds, *deeds, *flapping(3, 200)])
    assert [line.split(" (")[0].split(maxsplit=1)[0] for line in lines] == [
        *["seen"] * 2,
        "concluded",
        *["remedy"] * 4,
        *["seen"] * 2,
    ]


def test_a_breaker_that_opens_is_told_by_the_verdict_alone() -> None:
    at = {"at": 1_700_000_009.0}
    verdict = {**entry(1, "it did not heal it; the breaker is open for 60 s", kind="verified"), **at}
    opens = {**entry(2, "its breaker opens for 60 s (trip 1)", kind="breaker"), **at}
    withheld = {**entry(3, "restart_session is withheld, for 60 s: its breaker is open", kind="withheld"), **at}
    withheld["outcome"] = "breaker"
    assert told([verdict, opens, withheld]) == ["verified    it did not heal it; the breaker is open for 60 s"]
    assert len(told([opens])) == len(told([withheld])) == 1
    assert len(told([verdict, {**withheld, "at": 1_700_000_010.0}])) == 2
    assert len(told([verdict, {**withheld, "outcome": "uplink"}])) == 2
    assert len(told([verdict, {**opens, "session": "s2"}])) == 2


# Its credential key in Redis

HELD = {
    "session": "s1",
    "key": "evo:instance:s1",
    "fault": "evo:instance:s1 (credentials) was set aside and is not back",
    "since": "2025-01-31T12:00:00Z",
    "aside": [{"id": "0123456789ab", "type": "string", "at": "2025-01-31T12:00:01Z"}],
    "todo": "no hash of this name is in quarantine; no restart until it is whole",
}


def holds(daemon: Daemon, answer: Response, redis: dict[str, Any] | None) -> None:
    health = document(session("s1", "failing", "stuck_starting", next="restart_session is withheld"), redis=redis)
    answers_about(daemon, health, [])
    others = daemon.then
    assert others is not None

    def then(request: Request) -> Response:
        return answer if request.path == "/redis/held" else others(request)

    daemon.then = then


def test_of_a_session_that_is_held_it_tells_the_key_since_when_what_was_set_aside_and_what_to_do(
    daemon: Daemon,
) -> None:
    holds(daemon, Response.json(200, {"held": [{**HELD, "session": "s2", "todo": "of another"}, HELD]}), None)
    assert "redis " not in explain(daemon, "s1")  # nothing is known of a Redis that is not watched
    holds(
        daemon, Response.json(200, {"held": [{**HELD, "session": "s2", "todo": "of another"}, HELD]}), {"status": "x"}
    )
    lines = explain(daemon, "s1").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("  redis "))
    fault = "evo:instance:s1 (credentials) was set aside and is not back"
    assert lines[first].startswith(f"  redis     {fault}; seen since 2025-01-31 ")
    assert lines[first + 1] == "  redis     set aside: 0123456789ab, a string, at 2025-01-31T12:00:01Z"
    assert lines[first + 2] == f"  to do     {HELD['todo']}"
    assert "of another" not in "".join(lines)
    assert json.loads(explain(daemon, "s1", "--json"))["held"] == HELD


@pytest.mark.parametrize("answer", [Response.json(404, {"error": "no"}), Response.json(503, {"error": "no"})])
def test_where_the_keys_cannot_be_told_the_rest_is(daemon: Daemon, answer: Response) -> None:
    holds(daemon, answer, {"status": "fail"})
    text = explain(daemon, "s1")
    assert "restart_session is withheld" in text
    assert "  redis " not in text
