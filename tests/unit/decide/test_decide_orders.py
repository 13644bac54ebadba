"""What operators order, and what they are answered."""

from __future__ import annotations

import pytest
from decide_scenes import (
    CALM,
    EVOLUTION,
    Stage,
    failed,
    instance,
    starting,
    stopped,
    told,
    unreadable,
    wants_qr,
    working,
)
from msgspec.structs import replace

from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import Budget
from wasupervisor.model.remedies import Order, OrderKind, Outcome, RemedyKind, Verdict
from wasupervisor.model.sessions import Condition, Reason, State

RECOVER, RESTART = OrderKind.RECOVER, OrderKind.RESTART
PAUSE, RESUME = OrderKind.PAUSE, OrderKind.RESUME


# restart


def test_restart_is_the_verb_now_past_back_off_breaker_budget_grace_pause_and_observe() -> None:
    policy = replace(CALM, act=False, budget=Budget(per_session_per_hour=0, concurrent=0), startup_grace=3600.0)
    stage = Stage(policy=policy).healthy("a", "b")
    stage.order(PAUSE, None)
    reply = stage.order(RESTART)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "restart_session is performed now; verified when it works for 30 s"
    assert reply.action == "a1"
    assert (reply.previous_status, reply.current_status) == ("healthy", "recovering")
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]
    assert stage.remedies[0][1].ordered
    assert stage.told(EntryKind.ORDER)[-1] == "restart was ordered by eve"
    assert stage.told(EntryKind.REMEDY) == ["restart_session: an operator ordered it"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"uplink": UplinkState.DOWN}, "WhatsApp cannot be reached from here"),
        ({"uplink": UplinkState.UNKNOWN}, "it is not known whether WhatsApp can be reached from here"),
        ({"store_ok": False}, "the gateway's database does not answer"),
        ({"writable": False}, "the state cannot be written"),
        ({"reachable": False}, "the gateway did not tell its state in this look"),
    ],
)
def test_restart_is_withheld_by_what_would_do_harm(change: dict[str, object], text: str) -> None:
    stage = Stage().healthy("a")
    stage.change(failed())
    stage.look()
    for key, value in change.items():
        setattr(stage, key, value)
    reply = stage.order(RESTART)
    assert reply.verdict is Verdict.WITHHELD
    assert reply.text.startswith("restart_session is withheld: ")
    assert text in reply.text
    assert reply.action is None
    assert stage.made == []


def test_restart_with_force_passes_all_but_the_books_and_a_call_under_way() -> None:
    stage = Stage(uplink=UplinkState.DOWN, store_ok=False, answers=None).healthy("a")
    assert stage.order(RESTART, force=True).verdict is Verdict.ACCEPTED
    assert stage.remedies[0][1].forced
    again = stage.order(RESTART, force=True)
    assert again.verdict is Verdict.WITHHELD
    assert again.text == "restart_session is withheld: restart_session is under way"
    other = Stage(writable=False).healthy("a")
    assert other.order(RESTART, force=True).verdict is Verdict.WITHHELD
    assert other.made == []


def test_restart_during_the_verification_of_an_earlier_one_is_accepted() -> None:
    stage = Stage().healthy("a", "b")
    stage.order(RESTART)
    stage.look()
    assert stage.order(RESTART).verdict is Verdict.ACCEPTED


def test_restart_within_evolutions_60_s_is_answered_with_when() -> None:
    stage = Stage(policy=EVOLUTION, store_ok=True).healthy("a", "b")
    stage.order(RESTART)
    stage.run(20)
    reply = stage.order(RESTART)
    assert reply.verdict is Verdict.LATER
    assert reply.retry_after is not None
    assert 0 < reply.retry_after < 60
    assert "this gateway wants 60 s between two restarts of a session" in reply.text


def test_restart_starts_what_its_operator_stopped() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(stopped())
    stage.run(60)
    assert stage.order(RESTART).verdict is Verdict.ACCEPTED
    stage.change(working())
    stage.run(60)
    assert stage.health().condition is Condition.HEALTHY


def test_restart_of_a_session_that_was_stopped_and_is_not_made_after_all_leaves_it_stopped() -> None:
    stage = Stage(answers=Outcome.WITHHELD).healthy("a", "b")
    stage.change(stopped())
    stage.run(60)
    stage.order(RESTART)
    stage.run(600)
    assert stage.health().condition is Condition.STOPPED
    assert len(stage.made) == 1


def test_restart_of_a_fatal_session_is_the_operators_own_wish_and_is_not_repeated() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(told(State.FAILED, Reason.LOGGED_OUT))
    stage.run(60)
    reply = stage.order(RESTART)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.needs_qr
    stage.run(3600)
    assert len(stage.made) == 1


@pytest.mark.parametrize("kind", [RECOVER, RESTART])
def test_an_unknown_session_is_named(kind: OrderKind) -> None:
    stage = Stage().healthy("a")
    reply = stage.order(kind, "zebra")
    assert reply.verdict is Verdict.UNKNOWN_SESSION
    assert reply.text == "no session 'zebra' is known; `wasupervisor status` lists them"
    assert reply.previous_status is None


# recover


def test_recover_resets_the_breaker_and_begins_the_ladder() -> None:
    stage = Stage(policy=replace(CALM, budget=Budget(per_session_per_hour=100))).healthy("a", "b")
    stage.change(starting())
    while stage.session().breaker.state != "open":
        stage.look()
    count = len(stage.made)
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "its breaker is reset and restart_session is performed now"
    assert reply.action is not None
    assert len(stage.made) == count + 1
    assert stage.session().breaker.trips == 0
    assert stage.session().failures == 0


def test_recover_keeps_all_gates_and_says_which() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.uplink = UplinkState.UNKNOWN
    stage.run(30)
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.WITHHELD
    assert reply.text == (
        "its breaker is reset; restart_session is withheld: it is not known whether WhatsApp can be reached from here"
    )
    stage.order(PAUSE, None, pause_for=600.0, reason="upgrade")
    stage.uplink = UplinkState.UP
    reply = stage.order(RECOVER)
    assert "restart_session is withheld for 10 min: paused by eve: upgrade" in reply.text
    assert reply.retry_after == 595.0
    assert stage.made == []


def test_recover_within_the_budget_is_answered_with_when() -> None:
    stage = Stage(policy=replace(CALM, budget=Budget(per_session_per_hour=1))).healthy("a", "b")
    stage.change(starting())
    stage.run(200)
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.LATER
    assert reply.retry_after is not None
    assert reply.retry_after > 3000


def test_recover_does_not_shorten_the_patience_that_keeps_the_gateway_alive() -> None:
    stage = Stage(uplink=UplinkState.DOWN).healthy("a")
    stage.change(starting())
    stage.run(120)
    stage.uplink = UplinkState.UP
    stage.look()
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "nothing is to be done yet: the gateway is connecting it by itself"
    assert stage.health().next == "left alone for 55 s more: the gateway is at it"
    assert stage.made == []


def test_recover_after_an_uplink_that_nobody_knew_of_says_when() -> None:
    stage = Stage(uplink=UplinkState.UNKNOWN).healthy("a")
    stage.change(starting())
    stage.run(120)
    stage.uplink = UplinkState.UP
    stage.look()
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "its breaker is reset; restart_session in 55 s if it does not come back by itself"
    assert stage.made == []


def test_recover_of_what_another_remedy_goes_before_takes_its_turn() -> None:
    stage = Stage(answers=None).healthy("a", "b", "c")
    stage.change(failed("b"))
    stage.run_until_remedy()
    stage.change(failed("a"))
    stage.run(20)
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == (
        "its breaker is reset; restart_session follows as soon as it is its turn: another remedy is under way"
    )


def test_recover_of_what_works_does_nothing_and_counts_anew() -> None:
    stage = Stage().healthy("a")
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "it works; nothing is to be done"


def test_recover_while_the_gateway_does_not_answer_does_not_say_that_it_works() -> None:
    stage = Stage().healthy()
    stage.reachable = stage.readable = False
    reply = stage.order(OrderKind.RECOVER)
    assert reply.verdict is Verdict.WITHHELD
    assert "did not tell its state" in reply.text


def test_recover_of_what_is_not_judged_yet_only_watches() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run(15)
    stage.change(starting())
    stage.run(10)
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "nothing is to be done yet: the gateway is connecting it by itself"
    assert stage.made == []


@pytest.mark.parametrize("make", [wants_qr, unreadable])
def test_recover_of_what_no_remedy_heals_says_so(make: object) -> None:
    stage = Stage().healthy("a", "b")
    stage.change(make())  # type: ignore[operator]
    stage.run(60)
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.WITHHELD
    assert reply.text.startswith("nothing can be done from here: ")
    assert stage.made == []
    assert reply.needs_qr == (make is wants_qr)


def test_recover_of_a_known_fatal_reason_keeps_it_held() -> None:
    stage = Stage(policy=EVOLUTION, store_ok=True).healthy("a", "b")
    stage.change(told(State.FAILED, Reason.LOGGED_OUT))
    stage.run(60)
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.WITHHELD
    assert "Link the phone again" in reply.text
    assert stage.whole.breakers.held == 1
    assert stage.made == []


def test_recover_during_a_remedy_waits_for_its_verdict() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.WITHHELD
    assert reply.text == "restart_session is under way or being verified already"


def test_recover_of_a_stopped_session_starts_it() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(stopped())
    stage.run(60)
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "start_session is performed now"
    assert stage.made == [(RemedyKind.START_SESSION, "a")]
    stage.change(working())
    stage.run(60)
    assert stage.health().condition is Condition.HEALTHY


def test_recover_of_a_stopped_session_that_is_withheld_leaves_it_the_operators() -> None:
    stage = Stage(answers=None).healthy("a", "b")
    stage.change(stopped("a"))
    stage.run(30)
    stage.change(failed("b"))
    stage.process = "P2"
    stage.run_until_remedy(60)
    assert stage.order(RECOVER).verdict is Verdict.WITHHELD
    stage.run(600)
    assert stage.health().condition is Condition.STOPPED
    assert {name for _, name in stage.made} == {"b"}


# pause and resume


def test_pause_means_hands_off_until_somebody_resumes_also_over_a_restart() -> None:
    stage = Stage().healthy("a", "b")
    reply = stage.order(PAUSE, None, reason="moving house")
    assert reply.text == "hands off until somebody resumes; what is under way is finished"
    stage.change(failed())
    stage.run(600)
    stage.restart_supervisor(away=3600)
    stage.run(600)
    assert stage.made == []
    assert stage.whole.paused is not None
    assert stage.whole.paused.by == "eve"
    assert stage.withheld == ["restart_session is withheld: paused by eve: moving house"]
    assert stage.order(RESUME, None).text == "recovery goes on"
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]
    assert stage.told(EntryKind.ORDER) == [
        "paused until somebody resumes by eve: moving house",
        "resumed by eve",
    ]


def test_a_pause_with_an_end_ends_by_itself_also_over_a_restart() -> None:
    stage = Stage().healthy("a", "b")
    reply = stage.order(PAUSE, None, pause_for=3600.0)
    assert reply.text == "hands off for 60 min; what is under way is finished"
    stage.change(failed())
    stage.restart_supervisor(away=3000)
    stage.run(580)
    assert stage.made == []
    stage.run(60)
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]
    assert stage.told(EntryKind.ORDER)[-1] == "the pause is over"
    assert stage.whole.paused is None


def test_resume_of_what_was_not_paused_says_so() -> None:
    stage = Stage().healthy("a")
    assert stage.order(RESUME, None).text == "it was not paused"
    assert stage.told(EntryKind.ORDER) == []


def test_a_pause_does_not_stop_what_is_under_way_from_being_verified() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.order(PAUSE, None)
    stage.change(working())
    stage.run(60)
    assert "healed: working for 30 s after restart_session" in stage.told(EntryKind.VERIFIED)


def test_orders_are_taken_in_the_order_in_which_they_came() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run(10)
    stage.orders = [Order("o1", PAUSE), Order("o2", RESUME), Order("o3", RESTART, "b"), Order("o4", RESTART, "b")]
    replies = stage.look().replies
    assert [(one.order_id, one.verdict) for one in replies] == [
        ("o1", Verdict.ACCEPTED),
        ("o2", Verdict.ACCEPTED),
        ("o3", Verdict.ACCEPTED),
        ("o4", Verdict.WITHHELD),
    ]


def test_recover_never_restarts_an_evolution_instance_that_is_closed() -> None:
    stage = Stage(policy=EVOLUTION, store_ok=True).healthy("a", "b")
    stage.change(instance("close", State.FAILED, Reason.CONNECTION_LOST))
    stage.run(60)
    reply = stage.order(RECOVER)
    assert reply.verdict is Verdict.WITHHELD
    assert stage.made == []


def test_a_recover_in_the_same_cycle_as_a_pause_was_performed_all_the_same() -> None:
    stage = Stage().healthy("a")
    stage.uplink = UplinkState.DOWN
    stage.change(failed("a"))
    stage.run(60)
    stage.uplink = UplinkState.UP
    stage.orders.append(Order("o1", OrderKind.RECOVER, "a"))
    stage.orders.append(Order("o2", OrderKind.PAUSE))
    replies = {one.order_id: one.verdict for one in stage.look().replies}
    assert replies == {"o1": Verdict.WITHHELD, "o2": Verdict.ACCEPTED}
    assert stage.made == []


def test_recover_starts_what_waited_for_a_person_and_was_stopped_with_the_gateway() -> None:
    """Seed 803484: it was linked again, and nothing started it."""
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.change(starting())
    stage.run(5)
    stage.change(failed())
    stage.run(20)
    assert stage.health().condition is Condition.FATAL
    stage.begin_anew(stopped("a"), working("b"))
    stage.run(60)
    assert stage.health().condition is Condition.FATAL
    stage.order(OrderKind.RECOVER)
    assert stage.made[-1] == (RemedyKind.START_SESSION, "a")


def test_restart_of_what_its_operator_stopped_makes_it_expected_up_at_once() -> None:
    stage = Stage(answers=None).healthy("a", "b")
    stage.change(stopped())
    stage.run(60)
    assert not stage.health().expected
    stage.order(RESTART)
    assert stage.health().expected


def test_orders_are_no_warnings() -> None:
    stage = Stage().healthy("a", "b")
    stage.order(PAUSE, None)
    stage.order(RESUME, None)
    assert [one.warn for _, one in stage.journal if one.kind is EntryKind.ORDER] == [False, False]
