"""When a QR code may be asked for: what is refused in which words, and what is on the books before anybody asks."""

from __future__ import annotations

import pytest
from decide_scenes import (
    CALM,
    EVOLUTION,
    Stage,
    failed,
    starting,
    stopped,
    told,
    unreadable,
    wants_qr,
    working,
)
from msgspec.structs import replace

from wasupervisor.decide.qr import ROWS
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.remedies import OrderKind, Outcome, Verdict
from wasupervisor.model.sessions import Reason, Sighting, State, Truths

QR = OrderKind.QR


def evolution(memory: str, database: str, reason: Reason = Reason.QR_WANTED, name: str = "a") -> Sighting:
    """An Evolution instance as its truths tell it."""
    state = State.FAILED if reason in (Reason.LOGGED_OUT, Reason.BANNED) else State.NEEDS_HUMAN
    claim = f"memory {memory}, database {database}"
    return Sighting(name, state, reason, claim, paired=False, truths=Truths(memory=memory, database=database))


def waha_waits() -> Stage:
    stage = Stage().healthy("a", "b")
    stage.change(wants_qr())
    return stage.run(60)


def evolution_waits(memory: str, database: str, reason: Reason = Reason.QR_WANTED, **rest: object) -> Stage:
    stage = Stage(policy=EVOLUTION, store_ok=True, **rest).healthy("a", "b")  # type: ignore[arg-type]
    stage.change(evolution(memory, database, reason))
    return stage.run(60)


def test_a_qr_that_is_shown_may_be_asked_for_and_is_on_the_books_first() -> None:
    stage = waha_waits()
    reply = stage.order(QR)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "the QR code is asked for now"
    assert (reply.action, reply.needs_qr) == ("a1", True)
    assert (reply.previous_status, reply.current_status) == ("needs_human", "needs_human")
    assert stage.session().qr_at == stage.now
    assert stage.made == []
    assert stage.told(EntryKind.ORDER) == ["qr was ordered by eve"]


def test_no_more_often_than_qr_interval_for_each_session_also_over_a_restart_of_the_supervisor() -> None:
    stage = waha_waits()
    stage.change(wants_qr("b"))
    stage.run(60)
    assert stage.order(QR).verdict is Verdict.ACCEPTED
    stage.restart_supervisor()
    stage.run(15)
    reply = stage.order(QR)
    assert reply.verdict is Verdict.LATER
    assert reply.text == (
        "the QR code is withheld for 40 s: its QR code was asked for 20 s ago; recovery.qr_interval is 60 s"
    )
    assert reply.retry_after == 40.0
    assert reply.action is None
    assert stage.order(QR, "b").verdict is Verdict.ACCEPTED
    stage.run(35)
    assert stage.order(QR).verdict is Verdict.ACCEPTED


def test_the_interval_is_the_operators() -> None:
    stage = waha_waits()
    stage.policy = replace(CALM, qr_interval=5.0)
    stage.order(QR)
    assert stage.order(QR).verdict is Verdict.ACCEPTED


def test_pause_and_observe_are_no_matter_for_what_a_person_wants_to_see() -> None:
    stage = waha_waits()
    stage.policy = replace(CALM, act=False)
    stage.order(OrderKind.PAUSE, None)
    assert stage.order(QR).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("policy", [CALM, EVOLUTION], ids=["waha", "evolution"])
def test_a_session_that_works_never_even_when_it_waited_until_now(policy: object) -> None:
    stage = Stage(policy=policy, store_ok=True).healthy("a", "b")  # type: ignore[arg-type]
    reply = stage.order(QR)
    assert reply.verdict is Verdict.WITHHELD
    assert reply.text == "the QR code is withheld: it works; nothing is to be scanned"
    stage.change(wants_qr())
    stage.run(60)
    stage.change(working())
    assert "it works" in stage.order(QR).text
    assert stage.session().qr_at is None


@pytest.mark.parametrize(
    ("sighting", "text"),
    [
        (starting(), "it does not wait for one: the gateway is connecting it by itself"),
        (failed(), "it does not wait for one: it failed and the gateway does not say why"),
        (stopped(), "it does not wait for one: it is stopped, and stays so until its operator starts it"),
        (unreadable(), "it does not wait for one: the gateway does not say how it is"),
        (told(State.FAILED, Reason.BANNED), "WhatsApp has banned or restricted the account. Do not link it again"),
        (told(State.NEEDS_HUMAN, Reason.PASSKEY_WANTED), "Confirm the login with the passkey"),
        (told(State.NEEDS_HUMAN, Reason.QR_EXPIRED), "order wasupervisor restart a, then ask again"),
        (told(State.FAILED, Reason.LOGGED_OUT), "log it out in WAHA's dashboard, then ask again"),
    ],
)
def test_what_waits_for_something_else_is_told_what(sighting: Sighting, text: str) -> None:
    stage = Stage(uplink=UplinkState.DOWN).healthy("a", "b")
    stage.change(sighting)
    stage.run(30)
    reply = stage.order(QR)
    assert reply.verdict is Verdict.WITHHELD
    assert text in reply.text
    assert not reply.text.endswith(".")
    assert stage.withheld[-1] == reply.text
    assert stage.session().qr_at is None


def test_what_has_no_reason_is_told_by_its_condition() -> None:
    stage = Stage().healthy("a", "b")
    stage.order(OrderKind.RESTART)
    stage.change(stopped())
    stage.look()
    assert stage.order(QR).text == "the QR code is withheld: it does not wait for one: it is settling"


def test_who_worked_until_just_now_is_not_believed_at_once() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(wants_qr())
    assert "for too short a time to be believed" in stage.order(QR).text


def test_between_two_qrs_of_waha_there_is_none() -> None:
    stage = waha_waits()
    stage.change(starting())
    assert stage.order(QR).text == ("the QR code is withheld: WAHA does not show it just now; ask again in a moment")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"reachable": False}, "the gateway did not tell its state in this look; ask again when it answers"),
        ({"readable": False}, "the gateway did not tell its state in this look; ask again when it answers"),
        ({"writable": False}, "the state cannot be written, so that nothing would be on the books"),
        ({"redis_ok": False}, "the gateway's store is not known to be well: a new link could not be kept"),
        ({"mistyped": ("a",)}, "its credential key in Redis has the wrong type: a new link could not be kept"),
    ],
)
def test_what_would_be_in_vain_or_not_on_the_books_is_refused(change: dict[str, object], text: str) -> None:
    stage = waha_waits()
    for key, value in change.items():
        setattr(stage, key, value)
    reply = stage.order(QR)
    assert (reply.verdict, reply.text) == (Verdict.WITHHELD, f"the QR code is withheld: {text}")
    assert stage.session().qr_at is None


def test_not_while_the_call_of_a_remedy_is_under_way_but_while_it_is_verified() -> None:
    stage = Stage(answers=None).healthy("a", "b")
    stage.change(told(State.NEEDS_HUMAN, Reason.QR_EXPIRED))
    stage.run(60)
    stage.order(OrderKind.RESTART)
    stage.change(wants_qr())
    assert "restart_session is under way; ask again when it has ended" in stage.order(QR).text
    stage = Stage().healthy("a", "b")
    stage.change(told(State.NEEDS_HUMAN, Reason.QR_EXPIRED))
    stage.run(60)
    stage.order(OrderKind.RESTART)
    stage.change(wants_qr())
    stage.look()
    assert stage.order(QR).verdict is Verdict.ACCEPTED


def test_not_while_the_gateway_process_is_being_restarted_but_when_it_is_back() -> None:
    stage = waha_waits()
    stage.policy = replace(CALM, restarter="systemd")
    stage.answers = None
    stage.order(OrderKind.RESTART_GATEWAY, None)
    assert "the gateway process is being restarted" in stage.order(QR).text
    stage = waha_waits()
    stage.policy = replace(CALM, restarter="systemd")
    stage.answers = Outcome.ACCEPTED
    stage.order(OrderKind.RESTART_GATEWAY, None)
    stage.begin_anew()
    stage.look()
    assert stage.memory.gateway.attempt is not None
    assert stage.order(QR).verdict is Verdict.ACCEPTED


# Evolution: a connect at the wrong moment makes two clients fight for ever


def test_evolution_that_shows_a_qr_gives_it_whatever_the_uplink() -> None:
    stage = evolution_waits("connecting", "connecting", uplink=UplinkState.UNKNOWN)
    assert stage.order(QR).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("reason", [Reason.QR_WANTED, Reason.LOGGED_OUT])
def test_evolution_that_both_ways_says_close_for_30_s_gets_a_new_client(reason: Reason) -> None:
    stage = evolution_waits("close", "close", reason)
    assert stage.order(QR).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("memory", "database", "reason", "text"),
    [
        ("connecting", "close", Reason.QR_WANTED, "Evolution is about to show it; ask again in a moment"),
        ("close", "connecting", Reason.QR_EXPIRED, "(QRCODE_LIMIT): ask for a new one in its manager"),
        ("refused", "connecting", Reason.QR_EXPIRED, "(QRCODE_LIMIT): ask for a new one in its manager"),
        ("close", "close", Reason.BANNED, "Do not link it again at once"),
        ("close", "open", Reason.QR_WANTED, "do not both say close, or both connecting"),
        ("connecting", "open", Reason.QR_WANTED, "do not both say close, or both connecting"),
    ],
)
def test_evolution_in_any_other_state_is_never_connected(memory: str, database: str, reason: Reason, text: str) -> None:
    reply = evolution_waits(memory, database, reason).order(QR)
    assert reply.verdict is Verdict.WITHHELD
    assert text in reply.text


def test_evolution_whose_truths_are_not_told_is_never_connected() -> None:
    stage = evolution_waits("close", "close")
    stage.change(replace(evolution("close", "close"), truths=None))
    assert "do not both say close" in stage.order(QR).text


def test_evolution_that_reconnected_a_moment_ago_is_not_connected() -> None:
    stage = evolution_waits("connecting", "connecting")
    stage.change(evolution("close", "close"))
    stage.run(15)
    reply = stage.order(QR)
    assert reply.verdict is Verdict.LATER
    assert "it has been closed for 15 s only, and may be about to reconnect by itself" in reply.text
    assert reply.retry_after == 15.0
    stage.run(10)
    assert stage.order(QR).verdict is Verdict.ACCEPTED


def test_evolution_that_nobody_watched_meanwhile_is_watched_first() -> None:
    stage = evolution_waits("close", "close")
    stage.restart_supervisor(away=3600)
    assert stage.order(QR).verdict is Verdict.LATER
    stage.run(30)
    assert stage.order(QR).verdict is Verdict.ACCEPTED
    stage.begin_anew()
    stage.look()
    reply = stage.order(QR)
    assert reply.verdict is Verdict.LATER
    assert "closed for 5 s only" in reply.text


def test_evolution_remembered_by_an_older_version_is_watched_first() -> None:
    stage = evolution_waits("close", "close")
    stage.memory.sessions["a"] = replace(stage.session(), claim_since=None)
    assert "closed for 0 s only" in stage.order(QR).text
    stage.run(30)
    assert stage.order(QR).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("uplink", "text"),
    [
        (UplinkState.DOWN, "WhatsApp cannot be reached from here, so that no QR code can be had"),
        (UplinkState.UNKNOWN, "it is not known whether WhatsApp can be reached from here"),
    ],
)
def test_evolution_is_not_connected_in_an_outage_for_the_fight_begins_after_it(uplink: UplinkState, text: str) -> None:
    stage = Stage(policy=EVOLUTION, store_ok=True).healthy("a")
    stage.change(evolution("close", "close"))
    stage.run(60)
    stage.uplink = uplink
    assert text in stage.order(QR).text
    stage.policy = replace(EVOLUTION, uplink_watched=False)
    assert stage.order(QR).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("store_ok", [False, None])
def test_evolution_whose_database_is_not_known_well_keeps_no_new_link(store_ok: bool | None) -> None:
    stage = evolution_waits("connecting", "connecting")
    stage.store_ok = store_ok
    assert "a new link could not be kept" in stage.order(QR).text


def test_an_unknown_session_is_named() -> None:
    assert Stage().healthy("a").order(QR, "zebra").verdict is Verdict.UNKNOWN_SESSION


def test_every_row_has_a_code_of_its_own_and_a_sentence() -> None:
    assert len({row.code for row in ROWS}) == len(ROWS)
    assert all(row.sentence.endswith(".") for row in ROWS)
