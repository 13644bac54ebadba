"""Telling people: real sockets, and channels that hang, refuse, drip and lie."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import anyio
import pytest
from hook_server import Hook, hook
from msgspec.structs import replace

from wasupervisor.config.schema import Alert as Wanted
from wasupervisor.config.schema import Gateway, Settings
from wasupervisor.config.secret import Secret
from wasupervisor.model.alerts import Alert, AlertKind, Event
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.sessions import Reason
from wasupervisor.runtime import dead_man as dead_man_module
from wasupervisor.runtime import posting, telling
from wasupervisor.runtime.dead_man import DeadMan
from wasupervisor.runtime.posting import Sent, call, shown
from wasupervisor.runtime.telling import Telling, channels_of
from wasupervisor.store.outbox import MOST_WAITING, Message, Outbox

pytestmark = pytest.mark.anyio

GATEWAY = Gateway(kind="waha", url="http://gateway.example:3000/secret-path")

ALERT = Alert(
    id="e1",
    kind=AlertKind.NEEDS_HUMAN,
    event=Event.BEGIN,
    since=900.0,
    at=1000.0,
    session="a",
    sessions=("a",),
    reason=Reason.QR_WANTED,
    what="a: it waits for a person to scan its QR code",
    tried=("one restart",),
    why_no_more="only a person can do what it waits for",
    todo="Scan the QR code.",
)
END = replace(ALERT, event=Event.END, what="it works again", todo="")


class Teller:
    """Telling as the recorder uses it, with a clock by hand."""

    def __init__(self, *wanted: Wanted) -> None:
        self.now = 1000.0
        self.outbox = Outbox()
        self.telling = Telling(
            self.outbox, now=lambda: self.now, dice=Random(1), wall=lambda: 1_700_000_100.0, hostname=lambda: "host1"
        )
        self.settings = Settings(gateway=GATEWAY, alerts=wanted)
        self.telling.use(self.settings)
        self.texts: list[str] = []
        self.outcomes: list[str | None] = []

    def tell(self, *alerts: Alert) -> None:
        """As with a commit."""
        self.telling.put(alerts)
        self.outbox.release()
        self.telling.wake()

    def journal(self) -> list[str]:
        """All that was said so far."""
        notes = self.telling.take_notes()
        assert {one.kind for one in notes} <= {EntryKind.ALERT}
        self.texts += [one.text for one in notes]
        self.outcomes += [one.outcome for one in notes]
        return self.texts

    async def until(self, check: Callable[[], object]) -> None:
        with anyio.fail_after(20):
            while True:
                if check():
                    return
                await anyio.sleep(0.005)

    async def until_told(self, words: str) -> str:
        await self.until(lambda: any(words in text for text in self.journal()))
        return next(text for text in self.texts if words in text)


def wants(to: str, *on: str, remind: float | None = 3600.0) -> Wanted:
    return Wanted(to=Secret(to), on=on, remind=remind)


@asynccontextmanager
async def telling_to(*wanted: Wanted) -> AsyncIterator[Teller]:
    teller = Teller(*wanted)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(teller.telling.run)
        yield teller
        tasks.cancel_scope.cancel()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of milliseconds, of the same proportions."""
    monkeypatch.setattr(telling, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(telling, "LONGEST_WAIT", 0.02)
    monkeypatch.setattr(telling, "CLEAN_EVERY", 0.01)
    monkeypatch.setattr(posting, "WITHIN", 0.3)


async def test_a_person_is_told_with_everything_that_he_asks() -> None:
    async with hook() as it, telling_to(wants(f"{it.url}T0KEN?k=S3CRET")) as teller:
        teller.tell(ALERT)
        (heard,) = await it.until(1)
        assert (heard.method, heard.target) == ("POST", "/T0KEN?k=S3CRET")
        assert heard.headers["content-type"] == "application/json"
        assert heard.headers["idempotency-key"] == "e1.begin"
        assert heard.headers["host"] == it.url.split("/")[2]
        assert heard.json == {
            "event": "begin",
            "id": "e1",
            "kind": "needs_human",
            "text": "host1, waha gateway.example:3000: needs_human begins: a: it waits for a person to scan its QR "
            "code. To do: Scan the QR code.",
            "what": "a: it waits for a person to scan its QR code",
            "since": "2023-11-14T22:13:20Z",
            "at": "2023-11-14T22:15:00Z",
            "session": "a",
            "sessions": ["a"],
            "session_count": 1,
            "reason": "qr_wanted",
            "docs": "docs/reasons/qr_wanted.md",
            "tried": ["one restart"],
            "why_no_more": "only a person can do what it waits for",
            "todo": "Scan the QR code.",
            "gateway": {"kind": "waha", "host": "gateway.example:3000"},
            "hostname": "host1",
            "version": "0.1.0",
        }
        text = await teller.until_told("told ")
        assert text == f"told {it.url[:-1]}: needs_human begins: {ALERT.what}"
        assert "T0KEN" not in text
        assert len(teller.outbox) == 0


async def test_the_end_comes_after_the_begin_and_has_a_key_of_its_own() -> None:
    async with hook() as it, telling_to(wants(it.url)) as teller:
        teller.tell(ALERT, replace(ALERT, event=Event.REMIND, at=4600.0, told_before=1000.0))
        teller.tell(END)
        heard = await it.until(3)
        assert [one.headers["idempotency-key"] for one in heard] == ["e1.begin", "e1.remind.4600", "e1.end"]
        assert [one.json["event"] for one in heard] == ["begin", "remind", "end"]


async def test_each_channel_gets_what_it_asked_for() -> None:
    async with hook() as all_of_it, hook() as some:
        wanted = wants(all_of_it.url), wants(some.url, "incident", remind=None)
        async with telling_to(*wanted) as teller:
            incident = replace(ALERT, id="e2", kind=AlertKind.INCIDENT, session=None, sessions=("a", "b"))
            remind = replace(incident, event=Event.REMIND, at=9000.0, told_before=1000.0)
            teller.tell(ALERT, incident, remind)
            await all_of_it.until(3)
            await teller.until(lambda: len(teller.outbox) == 0)
            assert [one.json["id"] for one in some.heard] == ["e2"]


async def test_one_address_that_is_configured_twice_is_told_once() -> None:
    async with hook() as it, telling_to(wants(it.url, "incident"), wants(it.url, "needs_human")) as teller:
        teller.tell(ALERT)
        await teller.until_told("told ")
        assert len(it.heard) == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (500, "answered 500"),
        (429, "answered 429"),
        (408, "answered 408"),
        (425, "answered 425"),
        (302, "answered 302, and redirects are not followed"),
        ("hang", "no answer in 0.3 s"),
        ("drip", "no answer in 0.3 s"),
        ("close", "the connection broke, or its answer was no HTTP"),
        ("rubbish", "the connection broke, or its answer was no HTTP"),
    ],
)
async def test_what_may_pass_is_tried_again_until_it_is_told(answer: int | str, why: str) -> None:
    async with hook() as it, telling_to(wants(f"{it.url}T0KEN")) as teller:
        it.answer = answer
        teller.tell(ALERT)
        await it.until(3)
        it.answer = 204
        await teller.until_told("told http")
        assert {(one.target, one.body) for one in it.heard} == {("/T0KEN", it.heard[0].body)}
        assert {one.headers["idempotency-key"] for one in it.heard} == {"e1.begin"}
        assert teller.texts == [
            f"{it.url[:-1]} could not be told yet: {why}; it is tried again for 24 h: needs_human begins: {ALERT.what}",
            f"told {it.url[:-1]}: needs_human begins: {ALERT.what}",
        ]
        assert teller.outcomes == [None, "told"]


@pytest.mark.usefixtures("quick")
async def test_an_endless_answer_is_an_answer() -> None:
    async with hook() as it, telling_to(wants(it.url)) as teller:
        it.answer = "endless"
        teller.tell(ALERT)
        await teller.until_told("told ")
        assert len(it.heard) == 1


@pytest.mark.parametrize("answer", [400, 401, 404, 410, 413])
async def test_what_is_refused_is_said_once_and_not_tried_again(answer: int) -> None:
    async with hook() as it, telling_to(wants(it.url)) as teller:
        it.answer = answer
        teller.tell(ALERT)
        await teller.until_told(f"could not be told: it answered {answer}: ")
        it.answer = 200
        teller.tell(END)
        await teller.until_told("told http")
        assert [one.json["event"] for one in it.heard] == ["begin", "end"]
        assert len(teller.texts) == 2
        assert teller.outcomes == ["not_told", "told"]


@pytest.mark.usefixtures("quick")
async def test_a_channel_that_hangs_does_not_hold_up_another() -> None:
    async with hook() as stuck, hook() as well, telling_to(wants(stuck.url), wants(well.url)) as teller:
        stuck.answer = "hang"
        teller.tell(ALERT, END)
        await well.until(2)
        await teller.until(lambda: sum(text.startswith("told") for text in teller.journal()) == 2)
        assert len(teller.outbox) == 2


@pytest.mark.usefixtures("quick")
async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with telling_to(wants(f"http://127.0.0.1:{taken.getsockname()[1]}/T0KEN")) as teller:
            teller.tell(ALERT)
            text = await teller.until_told("could not be told yet")
            assert "nobody listens there" in text
            assert "T0KEN" not in text


@pytest.mark.usefixtures("quick")
async def test_what_is_a_day_old_is_given_up_with_one_line() -> None:
    async with hook() as it, telling_to(wants(it.url)) as teller:
        it.answer = 503
        teller.tell(ALERT)
        await it.until(2)
        teller.now += telling.GIVE_UP_AFTER + 1
        await teller.until_told("could not be told in 24 h, and is not any more: needs_human begins")
        assert len(teller.outbox) == 0
        number = len(it.heard)
        it.answer = 200
        teller.tell(END)
        await teller.until_told("told http")
        assert len(it.heard) <= number + 2


async def test_a_full_queue_says_what_went() -> None:
    teller = Teller(wants("http://hooks.example/T0KEN"))
    teller.tell(*(replace(ALERT, id=f"e{number}") for number in range(MOST_WAITING)), END)
    why = f"could not be told: {MOST_WAITING} messages wait for it, and the least of them goes"
    assert teller.journal() == [f"http://hooks.example {why}: needs_human is over: it works again"]


async def test_nobody_is_told_when_nobody_is_configured() -> None:
    async with telling_to() as teller:
        teller.tell(ALERT)
        assert len(teller.outbox) == 0


@pytest.mark.usefixtures("quick")
async def test_a_reload_takes_the_queue_along_and_who_is_gone_is_not_told() -> None:
    async with hook() as old, hook() as new, telling_to(wants(old.url)) as teller:
        old.answer = "hang"
        teller.tell(ALERT)
        await old.until(1)
        teller.telling.use(Settings(gateway=GATEWAY, alerts=(wants(new.url),)))
        teller.tell(END)
        await new.until(1)
        assert len(old.heard) == 1
        teller.now += telling.GIVE_UP_AFTER + 1
        await teller.until_told("a channel that is not configured any more could not be told in 24 h")
        assert [one.json["event"] for one in new.heard] == ["end"]


async def test_a_reload_that_changes_no_channel_leaves_what_is_under_way() -> None:
    async with hook() as it, telling_to(wants(it.url)) as teller:
        it.answer = "hang"
        teller.tell(ALERT)
        await it.until(1)
        teller.telling.use(teller.settings)
        await anyio.wait_all_tasks_blocked()
        assert len(it.heard) == 1


async def test_what_an_earlier_run_left_is_sent() -> None:
    async with hook() as it:
        teller = Teller(wants(it.url))
        (key,) = channels_of(teller.settings)
        left = Message(key, "e0.begin", "begin", 0.0, b'{"event": "begin"}', "left", None, "a_word_of_the_future")
        teller.outbox.put([left])
        teller.outbox.release()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(teller.telling.run)
            assert await teller.until_told("told ") == f"told {it.url[:-1]}: left"
            tasks.cancel_scope.cancel()


async def test_many_sessions_make_no_endless_body() -> None:
    async with hook() as it, telling_to(wants(it.url)) as teller:
        names = tuple(f"s{number}" for number in range(300))
        teller.tell(replace(ALERT, session=None, sessions=names, reason=Reason.NONE))
        (heard,) = await it.until(1)
        assert (len(heard.json["sessions"]), heard.json["session_count"], heard.json["docs"]) == (100, 300, None)


def test_the_wait_doubles_to_a_cap_and_two_never_wait_the_same() -> None:
    subject = Teller().telling
    waits = [subject._wait(failures) for failures in range(1, 40)]
    assert 5.0 <= waits[0] <= 6.25
    assert 10.0 <= waits[1] <= 12.5
    assert all(600.0 <= wait <= 750.0 for wait in waits[8:])
    assert len(set(waits)) == len(waits)


def test_a_channel_shows_no_token() -> None:
    settings = Settings(gateway=GATEWAY, alerts=(wants("https://user:pw@hooks.example:444/T0KEN?x=y"),))
    (channel,) = channels_of(settings).values()
    assert repr(channel) == "Channel(https://hooks.example:444)"
    assert "T0KEN" not in channel.key


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://h.example/x", "https://h.example"),
        ("http://[::1]:80/x", "http://[::1]:80"),
        ("http://bücher.example/x", "http://xn--bcher-kva.example"),
        ("http://h:99999/x", "an address that cannot be read"),
    ],
)
def test_what_of_an_address_is_shown(url: str, text: str) -> None:
    assert shown(url) == text


async def test_user_and_password_go_into_a_header() -> None:
    async with hook() as it:
        sent = await call("GET", it.url.replace("//", "//us%40er:pw@") + "a b/%2F?x=ü")
        assert sent == Sent(200, "answered 200")
        assert it.heard[0].headers["authorization"] == "Basic dXNAZXI6cHc="
        assert it.heard[0].target == "/a%20b/%2F?x=%C3%BC"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://h:99999/", "the call failed (ValueError)"),
        ("http://nowhere.invalid/", "its host name cannot be resolved"),
        ("http://[::1%nothing]/", "it cannot be reached"),
    ],
)
async def test_what_cannot_be_called_at_all(url: str, text: str) -> None:
    sent = await call("GET", url)
    assert sent.status is None
    assert not sent.ok
    assert not sent.refused
    assert sent.text.startswith(text) or "resolved" in sent.text


async def test_https_to_what_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "WITHIN", 0.3)
    async with hook() as it:
        sent = await call("GET", it.url.replace("http://", "https://"))
        assert sent == Sent(None, "no answer in 0.3 s")


# The dead man's switch


@asynccontextmanager
async def switch(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Hook, DeadMan, list[str]]]:
    monkeypatch.setattr(dead_man_module, "EVERY", 0.02)
    texts: list[str] = []
    async with AsyncExitStack() as stack:
        it = await stack.enter_async_context(hook())
        subject = DeadMan(lambda entry: texts.append(entry.text))
        subject.use(Secret(f"{it.url}UUID"))
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(subject.run)
        yield it, subject, texts
        tasks.cancel_scope.cancel()


async def test_it_is_pinged_only_while_turns_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    async with switch(monkeypatch) as (it, subject, texts):
        await anyio.wait_all_tasks_blocked()
        assert it.heard == []
        subject.beat()
        subject.beat()
        await it.until(1)
        await anyio.sleep(0.1)
        assert [(one.method, one.target) for one in it.heard] == [("GET", "/UUID")]
        subject.beat()
        await it.until(2)
        assert texts == []


async def test_a_ping_that_fails_is_said_on_change_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with switch(monkeypatch) as (it, subject, texts):
        for number, answer in enumerate((500, 302, 404, 200, 200), 1):
            it.answer = answer
            subject.beat()
            await it.until(number)
            await anyio.sleep(0.05)
        assert texts == [
            f"the dead man's switch at {it.url[:-1]} could not be pinged: answered 500; it is tried again",
            f"the dead man's switch at {it.url[:-1]} is pinged again",
        ]


async def test_without_a_url_nobody_is_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    async with switch(monkeypatch) as (it, subject, _texts):
        subject.use(None)
        subject.beat()
        await anyio.sleep(0.05)
        assert it.heard == []
