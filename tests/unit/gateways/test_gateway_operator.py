"""The QR code for a person: asked for only when a fresh look allows it, once, and nothing of it in any text."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from gateway_wire import Asked, Wire, free_port, http, wired

from wasupervisor.gateways.operator import Operator, QrAnswer, fit, open_operator

pytestmark = pytest.mark.anyio

CODE = "2@LAB15x0x8ax8o7hvt94,UJpxyta52V9T5sMckb1MehzLoFtRJORVdLZEuPzvjUA=,lIDkcUuPo8J4V5fDxa0ljjctf,ldfEL8rRPlc="
PICTURE = "data:image/png;base64," + "A" * 12_000
WAHA_QR = "GET /api/s1/auth/qr?format=raw"
WAHA_NOT = {"error": "Session status is not as expected. Try again later", "session": "s1", "status": "WORKING"}


def waha_list(status: object = "SCAN_QR_CODE", name: str = "s1") -> bytes:
    return http(200, [{"name": "other", "status": "WORKING"}, {"name": name, "status": status, "me": None}])


def row(database: object = "connecting", **rest: object) -> bytes:
    """`fetchInstances`."""
    return http(200, [{"name": "s1", "connectionStatus": database, "token": "SECRET", "Setting": None, **rest}])


def memory(word: object) -> bytes:
    """`connectionState`."""
    return http(200, {"instance": {"instanceName": "s1", "state": word}})


async def ask(kind: str, answers: Mapping[str, bytes | None], session: str = "s1") -> tuple[QrAnswer, list[str], Wire]:
    """Ask for a QR code from a gateway that answers so, by the begin of the path."""

    async def script(asked: Asked, _: Any) -> bytes | None:
        return next((answer for start, answer in answers.items() if asked.path.startswith(start)), http(404))

    async with wired(script) as wire:
        operator = opened(kind, wire.url)
        answer = await operator.qr(session)
        await operator.aclose()
    assert CODE not in repr(answer)
    assert CODE not in answer.text
    assert "SECRET" not in answer.text
    return answer, [str(one) for one in wire.asked], wire


def opened(kind: str, url: str, action_timeout: float = 5.0) -> Operator:
    loop = asyncio.get_running_loop()
    return open_operator(kind, url, "the-key", timeout=5.0, action_timeout=action_timeout, clock=loop.time)


async def test_waha_gives_the_raw_code_right_after_a_look_at_the_list() -> None:
    answers = {"/api/sessions?all=true": waha_list(), "/api/s1/": http(200, {"value": CODE})}
    answer, asked, wire = await ask("waha", answers)
    assert answer.code == CODE
    assert answer.text == "WAHA's first QR code is valid for 60 s, each later one for 20 s"
    assert asked == ["GET /api/sessions?all=true", WAHA_QR]
    assert {one.headers["x-api-key"] for one in wire.asked} == {"the-key"}
    assert wire.connections == 2


@pytest.mark.parametrize(
    ("listing", "text"),
    [
        (waha_list("WORKING"), "WAHA says WORKING now, and shows none"),
        (waha_list("STARTING"), "WAHA says STARTING now, and shows none"),
        (waha_list("FAILED"), "WAHA says FAILED now, and shows none"),
        (waha_list("PASSKEY_REQUIRED"), "WAHA says PASSKEY_REQUIRED now, and shows none"),
        (waha_list(None), "WAHA says nothing now, and shows none"),
        (waha_list(name="s2"), "WAHA does not list the session"),
        (http(200, b"<html>"), "WAHA's session list: answered with something else"),
        (http(500), "WAHA's session list: answered 500 Internal Server Error"),
    ],
)
async def test_waha_is_not_asked_unless_the_list_says_scan(listing: bytes, text: str) -> None:
    answer, asked, _ = await ask("waha", {"/api/sessions?all=true": listing})
    assert (answer.code, answer.text) == (None, text)
    assert asked == ["GET /api/sessions?all=true"]


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (http(422, WAHA_NOT), "WAHA does not show it any more: it was scanned, or it has expired"),
        (http(404, {"message": "Session not found"}), "WAHA's QR code: answered 404 Not Found: WAHA does not"),
        (http(401), "WAHA's QR code: answered 401 Unauthorized: look at gateway.api_key"),
        (http(200, b"\x89PNG"), "WAHA's QR code: answered 200 OK with something else"),
        (http(200, {"value": None}), "WAHA's QR code: answered 200 OK with something else"),
        (http(200, {"value": f"{CODE}\x1b[2J"}), "WAHA's QR code: answered 200 OK with something else"),
        (http(200, [CODE]), "WAHA's QR code: answered 200 OK with something else"),
        (http(200, {"value": "x" * 3000}), "WAHA's QR code: answered 200 OK with something else"),
        (None, "WAHA's QR code: the connection broke"),
    ],
)  # fmt: skip
async def test_waha_that_gives_no_code_is_told_and_not_asked_again(reply: bytes | None, text: str) -> None:
    answer, asked, _ = await ask("waha", {"/api/sessions?all=true": waha_list(), "/api/s1/": reply})
    assert answer.code is None
    assert answer.text.startswith(text)
    assert asked.count(WAHA_QR) == 1


async def test_evolution_reads_the_database_then_memory_and_then_asks_in_one_go() -> None:
    body = {"pairingCode": None, "code": CODE, "base64": PICTURE, "count": 2}
    answers = {
        "/instance/fetchInstances": row(),
        "/instance/connectionState/": memory("connecting"),
        "/instance/connect/": http(200, body),
    }
    answer, asked, wire = await ask("evolution", answers)
    assert answer.code == CODE
    assert answer.text.startswith("QR code 2 of QRCODE_LIMIT (30 by default) that Evolution shows")
    assert asked == [
        "GET /instance/fetchInstances?instanceName=s1",
        "GET /instance/connectionState/s1",
        "GET /instance/connect/s1",
    ]
    assert {one.headers["apikey"] for one in wire.asked} == {"the-key"}


@pytest.mark.parametrize("code", [None, 401])
async def test_evolution_that_is_closed_both_ways_is_asked_too(code: int | None) -> None:
    answers = {
        "/instance/fetchInstances": row("close", disconnectionReasonCode=code),
        "/instance/connectionState/": memory("close"),
        "/instance/connect/": http(200, {"code": CODE, "count": True}),
    }
    answer, _, _ = await ask("evolution", answers)
    assert answer.code == CODE
    assert answer.text.startswith("One QR code of QRCODE_LIMIT")


WORDS = ("open", "connecting", "close", "refused", "new", None)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("database", WORDS)
async def test_evolution_with_any_other_pair_of_truths_is_never_connected(word: object, database: object) -> None:
    answers = {
        "/instance/fetchInstances": row(database),
        "/instance/connectionState/": memory(word),
        "/instance/connect/": http(200, {"code": CODE, "count": 1}),
    }
    answer, asked, _ = await ask("evolution", answers)
    safe = (word, database) in (("close", "close"), ("connecting", "connecting"))
    assert (answer.code == CODE) is safe
    assert any("/connect/" in one for one in asked) is safe
    assert safe or "a second client could start" in answer.text


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ({"/instance/fetchInstances": http(500, b"Can't reach database server")}, "cannot reach its database"),
        ({"/instance/fetchInstances": http(401)}, "look at gateway.api_key"),
        ({"/instance/fetchInstances": http(200, [])}, "Evolution's database does not list the instance"),
        ({"/instance/fetchInstances": row("close", disconnectionReasonCode=403)}, "WhatsApp has refused the account"),
        ({"/instance/fetchInstances": row("close", integration="WHATSAPP-BUSINESS")}, "cloud API has no QR code"),
        (
            {"/instance/fetchInstances": http(200, [{"instance": {"instanceName": "s1", "status": "close"}}])},
            "this Evolution does not tell a reconnect from a QR code",
        ),
        ({"/instance/connectionState/": None}, "connectionState: the connection broke"),
        ({"/instance/connectionState/": http(404, {"response": {"message": ["no"]}})}, "memory says not loaded"),
        ({"/instance/connectionState/": http(500)}, "memory says unknown and database close now"),
    ],
)  # fmt: skip
async def test_evolution_that_cannot_be_read_or_is_something_else_is_never_connected(
    answers: dict[str, bytes | None], text: str
) -> None:
    usual = {"/instance/fetchInstances": row("close"), "/instance/connectionState/": memory("close")}
    answer, asked, _ = await ask("evolution", {**usual, **answers})
    assert answer.code is None
    assert text in answer.text
    assert [one for one in asked if "/connect/" in one] == []


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (memory("open"), "it has connected by itself meanwhile: nothing is to be scanned"),
        (http(200, {"error": True, "message": "[object Object]"}), "Evolution refused: its process does not run"),
        (http(200, {"count": 0}), "Evolution has none yet; ask again in a minute"),
        (http(200, {"code": 5, "count": 1}), "Evolution's QR code: answered 200 OK with something else"),
        (http(200, b"[]"), "Evolution's QR code: answered 200 OK with something else"),
        (http(404, b"does not exist"), "answered 404 Not Found: Evolution has not loaded the instance"),
        (None, "Evolution's QR code: the connection broke"),
    ],
)
async def test_evolution_that_gives_no_code_is_told_and_not_asked_again(reply: bytes | None, text: str) -> None:
    answers = {
        "/instance/fetchInstances": row(),
        "/instance/connectionState/": memory("connecting"),
        "/instance/connect/": reply,
    }
    answer, asked, _ = await ask("evolution", answers)
    assert answer.code is None
    assert text in answer.text
    assert len([one for one in asked if "/connect/" in one]) == 1


@pytest.mark.parametrize("kind", ["waha", "evolution"])
@pytest.mark.parametrize("name", ["..", "", "a\nb"])
async def test_a_name_that_no_session_can_have_is_not_asked_for(kind: str, name: str) -> None:
    answer, asked, _ = await ask(kind, {}, name)
    assert (answer.code, asked) == (None, [])


async def test_names_are_quoted_in_the_path() -> None:
    answers = {
        "/instance/fetchInstances": http(200, [{"name": "a/../b?c", "connectionStatus": "close", "Setting": None}]),
        "/instance/connectionState/": memory("close"),
        "/instance/connect/": http(200, {"code": CODE, "count": 1}),
    }
    _, asked, _ = await ask("evolution", answers, "a/../b?c")
    assert asked[-1] == "GET /instance/connect/a%2F..%2Fb%3Fc"


async def test_a_gateway_that_hangs_at_the_call_costs_the_action_timeout_and_says_so() -> None:
    async def script(asked: Asked, _: Any) -> bytes | None:
        if "auth" in asked.path:
            await asyncio.sleep(3600)
        return waha_list()

    async with wired(script) as wire:
        operator = opened("waha", wire.url, action_timeout=0.05)
        assert (await operator.qr("s1")).text.startswith("WAHA's QR code: no ")
        await operator.aclose()


@pytest.mark.parametrize("kind", ["waha", "evolution"])
async def test_nobody_listens(kind: str) -> None:
    operator = opened(kind, f"http://127.0.0.1:{free_port()}")
    answer = await operator.qr("s1")
    assert answer.code is None
    assert "nobody listens on the port" in answer.text


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gateway\.kind 'mail'"):
        open_operator("mail", "http://h:1", None, timeout=1.0, action_timeout=1.0, clock=lambda: 0.0)


def test_no_answer_shows_its_code_by_accident() -> None:
    assert repr(QrAnswer(CODE, "t")) == "QrAnswer(a QR code, 't')"
    assert repr(QrAnswer(None, "t")) == "QrAnswer(no QR code, 't')"
    assert fit("short") is None
