"""The restart of the gateway process: when it is gone or hangs, what is tried, how often, and what counts as healed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from decide_scenes import CALM, EVOLUTION, Stage, all_of, failed, names, opened, result_of, starting, stopped, working
from msgspec.structs import replace

from wasupervisor.decide.memory import BreakerState
from wasupervisor.model.health import Status
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import Trouble, UplinkState
from wasupervisor.model.policy import Budget, Policy
from wasupervisor.model.remedies import OrderKind, Outcome, RemedyKind, Verdict
from wasupervisor.model.sessions import Condition, Reason

GATEWAY, RESTART, START = RemedyKind.RESTART_GATEWAY, RemedyKind.RESTART_SESSION, RemedyKind.START_SESSION
DAY = 86400.0

WAHA = replace(CALM, restarter="systemd")
EVO = replace(EVOLUTION, restarter="systemd")
BOTH = pytest.mark.parametrize("policy", [WAHA, EVO], ids=["waha", "evolution"])


def staged(policy: Policy, **rest: object) -> Stage:
    """A healthy gateway with two sessions, and a database that is well where one is told."""
    evolution = policy.gateway_kind == "evolution"
    stage = Stage(policy=policy, store_ok=True if evolution else None, **rest)  # type: ignore[arg-type]
    stage.see(*all_of(opened if evolution else working, "ab"))
    stage.run(policy.stable_for + 15)
    stage.journal.clear()
    return stage


def hang(stage: Stage) -> float:
    """The API answers nothing any more; the process is there."""
    stage.reachable, stage.trouble = False, Trouble.TIMED_OUT
    return stage.now


def die(stage: Stage) -> float:
    stage.reachable, stage.trouble, stage.gone, stage.detail = False, Trouble.REFUSED, True, "nobody listens"
    return stage.now


def state_of_breaker(stage: Stage) -> BreakerState:
    return stage.memory.gateway.breaker.state


# Gone and hung


@BOTH
def test_a_gateway_that_died_is_started_after_gone_after(policy: Policy) -> None:
    stage = staged(policy, keeper=None)
    died = die(stage)
    remedy = stage.run_until_remedy()
    assert (remedy.kind, remedy.session, remedy.cause, remedy.sessions) == (GATEWAY, "", Reason.GATEWAY_GONE, ())
    assert remedy.why == (
        "restart_gateway for the gateway: the gateway's process is not there and nothing brings it back; "
        "it is started again"
    )
    assert policy.gone_after <= stage.now - died <= policy.gone_after + 10


@BOTH
def test_a_gateway_that_hangs_is_restarted_after_hung_after(policy: Policy) -> None:
    stage = staged(policy)
    hung = hang(stage)
    remedy = stage.run_until_remedy()
    assert (remedy.kind, remedy.session, remedy.cause) == (GATEWAY, "", Reason.GATEWAY_HUNG)
    assert policy.hung_after <= stage.now - hung <= policy.hung_after + 10
    assert "The gateway process is being restarted, since 0 s." in stage.notes


@BOTH
def test_a_gateway_that_was_restarted_and_answers_for_stable_for_is_told_as_healed(policy: Policy) -> None:
    stage = staged(policy)
    hang(stage)
    stage.run_until_remedy()
    stage.look()
    stage.begin_anew()
    stage.run(20)
    assert "The gateway process was restarted 25 s ago; it is observed whether it helps." in stage.notes
    assert stage.told(EntryKind.VERIFIED) == []
    stage.run(60)
    assert stage.told(EntryKind.VERIFIED) == ["healed: the gateway is well again 40 s after restart_gateway"]
    assert stage.told(EntryKind.RESULT) == ["restart_gateway was carried out; now it is observed whether it helps"]
    assert any("restarted, by us" in one for one in stage.told(EntryKind.GATEWAY))
    assert stage.memory.gateway.attempt is None
    assert state_of_breaker(stage) is BreakerState.CLOSED
    assert len(stage.gateway_restarts) == 1
    assert stage.status() is Status.HEALTHY
    assert "restarted" not in stage.notes


def test_a_gateway_that_is_known_by_its_port_alone_may_be_starting_and_has_the_time_of_one_that_hangs() -> None:
    """Its port is opened last: a WAHA of many sessions was started beside itself."""
    stage = staged(WAHA, by_port=True)
    died = die(stage)
    stage.run(WAHA.hung_after - 5)
    assert stage.made == []
    stage.run_until_remedy(20)
    assert stage.remedies[0][1].cause is Reason.GATEWAY_GONE
    assert stage.now - died <= WAHA.hung_after + 10


def test_a_short_hang_is_left_alone() -> None:
    stage = staged(WAHA)
    hang(stage)
    stage.run(WAHA.hung_after - 5)
    stage.reachable = True
    stage.run(600)
    assert stage.made == []


def test_a_keeper_that_brings_it_back_earlier_is_left_alone() -> None:
    stage = staged(WAHA)
    die(stage)
    stage.run(10)
    stage.begin_anew()
    stage.run(600)
    assert stage.made == []
    assert any("not by us" in one for one in stage.told(EntryKind.GATEWAY))


def test_a_gateway_that_dies_again_and_again_and_is_brought_back_by_its_keeper_is_not_restarted_beside() -> None:
    """systemd starts it each few seconds, and it dies before it listens: another restart would change nothing."""
    stage = staged(replace(WAHA, startup_grace=30.0))
    die(stage)
    for _ in range(60):
        stage.look()
        stage.gone = False
        stage.process = f"P{int((stage.process or 'P1')[1:]) + 1}"
        stage.look()
        stage.gone = True
    assert stage.made == []
    assert stage.status() is Status.UNHEALTHY


@pytest.mark.parametrize("process", ["unknown", "there"])
def test_nothing_is_restarted_for_silence_where_nobody_knows_of_the_process(process: str) -> None:
    """A gateway on another host: that it is silent does not tell whether it hangs."""
    stage = staged(WAHA)
    hang(stage)
    if process == "unknown":
        stage.process = None
        stage.run(3600)
        assert stage.made == []
    else:
        stage.run_until_remedy()


def test_a_process_that_is_told_gone_while_its_api_answers_is_not_restarted() -> None:
    """What was found is a wrapper that has ended."""
    stage = staged(WAHA)
    stage.gone = True
    stage.run(3600)
    assert stage.made == []


def test_a_host_name_that_cannot_be_resolved_is_no_gateway_that_hangs() -> None:
    """The DNS of the host was away, and the gateway well."""
    stage = staged(WAHA)
    hang(stage)
    stage.trouble = Trouble.UNRESOLVED
    stage.run(3600)
    assert stage.made == []


@pytest.mark.parametrize("how", [hang, die])
def test_without_a_restarter_a_dead_gateway_is_only_told_with_the_key_to_set(how: object) -> None:
    stage = staged(CALM)
    how(stage)  # type: ignore[operator]
    stage.run(3600)
    assert stage.made == []
    assert len(stage.withheld) == 1
    assert "recovery.restart_gateway.by is none: set it" in stage.withheld[0]
    assert stage.whole.notes[0] == (
        "Only a restart of the gateway process heals the gateway. By hand: systemctl restart waha.service. "
        "To let it be done from here: recovery.restart_gateway: {by: systemd, unit: waha.service}"
    )
    stage.begin_anew()
    stage.run(60)
    assert "Only a restart" not in stage.notes


# The supervisor was away


@pytest.mark.parametrize("how", [hang, die])
def test_the_hosts_reboot_is_no_hang_that_has_lasted_for_a_day(how: object) -> None:
    """The gateway ended before the supervisor did, and after the boot it was still starting."""
    stage = staged(WAHA)
    how(stage)  # type: ignore[operator]
    stage.run(5)
    stage.restart_supervisor(away=DAY)
    if not stage.gone:
        stage.process = "P2"
    stage.run(5)
    assert stage.made == []
    stage.run(WAHA.hung_after - 10 if not stage.gone else 5)
    assert stage.made == []
    stage.run(10)
    assert [kind for kind, _ in stage.made] == [GATEWAY]


def test_a_gateway_that_boots_slowly_is_not_called_hung_for_the_silence_of_its_predecessor() -> None:
    stage = staged(WAHA)
    hang(stage)
    stage.run(50)
    stage.process = "P2"  # somebody restarted it
    stage.run(WAHA.hung_after - 5)
    assert stage.made == []
    stage.run(10)
    assert [kind for kind, _ in stage.made] == [GATEWAY]


# How often


@BOTH
def test_a_gateway_that_no_restart_brings_back_is_restarted_twice_an_hour_and_six_times_a_day(policy: Policy) -> None:
    stage = staged(replace(policy, poll_every=20.0))
    hang(stage)
    stage.run(2 * DAY)
    when = stage.gateway_restarts
    assert all(sum(1 for one in when if begin <= one < begin + 3600) <= 2 for begin in when)
    assert all(sum(1 for one in when if begin <= one < begin + DAY) <= 6 for begin in when)
    assert len(when) >= 10


def test_each_restart_in_vain_keeps_the_breaker_open_for_twice_as_long_and_at_least_five_minutes() -> None:
    policy = replace(WAHA, budget=Budget(gateway_per_hour=99, gateway_per_day=999))
    stage = staged(policy, dice=0.0)
    hang(stage)
    stage.run(6 * 3600)
    when = stage.gateway_restarts
    gaps = [round(later - before, -1) for before, later in pairwise(when)]
    assert gaps[0] >= 300
    assert all(300 * 2**turn <= gap - 180 <= 300 * 2**turn * 1.25 + 20 for turn, gap in enumerate(gaps[:3]))
    assert max(gaps) <= 3600 * 1.25 + 200
    assert sum("the gateway's breaker is open" in one for one in stage.withheld) in (len(when), len(when) - 1)
    told = stage.told(EntryKind.VERIFIED)
    assert told[0].startswith(
        "restart_gateway did not heal: no new process was seen that answers; the gateway's breaker is open for "
    )


@pytest.mark.parametrize(
    ("budget", "most"),
    [(Budget(gateway_per_hour=1), 1), (Budget(gateway_per_hour=0), 0), (Budget(gateway_per_day=0), 0)],
)
def test_the_budget_of_the_hour_is_kept_and_told(budget: Budget, most: int) -> None:
    stage = staged(replace(WAHA, budget=budget))
    hang(stage)
    stage.run(3000)
    assert len(stage.gateway_restarts) == most
    word = "a day" if budget.gateway_per_day == 0 else "an hour"
    counted = "1 time" if most == 1 else "0 times"
    assert any(f"the gateway restarted {counted} within {word} because of us" in one for one in stage.withheld)


def test_a_restart_of_the_supervisor_buys_no_restart_of_the_gateway() -> None:
    stage = staged(WAHA)
    hang(stage)
    stage.run(1500)
    count = len(stage.gateway_restarts)
    assert count == 2
    for _ in range(8):
        stage.restart_supervisor()
        stage.run(200)
    assert len(stage.gateway_restarts) == count


def test_a_restart_that_healed_closes_the_breaker_of_the_gateway() -> None:
    stage = staged(WAHA, dice=0.0)
    hang(stage)
    stage.run_until_remedy()
    stage.run(200)
    assert state_of_breaker(stage) is BreakerState.OPEN
    stage.run_until_remedy()
    assert state_of_breaker(stage) is BreakerState.HALF_OPEN
    stage.begin_anew()
    stage.run(60)
    assert state_of_breaker(stage) is BreakerState.CLOSED
    assert len(stage.gateway_restarts) == 2


def test_a_restart_in_vain_long_after_the_last_one_begins_with_the_shortest_wait_again() -> None:
    policy = replace(WAHA, budget=Budget(gateway_per_hour=99, gateway_per_day=999), poll_every=20.0)
    stage = staged(policy)
    hang(stage)
    stage.run(2400)
    assert stage.memory.gateway.breaker.trips >= 2
    stage.begin_anew()
    stage.run(3 * 3600)
    hang(stage)
    stage.run(500)
    assert stage.memory.gateway.breaker.trips == 1


# What a call comes to


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome.WITHHELD, "restart_gateway was withheld by the look right before it"),
        (Outcome.UNREACHABLE, "restart_gateway was not made"),
    ],
)
def test_a_restart_that_was_not_made_costs_nothing_but_a_wait(outcome: Outcome, told: str) -> None:
    stage = staged(WAHA, answers=outcome)
    hang(stage)
    stage.run_until_remedy()
    stage.look()
    assert stage.memory.gateway.restarts == ()
    assert stage.memory.gateway.attempt is None
    assert stage.withheld == [told]
    first = stage.gateway_restarts[0]
    stage.run(600)
    gaps = [later - before for before, later in pairwise(stage.gateway_restarts)]
    assert stage.gateway_restarts[0] == first
    assert gaps[:4] == [10, 15, 25, 45]
    assert max(gaps) == 65
    assert stage.memory.gateway.restarts[:-1] == ()


def test_after_a_restart_that_was_made_the_wait_for_one_that_is_not_begins_anew() -> None:
    policy = replace(WAHA, budget=Budget(gateway_per_hour=99, gateway_per_day=999))
    stage = staged(policy, answers=Outcome.WITHHELD)
    hang(stage)
    stage.run(200)
    assert stage.memory.gateway.unmade > 2
    stage.answers = Outcome.ACCEPTED
    stage.run_until_remedy()
    stage.look()
    assert stage.memory.gateway.unmade == 0


def test_one_that_was_withheld_while_the_breaker_was_half_open_leaves_it_open() -> None:
    stage = staged(WAHA, dice=0.0)
    hang(stage)
    stage.run_until_remedy()
    stage.run(200)
    stage.answers = Outcome.WITHHELD
    stage.run_until_remedy()
    assert state_of_breaker(stage) is BreakerState.HALF_OPEN
    stage.look()
    assert state_of_breaker(stage) is BreakerState.OPEN
    assert stage.memory.gateway.breaker.trips == 1
    assert len(stage.memory.gateway.restarts) == 1


def test_a_restart_that_was_refused_counts_and_opens_the_breaker() -> None:
    """`systemctl restart` had no right to."""
    stage = staged(WAHA, answers=Outcome.REFUSED)
    hang(stage)
    stage.run_until_remedy()
    stage.run(20)
    assert stage.told(EntryKind.RESULT) == ["restart_gateway was refused"]
    assert stage.told(EntryKind.VERIFIED)[0].startswith("restart_gateway did not heal: it was refused; ")
    assert state_of_breaker(stage) is BreakerState.OPEN
    assert len(stage.memory.gateway.restarts) == 1


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.DROPPED])
def test_a_restart_that_did_not_end_in_time_is_still_judged_by_what_is_seen(outcome: Outcome) -> None:
    stage = staged(WAHA, answers=outcome)
    hang(stage)
    stage.run_until_remedy()
    stage.look()
    assert stage.told(EntryKind.RESULT) == ["restart_gateway did not end in time; it counts as made"]
    stage.begin_anew()
    stage.run(60)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("healed: the gateway is well again")


def test_the_end_of_a_restart_is_never_heard_and_nothing_else_is_begun_meanwhile() -> None:
    stage = staged(WAHA, answers=None)
    hang(stage)
    stage.run_until_remedy()
    stage.restart_supervisor()
    stage.run(205)
    assert len(stage.remedies) == 1
    assert stage.told(EntryKind.RESULT) == []
    stage.run(10)
    assert stage.told(EntryKind.RESULT) == ["the end of restart_gateway was never heard; it counts as made"]
    stage.run(150)
    assert stage.told(EntryKind.VERIFIED) == []
    stage.begin_anew()
    stage.run(60)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("healed: the gateway is well again")


def test_an_end_that_is_heard_twice_or_of_another_restart_changes_nothing() -> None:
    stage = staged(WAHA, answers=None)
    hang(stage)
    remedy = stage.run_until_remedy()
    stage.pending = [result_of(replace(remedy, id="a999"), Outcome.REFUSED)]
    stage.look()
    assert stage.memory.gateway.attempt is not None
    assert stage.memory.gateway.attempt.outcome is None
    stage.pending = [result_of(remedy, Outcome.ACCEPTED), result_of(remedy, Outcome.WITHHELD)]
    stage.look()
    assert stage.memory.gateway.attempt is not None
    assert stage.memory.gateway.attempt.outcome is Outcome.ACCEPTED
    assert len(stage.memory.gateway.restarts) == 1
    stage.begin_anew()
    stage.run(60)
    before = stage.memory
    stage.pending = [result_of(remedy, Outcome.REFUSED)]
    stage.look()
    assert stage.memory == before


def test_the_new_process_answers_hangs_again_and_is_not_called_healed() -> None:
    """It answered one look after the restart, hung, and answered again half a minute later."""
    stage = staged(WAHA)
    hang(stage)
    stage.run_until_remedy()
    stage.look()
    stage.begin_anew()
    stage.look()
    stage.reachable = False
    stage.run(30)
    stage.reachable = True
    stage.run(10)
    assert stage.told(EntryKind.VERIFIED) == []
    stage.run(35)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("healed: the gateway is well again")


def test_the_new_process_answers_and_its_list_cannot_be_read_any_more() -> None:
    stage = staged(WAHA)
    hang(stage)
    stage.run_until_remedy()
    stage.look()
    stage.begin_anew()
    stage.look()
    stage.readable = False
    stage.run(100)
    assert stage.told(EntryKind.VERIFIED) == []
    stage.run(150)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("restart_gateway did not heal: ")


def test_the_same_process_that_answers_again_is_no_restart() -> None:
    """The restarter said done, and the process is the old one: what hung woke up."""
    stage = staged(WAHA)
    stage.begin_anew()  # not the first run that was ever seen
    stage.run(60)
    hang(stage)
    stage.run_until_remedy()
    stage.reachable = True
    stage.run(150)
    assert stage.told(EntryKind.VERIFIED) == []
    stage.run(60)
    assert stage.told(EntryKind.VERIFIED)[0].startswith(
        "restart_gateway did not heal: no new process was seen that answers"
    )


def test_where_nobody_tells_the_run_an_answer_after_the_call_has_to_do() -> None:
    stage = staged(WAHA)
    hang(stage)
    stage.run_until_remedy()
    stage.process, stage.reachable = None, True
    stage.look()
    assert stage.memory.gateway.attempt is not None
    assert stage.memory.gateway.attempt.back_at is None  # this look may have begun before the call ended
    stage.run(60)
    assert stage.told(EntryKind.VERIFIED)[0].startswith("healed: the gateway is well again")


# Sessions meanwhile


@BOTH
def test_no_session_is_touched_while_the_gateway_is_being_restarted(policy: Policy) -> None:
    stage = staged(policy, answers=None)
    stage.order(OrderKind.RESTART_GATEWAY, None)
    assert stage.made == [(GATEWAY, "")]
    stage.change(
        starting() if policy is WAHA else replace(opened(), state=starting().state, reason=Reason.RECONNECTING)
    )
    stage.run(150)
    assert stage.made == [(GATEWAY, "")]
    reply = stage.order(OrderKind.RESTART, force=True)
    assert reply.verdict is Verdict.WITHHELD
    assert reply.text == "restart_session is withheld: the gateway process is being restarted"


def test_a_restart_of_the_gateway_waits_for_the_remedy_of_a_session() -> None:
    stage = staged(WAHA, answers=None)
    stage.change(failed())
    stage.run_until_remedy()
    hang(stage)
    stage.run(75)
    assert len(stage.remedies) == 1 or stage.remedies[1][1].kind is GATEWAY
    stage.run(60)
    assert [kind for kind, _ in stage.made] == [RESTART, GATEWAY]


def test_after_a_restart_of_the_gateway_its_sessions_have_time_before_any_is_restarted() -> None:
    stage = staged(replace(WAHA, startup_grace=60.0))
    hang(stage)
    stage.run_until_remedy()
    stage.look()
    stage.begin_anew(failed("a"), working("b"))
    stage.run(60)
    assert len(stage.remedies) == 1
    stage.run(15)
    assert stage.made == [(GATEWAY, ""), (RESTART, "a")]


def test_what_an_old_core_does_not_start_after_our_restart_is_started() -> None:
    stage = staged(replace(WAHA, startup_grace=30.0))
    hang(stage)
    stage.run_until_remedy()
    stage.look()
    stage.begin_anew(stopped("a"), stopped("b"))
    for _ in range(2):
        started = stage.run_until_remedy(120)
        assert started.kind is START
        stage.change(working(started.session))
    assert stage.made == [(GATEWAY, ""), (START, "a"), (START, "b")]


def test_a_remedy_under_verification_gets_no_credit_for_our_restart_of_the_gateway() -> None:
    stage = staged(WAHA)
    stage.change(failed())
    stage.run_until_remedy()
    stage.look()
    stage.order(OrderKind.RESTART_GATEWAY, None)
    stage.begin_anew(working("a"), working("b"))
    stage.run(60)
    assert "restart_session is not judged: the gateway process was restarted meanwhile" in stage.told(
        EntryKind.VERIFIED, "a"
    )
    assert not any("healed: working" in one for one in stage.told(EntryKind.VERIFIED, "a"))


def test_a_remedy_under_verification_gets_no_credit_for_somebodys_restart_of_the_process() -> None:
    stage = staged(CALM)
    stage.change(failed())
    stage.run_until_remedy()
    stage.look()
    stage.begin_anew(working("a"), working("b"))
    stage.run(120)
    assert stage.told(EntryKind.VERIFIED) == [
        "restart_session is not judged: the gateway process was restarted meanwhile"
    ]
    assert stage.health().condition is Condition.HEALTHY


def test_a_half_open_breaker_is_open_again_when_somebody_restarts_the_process_meanwhile() -> None:
    policy = replace(CALM, budget=Budget(per_session_per_hour=99))
    stage = staged(policy)
    stage.change(starting())
    while stage.session().breaker.state is not BreakerState.HALF_OPEN:
        stage.look()
    stage.look()
    stage.begin_anew(starting("a"), working("b"))
    stage.look()
    assert stage.session().breaker.state is BreakerState.OPEN
    assert stage.session().attempt is None


# Gates


@pytest.mark.parametrize("how", [hang, die])
@pytest.mark.parametrize(
    ("what", "value", "why"),
    [
        ("redis_ok", False, "the gateway's store does not answer: a gateway that starts without it throws"),
        ("mistyped", ("b",), "credential keys in Redis are not whole (b): their identities would be lost"),
        ("disk_low", True, "the disk is nearly full, and a gateway that cannot write its credentials loses them"),
        ("uplink", UplinkState.DOWN, "WhatsApp cannot be reached from here: no session would come back"),
        ("writable", False, "the state cannot be written, so that nothing would be on the books"),
    ],
)
def test_a_dead_gateway_is_not_restarted_into_a_fault(how: object, what: str, value: object, why: str) -> None:
    stage = staged(WAHA)
    before = getattr(stage, what)
    how(stage)  # type: ignore[operator]
    setattr(stage, what, value)
    stage.run(1800)
    assert stage.made == []
    assert len(stage.withheld) == 1
    assert why in stage.withheld[0]
    setattr(stage, what, before)
    assert stage.run_until_remedy(10).kind is GATEWAY


@pytest.mark.parametrize("how", [hang, die])
def test_an_uplink_that_nobody_watches_holds_nothing_back(how: object) -> None:
    stage = staged(replace(WAHA, uplink_watched=False))
    how(stage)  # type: ignore[operator]
    stage.uplink = UplinkState.DOWN
    assert stage.run_until_remedy(100).kind is GATEWAY


@pytest.mark.parametrize("how", [hang, die])
def test_evolution_whose_database_did_not_answer_last_is_not_restarted(how: object) -> None:
    stage = staged(EVO)
    stage.store_ok = False
    stage.run(10)
    how(stage)  # type: ignore[operator]
    stage.run(3600)
    assert stage.made == []
    assert len(stage.withheld) == 1


def test_evolution_whose_database_answered_last_is_restarted_when_it_hangs_though_nobody_can_ask_it() -> None:
    stage = staged(EVO)
    hang(stage)
    stage.store_ok, stage.uplink = None, UplinkState.UNKNOWN
    assert stage.run_until_remedy().kind is GATEWAY


def test_observe_never_restarts_the_gateway_and_says_so_once() -> None:
    stage = staged(replace(WAHA, act=False))
    hang(stage)
    stage.run(3600)
    assert stage.made == []
    told = "the gateway: the gateway's process is there and its API does not answer"
    assert stage.withheld == [f"restart_gateway is withheld: recovery.mode is observe ({told})"]


def test_pause_means_hands_off_the_gateway_too_and_its_end_lets_go_on() -> None:
    stage = staged(WAHA)
    stage.order(OrderKind.PAUSE, None, pause_for=900.0, reason="upgrade")
    hang(stage)
    stage.run(800)
    assert stage.made == []
    assert len(stage.withheld) == 1
    assert "restart_gateway is withheld for 14 min: paused by eve: upgrade" in stage.withheld[0]
    stage.run(120)
    assert [kind for kind, _ in stage.made] == [GATEWAY]


def test_a_withholding_is_told_again_when_what_it_was_for_has_come_back() -> None:
    stage = staged(CALM)
    for _ in range(2):
        hang(stage)
        stage.run(120)
        stage.reachable = True
        stage.run(60)
    assert len(stage.withheld) == 2


def test_the_grace_after_the_start_of_the_supervisor_holds_for_the_gateway_too() -> None:
    stage = Stage(policy=replace(WAHA, startup_grace=300.0, hung_after=10.0), reachable=False)
    stage.run(290)
    assert stage.made == []
    stage.run(20)
    assert [kind for kind, _ in stage.made] == [GATEWAY]


# Orders


@BOTH
def test_an_operator_restarts_a_healthy_gateway(policy: Policy) -> None:
    stage = staged(policy)
    reply = stage.order(OrderKind.RESTART_GATEWAY, None)
    assert reply.verdict is Verdict.ACCEPTED
    assert reply.text == "restart_gateway is performed now; verified when it answers for 30 s"
    assert reply.action == stage.remedies[0][1].id
    assert stage.remedies[0][1].why == "restart_gateway: an operator ordered it"
    assert stage.remedies[0][1].ordered
    assert not stage.remedies[0][1].forced
    assert stage.told(EntryKind.ORDER) == ["a restart of the gateway was ordered by eve"]
    stage.begin_anew()
    stage.run(60)
    assert stage.told(EntryKind.VERIFIED) == ["healed: the gateway is well again 40 s after restart_gateway"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("change", "holds", "holds_for_force"),
    [
        ({"policy": CALM}, True, True),
        ({"writable": False}, True, True),
        ({"mistyped": ("a",)}, True, True),
        ({"redis_ok": False}, True, False),
        ({"store_ok": False}, True, False),
        ({"disk_low": True}, True, False),
        ({"uplink": UplinkState.DOWN, "seen": {}}, True, False),
        ({"uplink": UplinkState.UNKNOWN}, True, False),
        ({"policy": replace(WAHA, act=False)}, False, False),
        ({"policy": replace(WAHA, startup_grace=300.0), "first": True}, False, False),
        ({"policy": replace(WAHA, budget=Budget(gateway_per_hour=0))}, False, False),
    ],
)
def test_what_holds_against_an_ordered_restart_of_the_gateway(
    change: dict[str, object], holds: bool, holds_for_force: bool, force: bool
) -> None:
    stage = staged(WAHA)
    for name, value in change.items():
        setattr(stage, name, value)
    reply = stage.order(OrderKind.RESTART_GATEWAY, None, force=force)
    withheld = holds_for_force if force else holds
    assert reply.verdict is (Verdict.WITHHELD if withheld else Verdict.ACCEPTED), reply.text
    assert len(stage.remedies) == (0 if withheld else 1)
    if withheld:
        assert reply.text.startswith("restart_gateway is withheld: ")
        assert reply.action is None
        assert stage.withheld == [reply.text]
    elif force:
        assert stage.told(EntryKind.ORDER) == ["a restart of the gateway --force was ordered by eve"]
        assert stage.remedies[0][1].forced


def test_evolution_whose_database_nobody_knows_is_restarted_only_with_force() -> None:
    stage = staged(EVO)
    stage.store_ok = None
    reply = stage.order(OrderKind.RESTART_GATEWAY, None)
    assert reply.text == "restart_gateway is withheld: it is not known whether the gateway's database is well"
    assert stage.order(OrderKind.RESTART_GATEWAY, None, force=True).verdict is Verdict.ACCEPTED


def test_an_operator_can_restart_an_evolution_that_hangs_before_we_would() -> None:
    """Silent, it can tell neither its database nor anything else; what it told last has to do."""
    stage = staged(EVO)
    hang(stage)
    stage.run(10)
    stage.store_ok = None
    assert stage.order(OrderKind.RESTART_GATEWAY, None).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("force", [False, True])
def test_a_second_order_waits_for_the_end_of_the_first_call_and_not_for_its_verdict(force: bool) -> None:
    stage = staged(WAHA, answers=None)
    first = stage.order(OrderKind.RESTART_GATEWAY, None)
    second = stage.order(OrderKind.RESTART_GATEWAY, None, force=force)
    assert second.text == "restart_gateway is withheld: a restart of the gateway is under way"
    stage.pending = [result_of(stage.remedies[0][1], Outcome.ACCEPTED)]
    stage.look()
    third = stage.order(OrderKind.RESTART_GATEWAY, None, force=force)
    assert third.verdict is Verdict.ACCEPTED
    assert third.action != first.action


def test_an_order_waits_for_the_remedy_of_a_session_that_is_under_way() -> None:
    stage = staged(WAHA, answers=None)
    stage.order(OrderKind.RESTART)
    reply = stage.order(OrderKind.RESTART_GATEWAY, None, force=True)
    assert reply.text == "restart_gateway is withheld: a remedy of a session is under way"


@pytest.mark.parametrize("force", [False, True])
def test_the_breaker_of_the_gateway_does_not_hold_a_person_back(force: bool) -> None:
    stage = staged(WAHA)
    hang(stage)
    stage.run(400)
    assert state_of_breaker(stage) is BreakerState.OPEN
    assert stage.order(OrderKind.RESTART_GATEWAY, None, force=force).verdict is Verdict.ACCEPTED
    assert state_of_breaker(stage) is BreakerState.HALF_OPEN


def test_a_breaker_that_a_persons_restart_closed_does_not_hold_until_its_old_time() -> None:
    stage = staged(replace(WAHA, budget=Budget(gateway_per_hour=9, gateway_per_day=9)))
    hang(stage)
    stage.run(400)
    until = stage.memory.gateway.breaker.until
    assert until > stage.now
    stage.order(OrderKind.RESTART_GATEWAY, None)
    stage.begin_anew()
    stage.run(50)
    assert state_of_breaker(stage) is BreakerState.CLOSED
    hang(stage)
    stage.run(75)
    assert stage.now < until
    assert len(stage.gateway_restarts) == 3


def test_an_order_after_the_wait_of_a_withheld_restart_is_not_held_back() -> None:
    stage = staged(WAHA, answers=Outcome.WITHHELD)
    hang(stage)
    stage.run_until_remedy()
    stage.answers = None
    assert stage.order(OrderKind.RESTART_GATEWAY, None).verdict is Verdict.ACCEPTED


def test_an_ordered_restart_is_on_the_books_and_counts_for_the_budget() -> None:
    stage = staged(replace(WAHA, budget=Budget(gateway_per_hour=1)))
    stage.order(OrderKind.RESTART_GATEWAY, None)
    stage.begin_anew()
    stage.run(120)
    hang(stage)
    stage.run(600)
    assert len(stage.gateway_restarts) == 1


def test_many_mistyped_keys_are_told_by_three_names() -> None:
    stage = staged(WAHA)
    stage.mistyped = names("s", 5)
    reply = stage.order(OrderKind.RESTART_GATEWAY, None)
    assert "(s01, s02, s03)" in reply.text


# The journal


def entries(stage: Stage) -> list[tuple[EntryKind, Reason, RemedyKind | None, str | None, bool]]:
    """What the journal says of restarts of the gateway: kind, reason, remedy, outcome, whether it warns."""
    return [
        (one.kind, one.reason, one.remedy, one.outcome, one.warn)
        for _, one in stage.journal
        if one.remedy is GATEWAY and one.session is None
    ]


def test_the_journal_of_a_restart_that_heals_and_of_one_that_does_not() -> None:
    stage = staged(WAHA, dice=0.0)
    hang(stage)
    stage.run_until_remedy()
    hung = Reason.GATEWAY_HUNG
    assert entries(stage) == [(EntryKind.REMEDY, hung, GATEWAY, None, False)]
    stage.run(200)
    assert entries(stage)[1:] == [
        (EntryKind.RESULT, hung, GATEWAY, "accepted", False),
        (EntryKind.VERIFIED, hung, GATEWAY, "not_healed", True),
        (EntryKind.WITHHELD, hung, GATEWAY, "breaker", False),
    ]
    assert stage.told(EntryKind.VERIFIED)[0].endswith(("breaker is open for 5 min", "breaker is open for 6 min"))
    stage.journal.clear()
    stage.answers = Outcome.TIMED_OUT
    stage.run_until_remedy()
    stage.look()
    stage.begin_anew()
    stage.run(60)
    assert entries(stage) == [
        (EntryKind.REMEDY, hung, GATEWAY, None, False),
        (EntryKind.RESULT, hung, GATEWAY, "timed_out", True),
        (EntryKind.VERIFIED, hung, GATEWAY, "healed", False),
    ]


def test_the_journal_of_a_restart_that_was_not_made_or_not_heard() -> None:
    stage = staged(WAHA, answers=Outcome.WITHHELD)
    hang(stage)
    stage.run_until_remedy()
    stage.look()
    hung = Reason.GATEWAY_HUNG
    assert entries(stage)[-1] == (EntryKind.WITHHELD, hung, GATEWAY, "withheld", True)
    stage.answers = None
    stage.run_until_remedy()
    stage.run(220)
    assert entries(stage)[-1] == (EntryKind.RESULT, hung, GATEWAY, "timed_out", True)


def test_a_detail_of_the_restarter_is_told() -> None:
    stage = staged(WAHA, answers=None)
    hang(stage)
    remedy = stage.run_until_remedy()
    stage.pending = [result_of(remedy, Outcome.REFUSED, "polkit: not authorised")]
    stage.look()
    assert stage.told(EntryKind.RESULT) == ["restart_gateway was refused: polkit: not authorised"]
