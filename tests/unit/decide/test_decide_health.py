"""The health that is told: status, readiness, connections, notes, and what happens next."""

from __future__ import annotations

import pytest
from decide_scenes import CALM, EVOLUTION, Stage, failed, instance, names, starting, stopped, told, wants_qr, working
from msgspec.structs import replace

from wasupervisor.decide.concluding import move_readiness
from wasupervisor.decide.memory import ReadyMemory
from wasupervisor.model.health import Status
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import Budget, ReadyWhen
from wasupervisor.model.remedies import OrderKind
from wasupervisor.model.sessions import Condition, Reason, State


def zoo() -> Stage:
    """One session in each group."""
    stage = Stage().healthy("well", "failing", "recovering", "linked-off", "qr", "stopped")
    stage.see(
        working("well"),
        failed("failing"),
        failed("recovering"),
        told(State.FAILED, Reason.LOGGED_OUT, "linked-off"),
        wants_qr("qr"),
        stopped("stopped"),
    )
    stage.answers = None
    stage.run(30)
    return stage


def test_connections_are_a_partition_and_total_is_their_sum() -> None:
    connections = zoo().whole.connections
    assert connections.total == 6
    assert connections.active == 1
    assert connections.failed == 1
    assert connections.recovering == 1
    assert connections.needs_human == 2
    assert connections.stopped == 1


def test_a_running_remedy_counts_first_also_while_the_gateway_hangs() -> None:
    stage = Stage(answers=None).healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.reachable = False
    stage.run(20)
    assert stage.health("a").group == "recovering"
    assert stage.health("b").group == "failed"


def test_the_status_is_degraded_for_each_of_its_reasons() -> None:
    stage = Stage().healthy("a", "b")
    assert (stage.status(), stage.whole.why) == (Status.HEALTHY, "2 expected sessions active")
    stage.change(wants_qr())
    stage.run(60)
    assert (stage.status(), stage.whole.why) == (Status.DEGRADED, "not active: a")
    stage.change(wants_qr("b"))
    stage.run(60)
    assert (stage.status(), stage.whole.why) == (Status.UNHEALTHY, "none of 2 expected sessions is active")


def test_paused_and_unexpected_sessions_are_no_trouble() -> None:
    stage = Stage().healthy("a")
    stage.change(wants_qr("new"))
    stage.order(OrderKind.PAUSE, None)
    stage.run(60)
    assert stage.status() is Status.HEALTHY
    assert not stage.health("new").expected


def test_an_open_breaker_degrades_even_when_the_session_just_works_again() -> None:
    stage = Stage(policy=replace(CALM, budget=Budget(per_session_per_hour=100))).healthy("a", "b")
    stage.change(starting())
    while stage.session().breaker.state != "open":
        stage.look()
    stage.change(working())
    stage.look()
    assert stage.status() is Status.DEGRADED
    assert stage.whole.breakers.open == 1
    stage.run(60)
    assert stage.status() is Status.HEALTHY


# Readiness


def test_readiness_rises_and_falls_only_after_so_many_polls() -> None:
    stage = Stage()
    stage.see(working())
    assert not stage.look().health.ready
    assert stage.whole.ready_why == "1 of 1 expected session usable, any needed, but not for long enough"
    assert stage.look().health.ready
    stage.healthy()
    stage.reachable = False
    assert stage.look().health.ready
    assert stage.look().health.ready
    assert not stage.look().health.ready
    assert stage.whole.ready_why == "the gateway does not answer: no answer within 10 s"
    stage.reachable = True
    assert not stage.look().health.ready
    assert stage.look().health.ready


def test_readiness_does_not_flap() -> None:
    stage = Stage().healthy()
    for turn in range(20):
        stage.reachable = turn % 3 == 0
        assert stage.look().health.ready


@pytest.mark.parametrize(
    ("when", "ready"), [("any", True), ("all", False), ("80%", False), ("60%", True), ("67%", False)]
)
def test_ready_when(when: str, ready: bool) -> None:
    stage = Stage(policy=replace(CALM, ready_when=ReadyWhen.parse(when))).healthy(*names("s", 3))
    stage.change(wants_qr("s01"))
    stage.run(60)
    assert stage.whole.ready is ready
    assert stage.whole.ready_why == f"2 of 3 expected sessions usable, {when} needed"


@pytest.mark.parametrize(
    ("wishes", "ready"),
    [
        ("", False),
        ("y", False),
        ("yy", True),
        ("yny", False),
        ("yynn", True),
        ("yynnn", False),
        ("yynnynn", True),
        ("yynnny", False),
    ],
)
def test_rise_two_and_fall_three(wishes: str, ready: bool) -> None:
    memory = ReadyMemory()
    for wish in wishes:
        memory = move_readiness(memory, wish == "y", 2, 3)
    assert memory.ready is ready


def test_readiness_survives_a_restart_of_the_supervisor_and_is_judged_anew() -> None:
    stage = Stage().healthy()
    stage.restart_supervisor()
    stage.reachable = False
    assert stage.look().health.ready  # a balancer does not see the restart
    stage.run(10)
    assert not stage.whole.ready


# What happens next


def test_the_next_sentences_of_a_session_that_is_healed() -> None:
    stage = Stage(policy=replace(CALM, startup_grace=60.0)).healthy("a", "b")
    stage.run(60)
    assert stage.health().next is None
    heard: list[str] = []
    stage.change(starting())
    for _ in range(18):
        stage.look()
        heard.append(stage.health().next or "")
        if "made" in heard[-1]:
            stage.change(working())
    assert heard[:2] == [
        "left alone for 60 s more: the gateway is at it",
        "left alone for 55 s more: the gateway is at it",
    ]
    assert "restart_session is under way" in heard
    assert "restart_session was made 0 s ago; it is observed whether it helps" in heard
    assert "healed by restart_session if it stays so for 30 s more" in heard


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"uplink": UplinkState.UNKNOWN},
            "restart_session is withheld: it is not known whether WhatsApp can be reached",
        ),
        ({"writable": False}, "restart_session is withheld: the state cannot be written"),
        ({"store_ok": False}, "restart_session is withheld: the gateway's database does not answer"),
        ({"keeper": None}, "restart_session was made"),
    ],
)
def test_the_next_sentence_of_what_is_withheld(change: dict[str, object], text: str) -> None:
    stage = Stage().healthy("a", "b")
    for key, value in change.items():
        setattr(stage, key, value)
    stage.change(failed())
    stage.run(30)
    assert (stage.health().next or "").startswith(text)


def test_the_next_sentence_of_back_off_and_breaker_tells_when() -> None:
    stage = Stage(policy=replace(CALM, budget=Budget(per_session_per_hour=100))).healthy("a", "b")
    stage.change(starting())
    stage.run(140)
    assert stage.session().failures == 1
    heard = set()
    while stage.session().breaker.state != "open":
        stage.look()
        heard.add(stage.health().next)
    assert any(one and one.startswith("restart_session in ") and "(attempt 3 of 5): back-off" in one for one in heard)
    stage.look()
    assert (stage.health().next or "").endswith(" s (attempt 6): its breaker is open")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (stopped, "nothing is done: it is stopped, and stays so until its operator starts it"),
        (wants_qr, "Scan the QR code with the phone: wasupervisor qr a, or in the gateway's dashboard or manager."),
    ],
)
def test_the_next_sentence_where_nothing_is_done(make: object, text: str) -> None:
    stage = Stage().healthy("a", "b")
    stage.change(make())  # type: ignore[operator]
    stage.run(60)
    assert stage.health().next == text


def test_every_session_that_is_not_healthy_says_what_happens_next() -> None:
    for one in zoo().whole.sessions:
        assert one.condition is Condition.HEALTHY or one.next


# Notes


def test_what_only_a_restart_of_the_gateway_heals_stands_first_in_the_notes() -> None:
    stage = Stage(policy=replace(EVOLUTION, notes=("redis is not acted on",)), store_ok=True).healthy("a", "b")
    stage.change(instance("not loaded", State.NOT_LOADED, Reason.NOT_LOADED))
    stage.run(60)
    assert stage.health().condition is Condition.MISSING
    assert stage.whole.notes[0] == (
        "Only a restart of the gateway process heals a. By hand: systemctl restart waha.service. To let it be done "
        "from here: recovery.restart_gateway: {by: systemd, unit: waha.service}"
    )
    assert stage.whole.notes[-1] == "redis is not acted on"
    assert stage.health().next == (
        "restart_gateway is withheld: recovery.restart_gateway.by is none: set it, so that the gateway can be "
        "restarted from here"
    )
    assert stage.made == []


def test_the_notes_are_no_flood() -> None:
    stage = Stage().healthy(*names("s", 60))
    stage.see(*(wants_qr(name) for name in names("s", 60)))
    stage.run(60)
    assert len(stage.whole.notes) == 21
    assert stage.whole.notes[-1] == "40 more sessions need a person."


def test_a_banned_account_that_hammers_for_ever_gets_advice() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(starting())
    while stage.session().breaker.state != "open":
        stage.look()
    assert "open WhatsApp on the phone" in stage.health().advice
    assert (
        "a: 5 remedies in vain, and it is tried ever more rarely: it has been starting for longer than it takes to "
        "heal by itself. If no restart heals it: open WhatsApp on the phone"
    ) in stage.notes


# What is written


def test_the_memory_of_a_healthy_gateway_never_changes() -> None:
    stage = Stage().healthy(*names("s", 5))
    writes, before = stage.writes, stage.memory
    stage.run(3600)
    assert stage.writes == writes
    assert stage.memory == before


def test_the_memory_changes_little_while_things_stay_bad() -> None:
    stage = Stage(uplink=UplinkState.UNKNOWN).healthy("a", "b", "c", "d", "e", "f")
    stage.see(failed("a"), starting("b"), wants_qr("c"), stopped("d"), working("e"))
    stage.run(120)
    writes = stage.writes
    stage.run(1200)
    assert stage.writes == writes
    stage.reachable = False
    stage.run(90)
    writes = stage.writes
    stage.run(1200)
    assert stage.writes == writes


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"redis_ok": False}, "the gateway's Redis does not answer"),
        ({"mistyped": ("b",)}, "credential keys in Redis that are not whole: b"),
    ],
)
def test_a_gateway_that_works_without_its_redis_is_degraded(change: dict[str, object], why: str) -> None:
    stage = Stage().healthy("a", "b")
    for name, value in change.items():
        setattr(stage, name, value)
    stage.look()
    assert stage.status() is Status.DEGRADED
    assert stage.whole.why == why


def test_what_was_not_read_or_is_not_listed_claims_nothing() -> None:
    stage = Stage().healthy("a", "b")
    stage.see(working("b"))
    stage.look()
    assert (stage.health("a").state, stage.health("a").claim) == (State.UNKNOWN, "")
    assert (stage.health("b").state, stage.health("b").claim) == (State.WORKING, "WORKING")
    stage.reachable = False
    stage.run(60)
    assert (stage.health("b").state, stage.health("b").claim) == (State.UNKNOWN, "")


def test_trouble_without_details_is_told_by_its_name() -> None:
    stage = Stage(detail="").healthy()
    stage.reachable = False
    stage.look()
    assert stage.whole.ready_why.startswith(f"the gateway does not answer: {stage.trouble}")


def test_the_last_look_is_noted_as_failed_only_when_nothing_was_read() -> None:
    stage = Stage().healthy()
    stage.lacking = "the profile of a was not read"
    stage.look()
    assert "The last look at the gateway failed" not in stage.notes
    stage.readable = False
    stage.look()
    assert "The last look at the gateway failed: answered with 500" in stage.notes


def test_an_uplink_that_is_well_is_no_note() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(starting())
    stage.run(30)
    assert "WhatsApp cannot be reached from here" not in stage.notes
    stage.uplink = UplinkState.DOWN
    stage.look()
    assert "WhatsApp cannot be reached from here" in stage.notes


def test_a_session_that_is_not_judged_yet_is_watched() -> None:
    stage = Stage()
    stage.see(failed())
    stage.look()
    assert stage.health().condition is Condition.UNKNOWN
    assert stage.health().next == "watched: it is not bad for long enough to be judged"
