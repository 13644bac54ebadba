"""What stands against a remedy of a session: each gate alone, for the loop, for an order, and for force."""

from __future__ import annotations

import pytest
from decide_scenes import CALM, EVOLUTION, Stage, connecting, failed, opened, starting, stopped, working
from msgspec.structs import replace

from wasupervisor.decide import gateway_gates
from wasupervisor.decide.asked import Asked
from wasupervisor.decide.gates import ROWS, first_block, only_gateway_restart_heals
from wasupervisor.decide.memory import Breaker, BreakerState, GatewayMemory, IncidentMemory, SessionMemory
from wasupervisor.decide.scene import Scene
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import Budget, Policy
from wasupervisor.model.remedies import Order, OrderKind, Outcome, RemedyKind, Verdict
from wasupervisor.model.sessions import Condition, Reason, State

RESTART, START = RemedyKind.RESTART_SESSION, RemedyKind.START_SESSION

NO_REDIS = "the gateway's Redis does not answer: a restart now would throw identities away"
NO_STORE = "the gateway's database does not answer: a restart now would do harm"
UNSURE_STORE = "it is not known whether the gateway's database is well"
NO_DISK = "the disk is nearly full, and what cannot be written is lost"
MISTYPED = "its credential key in Redis is not whole: a restart would throw its identity away"
NO_STATE = "the state cannot be written, so that nothing would be on the books"
NO_UPLINK = "it is not known whether WhatsApp can be reached from here"


def failing(policy: Policy = CALM, **rest: object) -> Stage:
    """One of two has just failed, and nothing was done yet."""
    evolution = policy.gateway_kind == "evolution"
    stage = Stage(policy=policy, store_ok=True if evolution else None, **rest)  # type: ignore[arg-type]
    stage.see(*((opened("a"), opened("b")) if evolution else (working("a"), working("b"))))
    stage.run(60)
    stage.journal.clear()
    stage.change(connecting() if evolution else failed())
    return stage


@pytest.mark.parametrize(
    ("policy", "change", "why", "for_order", "for_force"),
    [
        (CALM, {"redis_ok": False}, NO_REDIS, True, False),
        (CALM, {"store_ok": False}, NO_STORE, True, False),
        (EVOLUTION, {"redis_ok": False}, NO_REDIS, True, False),
        (EVOLUTION, {"store_ok": False}, NO_STORE, True, False),
        (EVOLUTION, {"store_ok": None}, UNSURE_STORE, True, False),
        (CALM, {"disk_low": True}, NO_DISK, False, False),
        (CALM, {"mistyped": ("a",)}, MISTYPED, True, True),
        (CALM, {"writable": False}, NO_STATE, True, True),
        (CALM, {"uplink": UplinkState.UNKNOWN}, NO_UPLINK, True, False),
        (CALM, {"uplink": UplinkState.DOWN}, NO_UPLINK, True, False),  # while another one works
    ],
)
def test_a_gate_holds_until_it_opens_and_is_told_once(
    policy: Policy, change: dict[str, object], why: str, for_order: bool, for_force: bool
) -> None:
    stage = failing(policy)
    before = {name: getattr(stage, name) for name in change}
    for name, value in change.items():
        setattr(stage, name, value)
    stage.run(600)
    assert stage.made == []
    # Patience stands still while uplink and store are not well, so that not all of them come to a withholding.
    assert stage.withheld in ([f"restart_session is withheld: {why}"], [])
    assert bool(stage.withheld) or policy is EVOLUTION
    ordered = stage.order(OrderKind.RESTART)
    assert ordered.verdict is (Verdict.WITHHELD if for_order else Verdict.ACCEPTED), ordered.text
    if for_order:
        assert ordered.text == f"restart_session is withheld: {why}"
        forced = stage.order(OrderKind.RESTART, force=True)
        assert forced.verdict is (Verdict.WITHHELD if for_force else Verdict.ACCEPTED), forced.text
    if not stage.made:
        for name, value in before.items():
            setattr(stage, name, value)
        assert stage.run_until_remedy(120).kind is RESTART


@pytest.mark.parametrize("condition", [Condition.FATAL, Condition.NEEDS_HUMAN])
def test_what_waits_for_a_person_gets_no_remedy_whoever_asks_for_one(condition: Condition) -> None:
    """The plan asks for none; the gate holds all the same."""
    memory = SessionMemory(first_seen=0.0, state=State.FAILED, since=0.0, condition=condition, cause=Reason.BANNED)
    asked = Asked("a", memory, RESTART, GatewayMemory(), surroundings(), in_flight=0)
    block = first_block(asked)
    assert block is not None
    assert block.code == "person"
    assert block.text.startswith("WhatsApp has banned or restricted the account. Do not link it again at once")
    for fine in (
        replace(asked, ordered=True),
        replace(asked, ordered=True, forced=True),
        replace(asked, remedy=RemedyKind.PARK_SESSION),
    ):
        assert first_block(fine) is None


def test_recover_of_a_session_that_just_failed_otherwise_is_watched() -> None:
    stage = failing()
    stage.uplink = UplinkState.UNKNOWN
    stage.change(starting())
    stage.run(300)
    assert stage.health().condition is Condition.FAILING
    stage.change(failed())
    reply = stage.order(OrderKind.RECOVER)
    assert reply.verdict is Verdict.ACCEPTED, reply.text
    assert reply.text == "its breaker is reset; it is watched whether restart_session is needed"
    assert stage.made == []


def test_only_the_session_with_the_mistyped_key_is_left_alone() -> None:
    stage = failing()
    stage.mistyped = ("b",)
    assert stage.run_until_remedy(60).session == "a"


def test_an_uplink_that_nobody_watches_is_taken_as_up() -> None:
    stage = failing(replace(CALM, uplink_watched=False), uplink=UplinkState.UNKNOWN)
    assert stage.run_until_remedy(60).kind is RESTART


def test_the_uplink_is_told_down_when_nothing_works() -> None:
    stage = failing()
    stage.uplink = UplinkState.DOWN
    stage.change(failed("b"))
    stage.run(120)
    told = "WhatsApp cannot be reached from here: a restart now would not help and could do harm"
    assert stage.withheld == [f"restart_session of 2 sessions is withheld: {told}"]


# A session that starts while nothing else works


def alone(policy: Policy = CALM, **rest: object) -> Stage:
    stage = failing(policy, **rest)
    stage.see(connecting() if policy.gateway_kind == "evolution" else starting())
    return stage


def test_a_lone_starting_session_is_restarted_only_where_something_brings_the_gateway_back() -> None:
    stage = alone(keeper=None)
    stage.run(600)
    assert stage.made == []
    why = "no other session works, and nothing is known that would start the gateway again if it died of it"
    assert stage.withheld == [f"restart_session is withheld: {why}"]
    assert stage.notes.startswith("Only a restart of the gateway process heals a. Do it by hand")
    stage.keeper = "docker"
    assert stage.run_until_remedy(30).lone


def test_a_lone_starting_session_of_evolution_needs_no_keeper() -> None:
    stage = alone(EVOLUTION, keeper=None)
    assert stage.run_until_remedy(200).lone


def test_a_lone_failed_session_needs_no_keeper() -> None:
    stage = failing(keeper=None)
    stage.see(failed())
    assert not stage.run_until_remedy(60).lone


def test_a_lone_stopped_session_needs_no_keeper() -> None:
    stage = failing(replace(CALM, expect=("a",)), keeper=None)
    stage.begin_anew(stopped())
    remedy = stage.run_until_remedy(60)
    assert (remedy.kind, remedy.lone) == (START, False)


def test_the_canary_is_tried_first_and_the_other_waits() -> None:
    stage = failing()
    stage.see(starting("a"), starting("b"), stopped("c"))
    first = stage.run_until_remedy(200)
    stage.run(40)
    assert len(stage.remedies) == 1
    other = "b" if first.session == "a" else "a"
    assert f"{first.session} is the canary and is tried first" in (stage.health(other).next or "")


def test_the_gateways_budget_holds_for_what_could_kill_it_only() -> None:
    """It was ended by two session restarts within the hour."""
    stage = alone(replace(CALM, budget=Budget(gateway_per_hour=0)))
    stage.run(600)
    assert stage.made == []
    assert any("the gateway restarted 0 times within an hour because of us" in one for one in stage.withheld)
    stage.change(failed())
    assert stage.run_until_remedy(60).kind is RESTART


def test_with_a_restarter_the_lone_session_waits_for_the_gateway_to_be_restarted_instead() -> None:
    policy = replace(CALM, restarter="command", budget=Budget(gateway_per_day=0))
    stage = alone(policy, keeper=None)
    stage.run(600)
    assert stage.made == []


# Distances


def test_evolutions_restarts_of_one_session_are_a_minute_apart_even_by_order() -> None:
    stage = failing(EVOLUTION)
    stage.run_until_remedy(120)
    stage.look()
    reply = stage.order(OrderKind.RESTART)
    assert reply.verdict is Verdict.LATER
    assert reply.text == (
        "restart_session is withheld for 55 s: this gateway wants 60 s between two restarts of a session"
    )
    assert reply.retry_after == 55
    stage.run(50)
    assert stage.order(OrderKind.RESTART).verdict is Verdict.ACCEPTED


def test_two_remedies_keep_their_distance_and_are_not_made_at_once() -> None:
    policy = replace(CALM, budget=Budget(concurrent=2, spacing=12.0), incident=replace(CALM.incident, at_least=99))
    stage = Stage(policy=policy, answers=None).healthy(*"abcdefg")
    stage.change(failed("a"), failed("b"), failed("c"))
    stage.run(60)
    when = [at for at, _ in stage.remedies]
    assert len(when) == 2  # two are under way, and no end was heard
    assert 12 <= when[1] - when[0] <= 20


@pytest.mark.parametrize(("concurrent", "made"), [(1, 1), (2, 2), (3, 3)])
def test_so_many_at_once_as_are_allowed(concurrent: int, made: int) -> None:
    policy = replace(
        CALM, budget=Budget(concurrent=concurrent, spacing=0.0), incident=replace(CALM.incident, at_least=99)
    )
    stage = Stage(policy=policy, answers=None).healthy(*"abcdefg")
    stage.change(failed("a"), failed("b"), failed("c"))
    stage.run(40)
    assert len(stage.made) == made


@pytest.mark.parametrize("outcome", [Outcome.WITHHELD, Outcome.UNREACHABLE])
def test_what_was_not_made_costs_no_budget(outcome: Outcome) -> None:
    policy = replace(CALM, budget=Budget(per_session_per_hour=2, sessions_per_hour=2))
    stage = failing(policy, answers=outcome)
    stage.run(900)
    assert len(stage.made) > 10
    assert len(stage.memory.gateway.made) <= 1
    stage.answers = Outcome.ACCEPTED
    stage.run_until_remedy(200)


def test_a_reply_says_what_withholds_it_and_the_limits_when() -> None:
    policy = replace(CALM, budget=Budget(per_session_per_hour=1))
    stage = failing(policy)
    stage.run_until_remedy(60)
    stage.change(starting())
    stage.run(300)
    assert stage.health().condition is Condition.FAILING
    reply = stage.order(OrderKind.RECOVER)
    assert reply.verdict is Verdict.LATER
    assert "its budget of 1 remedies per hour is spent" in reply.text
    assert reply.retry_after is not None
    assert 3000 <= reply.retry_after <= 3300


def test_a_pause_of_nobody_and_for_no_reason_holds_as_well() -> None:
    stage = failing()
    stage.orders.append(Order("o2", OrderKind.PAUSE))
    stage.run(120)
    assert stage.made == []
    assert stage.withheld == ["restart_session is withheld: paused"]
    stage.order(OrderKind.RESUME, None)
    assert stage.remedies[0][1].cause is Reason.UNEXPLAINED


# The tables

HOLDS = {
    # against:           restart, --force, park
    "under_way": (True, True, True),
    "gateway_restart": (True, True, True),
    "state_unwritable": (True, True, True),
    "mistyped": (True, True, False),
    "observe": (False, False, True),
    "paused": (False, False, True),
    "unread": (True, False, True),
    "misfit": (False, False, True),
    "grace": (False, False, True),
    "person": (False, False, False),
    "diagnosed": (False, False, False),
    "store": (True, False, False),
    "disk": (False, False, False),
    "uplink": (True, False, True),
    "killing": (False, False, True),
    "lone": (False, False, True),
    "instead": (False, False, False),
    "lone_turn": (False, False, False),
    "gateway_budget": (False, False, True),
    "incident": (False, False, False),
    "lone_wait": (False, False, False),
    "breaker": (False, False, False),
    "restart_spacing": (True, True, False),
    "backoff": (False, False, True),
    "session_budget": (False, False, False),
    "sessions_budget": (False, False, False),
    "concurrent": (False, False, True),
    "spread": (False, False, True),
}


def test_what_holds_against_an_order_against_force_and_against_a_stop() -> None:
    """A change here is a decision: do no harm comes first, and a person's word before our caution."""
    assert {row.code: (row.holds_for_restart, row.holds_for_force, row.parks) for row in ROWS} == HOLDS
    assert not any(force and not restart for restart, force, _ in HOLDS.values())


GATEWAY_HOLDS = {
    "no_restarter": (True, True),
    "under_way": (True, True),
    "state_unwritable": (True, True),
    "mistyped": (True, True),
    "observe": (False, False),
    "paused": (False, False),
    "store": (True, False),
    "disk": (True, False),
    "uplink": (True, False),
    "grace": (False, False),
    "crash_loop": (False, False),
    "busy": (True, True),
    "breaker": (False, False),
    "budget": (False, False),
    "backoff": (False, False),
}


def test_what_holds_against_an_ordered_and_a_forced_restart_of_the_gateway() -> None:
    rows = gateway_gates.ROWS
    assert {row.code: (row.holds_for_restart, row.holds_for_force) for row in rows} == GATEWAY_HOLDS
    assert not any(force and not restart for restart, force in GATEWAY_HOLDS.values())


@pytest.mark.parametrize(
    ("change", "heals"),
    [
        ({}, True),
        ({"cause": Reason.UPGRADE_REFUSED}, True),
        ({"cause": Reason.UNEXPLAINED}, False),
        ({"state": State.FAILED}, False),
        ({"keeper": "PM2"}, False),
        ({"policy": replace(CALM, restarter="docker")}, False),
        ({"policy": EVOLUTION}, False),
    ],
)
def test_when_a_person_has_to_restart_the_gateway(change: dict[str, object], heals: bool) -> None:
    """WAHA, alone and starting for too long, and nothing is known that would bring the process back."""
    memory = SessionMemory(first_seen=0.0, state=State.STARTING, since=0.0, cause=Reason.STUCK_STARTING)
    asked = Asked("a", memory, RESTART, GatewayMemory(), surroundings(), in_flight=0)
    for name, value in change.items():
        if name == "keeper":
            asked = replace(asked, keeper=value)
        elif name == "policy":
            asked = replace(asked, scene=replace(asked.scene, policy=value))
        else:
            asked = replace(asked, session=replace(asked.session, **{name: value}))
    assert only_gateway_restart_heals(asked) is heals


@pytest.mark.parametrize(
    ("changed", "gateway", "at", "code"),
    [
        ({"made": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)}, {}, 3601.0 - 0.1, "session_budget"),
        ({"made": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)}, {}, 3601.0, None),
        ({}, {"made": tuple(range(60))}, 3599.9, "sessions_budget"),
        ({}, {"made": tuple(range(60))}, 3600.0, None),
        ({}, {"last_remedy": 98.1}, 100.0, "spread"),
        ({}, {"last_remedy": 98.0}, 100.0, None),
        ({"not_before": 100.1}, {}, 100.0, "backoff"),
        ({"not_before": 100.0}, {}, 100.0, None),
        ({"last_restart": 40.1}, {}, 100.0, "restart_spacing"),
        ({"last_restart": 40.0}, {}, 100.0, None),
        ({"breaker": Breaker(BreakerState.OPEN, until=100.1)}, {}, 100.0, "breaker"),
        ({"breaker": Breaker(BreakerState.OPEN, until=100.0)}, {}, 100.0, None),
        ({"breaker": Breaker(BreakerState.HALF_OPEN, until=200.0)}, {}, 100.0, None),
        ({"breaker": Breaker(BreakerState.HELD)}, {}, 100.0, "breaker"),
        ({}, {"grace_until": 100.1}, 100.0, "grace"),
        ({}, {"grace_until": 100.0}, 100.0, None),
    ],
)
def test_the_edges_of_what_ends_by_itself(
    changed: dict[str, object], gateway: dict[str, object], at: float, code: str | None
) -> None:
    memory = SessionMemory(first_seen=0.0, state=State.FAILED, since=0.0, cause=Reason.UNEXPLAINED)
    scene = replace(surroundings(), now=at, policy=replace(CALM, restart_spacing=60.0))
    asked = Asked("a", replace(memory, **changed), RESTART, replace(GatewayMemory(), **gateway), scene, in_flight=0)
    block = first_block(asked)
    assert (None if block is None else block.code) == code
    ends = {"session_budget": 3601.0, "sessions_budget": 3600.0, "spread": 100.1, "restart_spacing": 100.1}
    if block is not None and block.code != "breaker":
        assert block.until == pytest.approx(ends.get(block.code, 100.1))


@pytest.mark.parametrize(
    ("restarts", "at", "held_until"),
    [
        ((10.0, 20.0), 3609.9, 3610.0),
        ((10.0, 20.0), 3610.0, None),
        ((1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 86400.9, 86401.0),
        ((1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 86401.0, None),
    ],
)
def test_the_edges_of_the_gateways_budget(restarts: tuple[float, ...], at: float, held_until: float | None) -> None:
    memory = SessionMemory(first_seen=0.0, state=State.STARTING, since=0.0, cause=Reason.STUCK_STARTING)
    asked = Asked(
        "a",
        memory,
        RESTART,
        GatewayMemory(restarts=restarts),
        replace(surroundings(), now=at),
        in_flight=0,
        keeper="PM2",
    )
    block = first_block(asked)
    assert (None if block is None else (block.code, block.until)) == (
        None if held_until is None else ("gateway_budget", held_until)
    )
    assert first_block(replace(asked, session=replace(memory, state=State.FAILED))) is None


def surroundings() -> Scene:
    return Scene(
        now=10.0,
        policy=CALM,
        run=0,
        run_known=True,
        gap=False,
        uplink=UplinkState.UP,
        store_ok=None,
        working=frozenset(),
    )


LATER = GatewayMemory(canary_not_before=10.1)
NOW = GatewayMemory(canary_not_before=10.0)
BOTH = IncidentMemory(since=0.0, cause=Reason.UNEXPLAINED, sessions=("a", "b"))


@pytest.mark.parametrize(
    ("state", "changes", "code"),
    [
        (State.FAILED, {"incident": BOTH}, None),
        (State.FAILED, {"incident": BOTH, "gateway": LATER}, "incident"),
        (State.FAILED, {"incident": BOTH, "gateway": NOW}, None),
        (State.FAILED, {"incident": replace(BOTH, canary="a")}, None),
        (State.FAILED, {"incident": replace(BOTH, canary="b")}, "incident"),
        (State.FAILED, {"incident": replace(BOTH, canary="b", proven=True)}, None),
        (State.FAILED, {"incident": replace(BOTH, canary="b", sessions=("b", "c"))}, None),
        (State.FAILED, {"gateway": LATER}, None),
        (State.STARTING, {}, None),
        (State.STARTING, {"gateway": LATER}, "lone_wait"),
        (State.STARTING, {"gateway": NOW}, None),
        (State.STARTING, {"canary": "b"}, "lone_turn"),
        (State.STARTING, {"canary": "a"}, None),
        (State.FAILED, {"canary": "b"}, None),
        (State.STARTING, {"keeper": None}, "lone"),
        (State.FAILED, {"keeper": None}, None),
        (State.STARTING, {"in_flight": 1}, "concurrent"),
        (State.STOPPED, {}, "misfit"),
        (State.WORKING, {}, "misfit"),
        (State.NEEDS_HUMAN, {}, "misfit"),
        (State.FAILED, {"listed": False}, "unread"),
    ],
)
def test_turns_and_canaries(state: State, changes: dict[str, object], code: str | None) -> None:
    memory = SessionMemory(first_seen=0.0, state=state, since=0.0, cause=Reason.STUCK_STARTING)
    asked = Asked("a", memory, RESTART, GatewayMemory(), surroundings(), in_flight=0, keeper="PM2")
    block = first_block(replace(asked, **changes))
    assert (None if block is None else block.code) == code


@pytest.mark.parametrize(
    ("restarter", "kind", "tried", "code"),
    [
        ("docker", "waha", None, "instead"),
        ("docker", "waha", 5.0, None),
        ("docker", "evolution", None, None),
        ("none", "waha", None, None),
    ],
)
def test_the_gateway_is_restarted_instead_of_a_lone_session_once(
    restarter: str, kind: str, tried: float | None, code: str | None
) -> None:
    memory = SessionMemory(
        first_seen=0.0, state=State.STARTING, since=0.0, cause=Reason.STUCK_STARTING, gateway_tried=tried
    )
    scene = replace(surroundings(), store_ok=True, policy=replace(CALM, restarter=restarter, gateway_kind=kind))
    block = first_block(Asked("a", memory, RESTART, GatewayMemory(), scene, in_flight=0, keeper="PM2"))
    assert (None if block is None else block.code) == code


def test_a_gate_that_comes_and_goes_is_told_again_after_five_minutes_only() -> None:
    stage = Stage(uplink=UplinkState.UNKNOWN).healthy("a", "b")
    stage.change(failed())
    for turn in range(12):
        stage.disk_low = turn % 2 == 1
        stage.run(20)
    assert len(stage.withheld) == 2
    for turn in range(12):
        stage.disk_low = turn % 2 == 1
        stage.run(20)
    assert len(stage.withheld) == 4


def test_what_counts_in_no_window_any_more_is_forgotten() -> None:
    stage = Stage().healthy("a", "b")
    stage.change(failed())
    stage.run_until_remedy()
    stage.change(working())
    stage.run(3500)
    assert len(stage.session().made) == 1
    stage.run(120)
    stage.change(failed())
    stage.look()
    assert stage.session().made == ()


def test_the_last_attempt_before_the_breaker_opens_is_counted_as_such() -> None:
    stage = Stage(policy=replace(CALM, breaker=replace(CALM.breaker, failures=1))).healthy("a", "b")
    stage.order(OrderKind.PAUSE, None, pause_for=3600.0)
    stage.change(failed())
    stage.run(60)
    assert "(attempt 1 of 1): paused" in (stage.health().next or "")
