"""What HAProxy's agent-check reads, with time in our hands; the port itself with real sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from test_report_probes import FOUR_OF_FIVE, Desk, health, session

from wasupervisor.model.health import Status
from wasupervisor.model.sessions import Condition
from wasupervisor.report.agent import LIMITS, ROWS, Agent, LineConnection
from wasupervisor.report.connection import Limits, Request, Response
from wasupervisor.report.http import Handler, Server
from wasupervisor.report.readiness import Question

PATIENT = Limits(head=512, head_deadline=30.0)
HELD = "draining before a restart of the gateway"
SILENT = health((), Status.UNHEALTHY, ready=False, ready_why="the gateway does not answer: refused")


def said(desk: Desk, line: str = "") -> str:
    answer = Agent(desk.board)(Request("LINE", line, {}, {}, b"", None))
    assert answer.status == 200
    return answer.body.decode()


@pytest.fixture
def desk() -> Desk:
    """A desk with four usable sessions and one that fails, looked at just now."""
    it = Desk()
    it.publish(health(FOUR_OF_FIVE, ready_why="4 of 5 expected sessions usable, any needed"))
    return it


def test_what_is_ready_is_up_with_its_whole_weight(desk: Desk) -> None:
    assert said(desk) == "up 100% # the last look is 0 s old; 4 of 5 expected sessions usable, any needed\n"


def test_a_restart_that_is_prepared_drains_and_gives_the_weight_back(desk: Desk) -> None:
    desk.board.hold(HELD)
    assert said(desk) == f"up 0% # {HELD}\n"
    assert said(desk, "s0") == f"up 0% # {HELD}\n"
    desk.board.hold(None)
    assert said(desk).startswith("up 100% #")


def test_what_is_not_usable_anyway_is_not_called_up_by_a_drain(desk: Desk) -> None:
    desk.board.hold(HELD)
    assert said(desk, "s4") == "fail # session 's4' is failing (connection_lost)\n"
    desk.publish(SILENT, reachable=False)
    assert said(desk) == "down # the gateway does not answer: refused\n"


def test_too_few_usable_sessions_fail_and_a_silent_gateway_is_down(desk: Desk) -> None:
    desk.publish(health(ready=False, ready_why="0 of 1 expected session usable, any needed"))
    assert said(desk) == "fail # 0 of 1 expected session usable, any needed\n"
    desk.publish(SILENT, reachable=False)
    assert said(desk) == "down # the gateway does not answer: refused\n"
    assert said(desk, "s0") == "down # the gateway does not answer\n"


def test_a_line_names_one_session(desk: Desk) -> None:
    assert said(desk, "s0") == "up 100% # the last look is 0 s old; the gateway answers; session 's0' is healthy\n"
    assert said(desk, "s4").startswith("fail # session 's4' is failing")
    assert said(desk, "nobody") == "fail # no session 'nobody' is known\n"


def test_before_the_first_look_and_in_a_stop_nothing_is_changed(desk: Desk) -> None:
    """A supervisor that is upgraded takes no traffic from a gateway that works."""
    assert said(Desk()) == "# the first look has not finished yet, after 0 s\n"
    desk.board.set_stopping()
    assert said(desk) == "# the supervisor is stopping\n"
    desk.now += 1000
    assert said(desk) == "# the supervisor is stopping\n"


def test_a_look_that_is_too_old_is_believed_by_nobody(desk: Desk) -> None:
    desk.now += 46
    assert said(desk) == "fail # the last look is 46 s old\n"
    assert said(desk, "s0") == "fail # the last look is 46 s old\n"


@pytest.mark.parametrize("name", ["a\nup 100%", "b\r\nready", "c\x00", "müller", "x" * 500])
def test_a_name_of_any_kind_stays_a_comment_on_one_line(desk: Desk, name: str) -> None:
    desk.publish(health((session(name, Condition.FAILING),), ready_why=f"because of {name}", ready=False))
    for line in ("", name):
        told = said(desk, line)
        assert told.startswith("fail # ")
        assert (told.count("\n"), told.isascii(), len(told) < 150) == (1, True, True)
        assert not {"\r", "\x00"} & set(told)


def test_each_answer_but_silence_sets_all_that_another_may_have_set() -> None:
    """HAProxy keeps a word until it is taken back: a weight that was taken is given back by whatever says up."""
    words = [set(row.words.split()) for row in ROWS if row.words]
    assert all(("up" in one) is any(word.endswith("%") for word in one) for one in words)
    assert all(one & {"up", "down", "fail", "stopped"} for one in words)
    assert all(not one & {"ready", "drain", "maint"} for one in words)


def test_every_question_that_may_be_asked_has_its_row() -> None:
    assert {row.question for row in ROWS} == {None, *Question} - {Question.POLICY}
    assert ROWS[-1].question is None


def echo(request: Request) -> Response:
    return Response.text(200, f"<{request.path}>")


@asynccontextmanager
async def port(handler: Handler = echo, limits: Limits = LIMITS) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Server(handler, limits=limits, converse=LineConnection).serve, sock)
            yield sock.getsockname()[1]
            tasks.cancel_scope.cancel()


async def ask(where: int, *parts: bytes, eof: bool = False) -> bytes:
    async with await anyio.connect_tcp("127.0.0.1", where) as stream:
        for part in parts:
            await stream.send(part)
            await anyio.sleep(0.01)
        if eof:
            await stream.send_eof()
        return b"".join([data async for data in stream])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ([b"sales\n"], b"<sales>\n"),
        ([b"sales one\r\nmore"], b"<sales one>\n"),
        ([b"sa", b"les", b"\n"], b"<sales>\n"),
        ([b"\n"], b"<>\n"),
        ([b"m\xc3\xbcller\n"], "<müller>\n".encode()),
        ([b"\xff\n"], "<�>\n".encode()),
        ([b"no end"], b"<no end>\n"),
        ([], b"<>\n"),
    ],
)
async def test_a_line_is_read_if_there_is_one(parts: list[bytes], answer: bytes) -> None:
    async with port(limits=PATIENT) as where:
        assert await ask(where, *parts, eof=b"\n" not in b"".join(parts)) == answer


@pytest.mark.anyio
async def test_a_line_without_end_is_read_no_further_than_its_limit() -> None:
    async with port(limits=PATIENT) as where:
        assert await ask(where, b"x" * 5000) == b"<" + b"x" * 512 + b">\n"


@pytest.mark.anyio
async def test_a_client_that_says_nothing_is_answered_after_the_deadline_and_keeps_nobody_waiting() -> None:
    async with port(limits=PATIENT) as where, await anyio.connect_tcp("127.0.0.1", where):
        assert await ask(where, b"a\n") == b"<a>\n"
    async with port(limits=Limits(head=512, head_deadline=0.01)) as where:
        assert await ask(where) == b"<>\n"


@pytest.mark.anyio
async def test_above_the_cap_the_client_goes_that_has_waited_longest() -> None:
    async with (
        port(limits=Limits(connections=2, head_deadline=30.0)) as where,
        await anyio.connect_tcp("127.0.0.1", where) as first,
        await anyio.connect_tcp("127.0.0.1", where),
    ):
        assert await ask(where, b"a\n") == b"<a>\n"
        with pytest.raises(anyio.EndOfStream):
            await first.receive()


@pytest.mark.anyio
async def test_a_fault_of_ours_says_no_word() -> None:
    def broken(_: Request) -> Response:
        raise RuntimeError

    async with port(broken) as where:
        assert await ask(where, b"\n") == b""
