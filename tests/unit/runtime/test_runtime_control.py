"""The changing verbs over a real socket: what is answered to whom, and that nothing ends the daemon."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

import pytest
from control_scenes import daemon

from wasupervisor.gateways.operator import QrAnswer
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.remedies import OrderKind, Reply, Verdict
from wasupervisor.runtime import control as control_module
from wasupervisor.runtime.queues import Ordered
from wasupervisor.runtime.reload import Reloaded
from wasupervisor.store.errors import StateUnwritable

pytestmark = pytest.mark.anyio

ME = pwd.getpwuid(os.geteuid()).pw_name


async def test_an_accepted_order_names_the_action_what_was_and_what_is(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        answer = await it.call("POST", "/sessions/s1/recover")
    assert answer.status == 202
    assert answer.json == {
        "action": "a7",
        "accepted": True,
        "verdict": "accepted",
        "text": "now",
        "previous_status": "failing",
        "current_status": "recovering",
        "needs_qr": False,
        "retry_after": None,
    }
    (order,) = it.orders
    assert (order.kind, order.session, order.force, order.by) == (OrderKind.RECOVER, "s1", False, ME)


async def test_restart_may_be_forced(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        await it.call("POST", "/sessions/s1/restart", {"force": True})
    assert [(one.kind, one.force) for one in it.orders] == [(OrderKind.RESTART, True)]


async def test_a_session_is_parked(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        assert (await it.call("POST", "/sessions/s1/park")).status == 202
    assert [(one.kind, one.session, one.by) for one in it.orders] == [(OrderKind.PARK, "s1", ME)]


async def test_an_order_about_the_gateway_names_no_session_and_may_be_forced(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        it.reply = Reply(order_id="", verdict=Verdict.WITHHELD, text="set recovery.restart_gateway")
        answer = await it.call("POST", "/gateway/restart", {"force": True})
    assert (answer.status, answer.json["text"]) == (409, "set recovery.restart_gateway")
    (order,) = it.orders
    assert (order.kind, order.session, order.force, order.by) == (OrderKind.RESTART_GATEWAY, None, True, ME)


@pytest.mark.parametrize(
    ("path", "name"), [("a%2Fb", "a/b"), ("%C3%A4%20%3F", "ä ?"), ("+49%2B", "+49+"), ("%2e%2e", "..")]
)
async def test_names_of_sessions_are_decoded_after_the_path_was_split(tmp_path: Path, path: str, name: str) -> None:
    async with daemon(tmp_path) as it:
        assert (await it.call("POST", f"/sessions/{path}/recover")).status == 202
    assert it.orders[0].session == name


@pytest.mark.parametrize(
    ("verdict", "status", "retry"),
    [
        (Verdict.WITHHELD, 409, None),
        (Verdict.LATER, 429, "13"),
        (Verdict.UNKNOWN_SESSION, 404, None),
    ],
)
async def test_what_is_withheld_has_its_status_and_says_when_to_ask_again(
    tmp_path: Path, verdict: Verdict, status: int, retry: str | None
) -> None:
    async with daemon(tmp_path) as it:
        it.reply = Reply(order_id="", verdict=verdict, text="why", retry_after=12.1)
        answer = await it.call("POST", "/sessions/s1/restart")
    assert (answer.status, answer.headers.get("Retry-After")) == (status, retry)
    assert (answer.json["accepted"], answer.json["text"]) == (False, "why")


async def test_a_qr_is_decided_first_and_fetched_then_for_whom_asked(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        answer = await it.call("GET", "/sessions/a%2Fb/qr")
    assert answer.status == 200
    assert (answer.json["qr"], answer.json["text"], answer.json["accepted"]) == ("2@secret", "valid for 20 s", True)
    assert answer.json["action"] == "a7"
    assert answer.headers["Cache-Control"] == "no-store"
    assert [(one.kind, one.session, one.by) for one in it.orders] == [(OrderKind.QR, "a/b", ME)]
    assert it.asked == [("a/b", ME)]


async def test_a_qr_that_the_gateway_does_not_give_is_withheld_with_its_reason(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        it.qr = QrAnswer(None, "WAHA says WORKING now, and shows none")
        answer = await it.call("GET", "/sessions/s1/qr")
    assert answer.status == 409
    assert (answer.json["accepted"], answer.json["text"]) == (False, "WAHA says WORKING now, and shows none")
    assert "qr" not in answer.json


@pytest.mark.parametrize(
    ("verdict", "status", "retry"),
    [(Verdict.WITHHELD, 409, None), (Verdict.LATER, 429, "13"), (Verdict.UNKNOWN_SESSION, 404, None)],
)
async def test_a_qr_that_is_not_decided_for_is_never_fetched(
    tmp_path: Path, verdict: Verdict, status: int, retry: str | None
) -> None:
    async with daemon(tmp_path) as it:
        it.reply = Reply(order_id="", verdict=verdict, text="why", retry_after=12.1)
        answer = await it.call("GET", "/sessions/s1/qr")
    assert (answer.status, answer.headers.get("Retry-After"), answer.json["text"]) == (status, retry, "why")
    assert it.asked == []


async def test_a_qr_at_a_stop_is_refused_in_words(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        it.inbox.close("the daemon is stopping")
        answer = await it.call("GET", "/sessions/s1/qr")
    assert (answer.status, answer.json, it.asked) == (503, {"error": "the daemon is stopping"}, [])


async def test_an_order_that_no_step_takes_is_answered_all_the_same(tmp_path: Path) -> None:
    async with daemon(tmp_path, within=0.05) as it:
        it.reply = None
        answer = await it.call("POST", "/resume")
    assert answer.status == 503
    assert "did not come to it in time" in answer.json["error"]


async def test_orders_at_a_stop_are_refused_in_words(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        it.inbox.close("the daemon is stopping")
        answer = await it.call("POST", "/resume")
    assert (answer.status, answer.json) == (503, {"error": "the daemon is stopping"})


async def test_a_pause_has_an_end_a_reason_in_one_line_and_somebody_who_ordered_it(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        await it.call("POST", "/pause", {"for": "90s", "reason": " moving\n\x1b[31mhouse\u2028 "})
        await it.call("POST", "/pause")
    first, second = it.orders
    assert (first.kind, first.pause_for, first.reason, first.by) == (OrderKind.PAUSE, 90.0, "moving [31mhouse", ME)
    assert (second.pause_for, second.reason) == (None, "")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"for": "soon"}, "write a number with its unit"),
        ({"for": "10"}, "write the unit too"),
        ({"for": "0s"}, "for no time at all"),
        ({"reason": "x" * 501}, "more than 500 characters"),
        ({"untli": "1h"}, "untli"),
        ({"for": 5}, "body"),
        ([], "body"),
        (b"{", "body"),
        (b"\xff", "body"),
    ],
)
async def test_a_pause_that_makes_no_sense_says_why(tmp_path: Path, body: object, told: str) -> None:
    async with daemon(tmp_path) as it:
        answer = await it.call("POST", "/pause", body)
    assert answer.status == 400
    assert told in answer.json["error"]
    assert it.orders == []


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/sessions/s1/restart", "POST"),
        ("GET", "/sessions/s1/park", "POST"),
        ("GET", "/gateway/restart", "POST"),
        ("PUT", "/pause", "POST"),
        ("DELETE", "/reload", "POST"),
        ("OPTIONS", "/resume", "POST"),
        ("GET", "/queue/retry-failed", "POST"),
        ("POST", "/history", "GET, HEAD"),
        ("POST", "/sessions/s1/qr", "GET"),
        ("HEAD", "/sessions/s1/qr", "GET"),
    ],
)
async def test_another_method_than_the_verbs_own_changes_nothing(
    tmp_path: Path, method: str, path: str, allow: str
) -> None:
    async with daemon(tmp_path) as it:
        answer = await it.call(method, path)
    assert (answer.status, answer.headers["Allow"]) == (405, allow)
    assert it.orders == []


@pytest.mark.parametrize(
    "path",
    ["/gateway/stop", "/vault/list", "/queue/status", "/sessions/a/b/restart", "/pause/"],
)
async def test_what_is_not_built_goes_to_the_read_only_routes_which_do_not_know_it(tmp_path: Path, path: str) -> None:
    async with daemon(tmp_path) as it:
        answer = await it.call("POST", path)
    assert answer.status == 404
    assert it.orders == []


async def test_a_reload_answers_whether_it_was_taken_and_what_is_wrong(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        good = await it.call("POST", "/reload")
        it.reloaded = Reloaded(False, "kept", ("one", "two"))
        bad = await it.call("POST", "/reload")
    assert (good.status, good.json) == (200, {"reloaded": True, "text": "taken", "problems": []})
    assert (bad.status, bad.json) == (422, {"reloaded": False, "text": "kept", "problems": ["one", "two"]})


async def test_failed_jobs_are_put_back_for_whom_asked_and_no_more_than_the_limit(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        answer = await it.call("POST", "/queue/retry-failed", {"queue": "a b", "limit": 7})
        await it.call("POST", "/queue/retry-failed")
    assert answer.status == 200
    assert answer.json == {"queues": [{"queue": "a b", "number": 2, "text": "2 failed jobs wait again", "done": True}]}
    assert it.asked == [("a b", 7, ME), (None, None, ME)]


async def test_why_no_failed_job_can_be_put_back_is_told(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        it.retried = Ordered(error="no queue is configured")
        answer = await it.call("POST", "/queue/retry-failed")
    assert (answer.status, answer.json) == (409, {"error": "no queue is configured"})


@pytest.mark.parametrize("body", [{"limit": 0}, {"limit": "all"}, {"queues": ["a"]}, b"{"])
async def test_an_order_to_the_queues_that_makes_no_sense_does_nothing(tmp_path: Path, body: object) -> None:
    async with daemon(tmp_path) as it:
        answer = await it.call("POST", "/queue/retry-failed", body)
    assert answer.status == 400
    assert answer.json["error"].startswith("cannot read the request's body: ")
    assert it.asked == []


async def test_the_journal_is_asked_as_the_query_says(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        answer = await it.call(
            "GET", "/history?session=a%20b&since=12.5&shared=1&until=99.5&kind=remedy&kind=seen&limit=99999"
        )
        await it.call("GET", "/history")
        head = await it.call("HEAD", "/history")
    assert it.asked[0] == ("a b", 12.5, (EntryKind.REMEDY, EntryKind.SEEN), 10_000, 99.5, True)
    assert it.asked[1] == (None, None, (), 1000, None, False)
    assert answer.json["entries"] == [
        {
            "id": 3,
            "at": 12.5,
            "kind": "remedy",
            "session": "s",
            "reason": "replaced",
            "remedy": "r",
            "outcome": None,
            "warn": True,
            "text": "t",
        }
    ]
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("query", "told"),
    [("since=x", "numbers"), ("until=x", "numbers"), ("limit=many", "numbers"), ("kind=nonsense", "one of seen")],
)
async def test_a_question_to_the_journal_that_makes_no_sense_says_why(tmp_path: Path, query: str, told: str) -> None:
    async with daemon(tmp_path) as it:
        answer = await it.call("GET", f"/history?{query}")
    assert answer.status == 400
    assert told in answer.json["error"]


async def test_a_journal_that_cannot_be_read_is_told_and_a_fault_of_ours_ends_nothing(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        it.error = StateUnwritable("the disk has not answered for 7 s")
        answer = await it.call("GET", "/history")
        assert (answer.status, answer.json["error"]) == (503, "the disk has not answered for 7 s")
        it.error = RuntimeError("boom")
        assert (await it.call("GET", "/history")).status == 500
        it.error = None
        assert (await it.call("GET", "/history")).status == 200


async def test_a_directory_service_that_hangs_costs_the_name_and_not_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "NAME_WITHIN", 0.05)

    def hang(_uid: int) -> str:
        time.sleep(1)
        return "late"

    monkeypatch.setattr(control_module, "_name_of", hang)
    async with daemon(tmp_path) as it:
        assert (await it.call("POST", "/resume")).status == 202
    assert it.orders[0].by == f"uid {os.geteuid()}"


def test_a_user_without_a_name_is_a_number() -> None:
    assert control_module._name_of(3_999_999_999) == "uid 3999999999"


async def test_the_verbs_about_redis_know_who_asks(tmp_path: Path) -> None:
    async with daemon(tmp_path) as it:
        answer = await it.call("POST", "/redis/repair", {})
        assert (answer.status, it.asked) == (409, [(ME,)])
        assert "no Redis is configured" in answer.json["error"]
