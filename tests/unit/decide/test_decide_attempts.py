"""What becomes of a remedy: diagnosis, verification, back-off, breaker, budgets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from decide_scenes import (
    CALM,
    EVOLUTION,
    Stage,
    failed,
    instance,
    names,
    result_of,
    starting,
    stopped,
    unreadable,
    wants_qr,
    working,
)
from msgspec.structs import replace

from wasupervisor.decide.hearing import hear
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import Backoff, BreakerRule, Budget
from wasupervisor.model.remedies import OrderKind, Outcome, RemedyKind
from wasupervisor.model.sessions import Condition, Reason, State

RESTART, START = RemedyKind.RESTART_SESSION, RemedyKind.START_SESSION
HOUR, DAY = 3600.0, 86400.0
GENEROUS = replace(CALM, budget=Budget(per_session_per_hour=1000, sessions_per_hour=1000))


def failing(**rest: object) -> Stage:
    """One session FAILED beside one that works."""
    stage = Stage(**rest).healthy("a", "b")  # type: ignore[arg-type]
    stage.change(failed())
    return stage


def stuck(**rest: object) -> Stage:
    """One session STARTING for ever beside one that works: an unexplained failure would be diagnosed."""
    stage = Stage(**rest).healthy("a", "b")  # type: ignore[arg-type]
    stage.change(starting())
    return stage


# The diagnosing restart


def test_an_unexplained_failure_gets_just_one_restart() -> None:
    stage = failing()
    stage.run(4 * HOUR)
    assert stage.made == [(RESTART, "a")]
    assert stage.health().condition is Condition.FATAL
    assert stage.health().reason is Reason.LOGGED_OUT
    assert stage.health().needs_qr
    assert "Link the phone again" in stage.health().advice
    assert stage.whole.breakers.held == 1
    for _ in range(5):
        stage.restart_supervisor(away=HOUR)
        stage.run(600)
    assert stage.made == [(RESTART, "a")]
    assert stage.whole.breakers.held == 1


def test_recover_allows_one_more_diagnosis() -> None:
    stage = failing()
    stage.run(600)
    reply = stage.order(OrderKind.RECOVER)
    assert reply.action == "a2"
    stage.run(HOUR)
    assert stage.made == [(RESTART, "a")] * 2
    assert stage.health().condition is Condition.FATAL


def test_a_failure_that_the_restart_heals_is_no_diagnosis() -> None:
    stage = failing()
    stage.run_until_remedy()
    stage.change(working())
    stage.run(60)
    assert stage.health().condition is Condition.HEALTHY
    assert stage.told(EntryKind.VERIFIED) == ["healed: working for 30 s after restart_session"]
    stage.change(failed())
    stage.run_until_remedy()
    assert stage.made == [(RESTART, "a")] * 2


def test_a_restart_that_the_gateway_refuses_tells_nothing_of_the_account() -> None:
    """WAHA with GOWS answers 500 while its Go process is dead: nobody is to be told to link the phone again."""
    stage = failing(answers=Outcome.REFUSED)
    stage.run(2 * HOUR)
    assert stage.health().condition is Condition.FAILING
    assert stage.health().reason is Reason.UNEXPLAINED
    assert len(stage.made) > 2  # it goes on, within its budget


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.DROPPED])
def test_a_restart_without_an_answer_is_a_diagnosis_only_if_it_was_seen_to_happen(outcome: Outcome) -> None:
    nothing_moved = failing(answers=outcome)
    nothing_moved.run(60)
    assert nothing_moved.made
    assert nothing_moved.health().reason is Reason.UNEXPLAINED

    moved = failing(answers=outcome)
    moved.run_until_remedy()
    moved.change(starting())
    moved.look()
    moved.change(failed())
    moved.run(60)
    assert moved.health().condition is Condition.FATAL
    assert len(moved.made) == 1


def test_a_restart_while_whatsapp_cannot_be_reached_tells_nothing_of_the_account() -> None:
    stage = Stage().healthy("a")
    stage.change(failed())
    stage.run_until_remedy()
    stage.uplink = UplinkState.DOWN
    stage.run(600)
    assert stage.health().condition is Condition.FAILING
    assert stage.made == [(RESTART, "a")]
    stage.uplink = UplinkState.UP
    stage.run(600)
    assert stage.made == [(RESTART, "a")] * 2
    assert stage.health().condition is Condition.FATAL


# Verification


def test_healed_is_what_was_observed_for_stable_for_after_the_call() -> None:
    stage = failing()
    stage.run_until_remedy()
    stage.change(working())
    stage.run(25)
    assert stage.health().group == "recovering"
    assert stage.told(EntryKind.VERIFIED) == []
    stage.run(15)
    assert stage.told(EntryKind.VERIFIED) == ["healed: working for 30 s after restart_session"]
    assert stage.health().group == "active"


def test_what_worked_before_the_call_ended_does_not_count() -> None:
    stage = failing(answers=None)
    remedy = stage.run_until_remedy()
    stage.change(working())
    stage.run(25)
    stage.pending.append(result_of(remedy, Outcome.ACCEPTED))
    stage.run(30)
    assert stage.told(EntryKind.VERIFIED) == []
    stage.look()
    assert stage.told(EntryKind.VERIFIED) == ["healed: working for 30 s after restart_session"]


def test_a_call_that_returned_200_is_not_yet_a_success() -> None:
    stage = stuck(answers=Outcome.ACCEPTED)
    stage.run_until_remedy()
    stage.run(55)
    assert stage.health().group == "recovering"
    stage.run(20)
    assert "restart_session did not heal it: STARTING 60 s later" in stage.told(EntryKind.VERIFIED)[0]


def test_flapping_does_not_verify_and_is_not_watched_for_ever() -> None:
    stage = failing()
    stage.run_until_remedy()
    for _ in range(3):
        stage.change(working())
        stage.run(20)
        stage.change(starting())
        stage.look()
    assert "healed" not in " ".join(stage.told(EntryKind.VERIFIED))
    assert "it worked 3 times and did not stay so" in stage.told(EntryKind.VERIFIED)[0]
    assert stage.session().attempt is None
    assert stage.session().failures == 1


def test_healing_is_not_verified_over_a_time_in_which_nobody_looked() -> None:
    stage = failing()
    stage.run_until_remedy()
    stage.change(working())
    stage.run(10)
    stage.reachable = False
    stage.run(120)
    stage.reachable = True
    stage.look()
    assert stage.told(EntryKind.VERIFIED) == []
    stage.run(30)
    assert stage.told(EntryKind.VERIFIED) == ["healed: working for 30 s after restart_session"]


def test_a_remedy_that_ends_in_a_qr_code_did_not_heal_and_is_not_repeated() -> None:
    stage = stuck()
    stage.run_until_remedy()
    stage.change(wants_qr())
    stage.run(2 * HOUR)
    assert stage.made == [(RESTART, "a")]
    assert "did not heal it: SCAN_QR_CODE" in stage.told(EntryKind.VERIFIED)[0]
    assert stage.health().condition is Condition.NEEDS_HUMAN


def test_a_remedy_of_a_session_that_is_listed_no_more_does_not_stay_under_way_for_ever() -> None:
    stage = failing()
    stage.run_until_remedy()
    stage.see(working("b"))
    stage.run(600)
    assert stage.session().attempt is None
    assert stage.health().group == "failed"
    assert stage.told(EntryKind.VERIFIED) == [
        "restart_session is not judged: the gateway does not list the session any more"
    ]


def test_an_unknown_status_after_a_remedy_does_not_count_against_the_session_at_once() -> None:
    stage = failing()
    stage.run_until_remedy()
    stage.change(unreadable())
    stage.run(30)
    assert stage.told(EntryKind.VERIFIED) == []


def test_the_end_that_nobody_heard_counts_as_made() -> None:
    stage = failing(answers=None)
    stage.run_until_remedy()
    stage.restart_supervisor()
    stage.run(70)
    assert stage.made == [(RESTART, "a")]
    assert "the end of restart_session was never heard; it counts as made" in stage.told(EntryKind.RESULT)
    assert len(stage.session().made) == 1


def test_a_crash_between_the_books_and_the_call_buys_no_other_attempt() -> None:
    stage = failing(answers=None, policy=replace(CALM, budget=Budget(per_session_per_hour=3)))
    for _ in range(30):
        stage.run(30)
        stage.restart_supervisor(away=85.0)
    assert len(stage.made) == 3


def test_the_end_of_a_call_that_is_heard_while_the_daemon_stops_is_not_lost() -> None:
    stage = failing(answers=None)
    remedy = stage.run_until_remedy()
    heard, entries = hear(stage.memory, [result_of(remedy, Outcome.DROPPED)], stage.now + 3, stage.policy)
    attempt = heard.sessions["a"].attempt
    assert attempt is not None
    assert attempt.outcome is Outcome.DROPPED
    assert heard.gateway.restarts == (stage.now + 3,)
    assert [one.kind for one in entries] == [EntryKind.RESULT]


# What was not made


@pytest.mark.parametrize("outcome", [Outcome.WITHHELD, Outcome.UNREACHABLE])
def test_a_call_that_was_not_made_costs_no_budget(outcome: Outcome) -> None:
    policy = replace(CALM, budget=Budget(per_session_per_hour=2, sessions_per_hour=2))
    stage = failing(answers=outcome, policy=policy)
    stage.run(600)
    assert len(stage.made) > 2
    assert stage.session().made == ()
    assert stage.memory.gateway.made == ()
    assert stage.session().failures == 0
    assert stage.session().unverified == ()
    stage.answers = Outcome.ACCEPTED
    stage.run_until_remedy(120)
    assert stage.told(EntryKind.RESULT) == []


def test_what_the_look_right_before_withholds_is_asked_for_less_and_less_often() -> None:
    stage = failing(answers=Outcome.WITHHELD)
    stage.run(HOUR)
    at = [when for when, _ in stage.remedies]
    waits = [round(later - earlier) for earlier, later in pairwise(at)]
    assert waits[:4] == [10, 15, 25, 45]
    assert set(waits[4:]) == {65}


def test_what_was_not_made_leaves_a_half_open_breaker_as_it_was() -> None:
    stage = stuck(policy=GENEROUS)
    while stage.session().breaker.trips == 0:
        stage.look()
    stage.answers = Outcome.WITHHELD
    stage.run_until_remedy()
    assert stage.session().breaker.state == "half_open"
    stage.look()
    assert stage.session().breaker.state == "open"
    assert stage.session().breaker.trips == 1


def test_evolutions_60_s_are_not_counted_from_a_call_that_was_not_made() -> None:
    stage = Stage(policy=EVOLUTION, store_ok=True, answers=Outcome.WITHHELD).healthy("a", "b")
    stage.change(instance("connecting", State.STARTING, Reason.RECONNECTING))
    stage.run_until_remedy()
    stage.answers = Outcome.ACCEPTED
    stage.run(15)
    assert len(stage.made) == 2


# Back-off and breaker


def test_the_breaker_opens_after_so_many_remedies_in_vain() -> None:
    stage = stuck(policy=GENEROUS)
    stage.run(HOUR)
    opened = stage.told(EntryKind.BREAKER)
    assert opened[0] == "its breaker opens for 66 s (trip 1)"  # 60 s and the jitter of this throw
    before = [one for when, one in stage.remedies if when < stage.journal_time(EntryKind.BREAKER)]
    assert len(before) == 5


def test_backoff_grows_and_has_jitter_on_top() -> None:
    def waits(dice: float) -> list[float]:
        rule = replace(GENEROUS, backoff=Backoff(first=40.0, factor=2.0, max=200.0), breaker=BreakerRule(failures=99))
        stage = stuck(policy=rule, dice=dice)
        stage.run(2 * HOUR)
        ends = [when for when, one in stage.journal if one.outcome == "not_healed"]
        starts = [when for when, _ in stage.remedies][1:]
        return [start - end for end, start in zip(ends, starts, strict=False)]

    small, other = waits(0.0), waits(0.7)
    for least, measured in zip((40, 80, 160, 200, 200), small, strict=False):
        assert least <= measured <= least * 1.25 + 5
    assert small != other


def test_the_breaker_doubles_to_its_cap_and_one_attempt_an_hour_goes_on_for_a_week() -> None:
    stage = stuck(policy=replace(CALM, poll_every=60.0))
    stage.run(7 * DAY)
    last_day = [when for when, _ in stage.remedies if when > stage.now - DAY]
    assert 15 <= len(last_day) <= 24
    gaps = [later - earlier for earlier, later in pairwise(last_day)]
    assert min(gaps) >= HOUR
    assert stage.health().condition is Condition.FAILING
    assert stage.session().breaker.trips > 100
    assert "the breaker is half-open, this one decides" in stage.told(EntryKind.REMEDY)[-1]
    stage.change(working())
    stage.run(600)
    assert stage.health().condition is Condition.HEALTHY
    assert stage.session().breaker.state == "closed"


def test_half_open_is_one_attempt() -> None:
    stage = stuck(policy=GENEROUS)
    while stage.session().breaker.trips == 0:
        stage.look()
    count = len(stage.made)
    stage.run_until_remedy()
    assert stage.session().breaker.state == "half_open"
    while stage.session().breaker.state == "half_open":
        stage.look()
        assert len(stage.made) == count + 1
    assert stage.session().breaker.trips == 2


def test_a_breaker_that_is_open_stays_so_over_a_restart_of_the_supervisor() -> None:
    stage = stuck(policy=GENEROUS)
    while stage.session().breaker.trips < 4:
        stage.look()
    until, count = stage.session().breaker.until, len(stage.made)
    while stage.now < until - 20:
        stage.restart_supervisor()
        stage.run(15)
    assert len(stage.made) == count


def test_a_session_that_stays_healthy_begins_with_a_closed_breaker_and_one_that_falls_soon_does_not() -> None:
    stage = stuck(policy=GENEROUS)
    while stage.session().breaker.trips < 3:
        stage.look()
    stage.change(working())
    stage.run(600)
    assert stage.session().breaker.state == "closed"
    assert stage.session().breaker.trips == 3  # it may fall again soon
    stage.run(HOUR)
    stage.change(starting())
    stage.look()
    assert stage.session().breaker.trips == 0


# Budgets, spacing, concurrency


def test_the_budget_of_a_session_holds_in_every_hour() -> None:
    stage = stuck(policy=replace(CALM, breaker=BreakerRule(failures=1000), backoff=Backoff(first=1.0, max=1.0)))
    stage.run(5 * HOUR)
    at = [when for when, _ in stage.remedies]
    assert len(at) >= 5 * 6 - 1
    assert all(sum(1 for one in at if when <= one < when + HOUR) <= 6 for when in at)
    assert stage.told(EntryKind.WITHHELD, "a")[0].endswith(": its budget of 6 remedies per hour is spent")


def test_the_budget_of_all_sessions_holds_and_is_free_again_after_an_hour() -> None:
    """The first hour's remedies were never taken off the books, so that nothing was ever healed again."""
    policy = replace(CALM, budget=Budget(sessions_per_hour=4), starting_timeout=10.0)
    stage = Stage(policy=policy).healthy("w", *names("s", 8))
    for name in names("s", 8):
        stage.run(300)
        stage.change(starting(name))
    stage.run(5 * HOUR)
    at = [when for when, _ in stage.remedies]
    assert all(sum(1 for one in at if when <= one < when + HOUR) <= 4 for when in at)
    assert max(at) > at[0] + 4 * HOUR
    assert any("the budget of 4 remedies per hour for all sessions is spent" in one for one in stage.withheld)


def test_remedies_keep_their_distance_and_only_one_is_under_way() -> None:
    stage = Stage(policy=replace(CALM, poll_every=1.0), answers=None).healthy("w", *names("s", 3))
    for name in names("s", 3):
        stage.change(failed(name))
        stage.run(130)  # not together, so no incident
        assert len({one.session for _, one in stage.remedies}) <= 1 + int(name[1:])
    assert len(stage.remedies) >= 2
    for _, entry in stage.journal:
        assert entry.kind is not EntryKind.WITHHELD  # waiting for a turn is no withholding


def test_more_than_one_may_be_under_way_when_the_policy_says_so() -> None:
    policy = replace(CALM, poll_every=1.0, budget=Budget(concurrent=2, spacing=3.0))
    stage = Stage(policy=policy, answers=None).healthy("w", "x", "y", "z", "a", "b")
    stage.change(failed("a"), failed("b"))
    stage.run(40)
    first, second = (when for when, _ in stage.remedies)
    assert second - first == 3.0


def test_evolution_gets_60_s_between_two_restarts_of_a_session() -> None:
    policy = replace(EVOLUTION, starting_timeout=5.0, failing_after=1.0, backoff=Backoff(first=1.0, max=1.0))
    stage = Stage(policy=policy, store_ok=True).healthy("a", "b")
    stage.change(instance("connecting", State.STARTING, Reason.RECONNECTING))
    stage.run(600)
    at = [when for when, _ in stage.remedies]
    assert len(at) >= 4
    assert all(later - earlier >= 60 for earlier, later in pairwise(at))


@pytest.mark.parametrize("store_ok", [None, False])
def test_evolution_without_its_database_known_well_gets_nothing(store_ok: bool | None) -> None:
    stage = Stage(policy=EVOLUTION, store_ok=True).healthy("a", "b")
    stage.change(instance("connecting", State.STARTING, Reason.RECONNECTING))
    stage.store_ok = store_ok
    stage.run(HOUR)
    assert stage.made == []


def test_a_budget_of_nothing_withholds_everything() -> None:
    nothing = Budget(per_session_per_hour=0, sessions_per_hour=0, gateway_per_hour=0, gateway_per_day=0, concurrent=0)
    for make in (failed, starting):
        stage = Stage(policy=replace(CALM, budget=nothing)).healthy("a", "b")
        stage.change(make())
        stage.run(300)
        assert stage.made == []


# The rest of the gates


def test_observe_mode_does_nothing_and_says_once_what_it_would() -> None:
    stage = failing(policy=replace(CALM, act=False))
    stage.run(HOUR)
    assert stage.made == []
    assert stage.told(EntryKind.WITHHELD) == ["restart_session is withheld: recovery.mode is observe"]
    assert stage.health().next == "restart_session is withheld: recovery.mode is observe"
    assert "recovery.mode is observe: nothing is repaired." in stage.notes


def test_a_state_that_cannot_be_written_withholds_everything_and_is_told_once() -> None:
    stage = failing(writable=False)
    stage.run(HOUR)
    assert stage.made == []
    assert len(stage.told(EntryKind.WITHHELD)) == 1
    assert stage.status() == "degraded"
    assert "The state cannot be written" in stage.notes
    stage.writable = True
    stage.look()
    assert stage.made == [(RESTART, "a")]


def test_a_state_that_cannot_be_written_degrades_even_when_all_is_well() -> None:
    stage = Stage().healthy()
    stage.writable = False
    assert stage.look().health.status == "degraded"
    stage.writable = True
    assert stage.look().health.status == "healthy"


def test_what_is_withheld_is_told_once_for_each_reason_and_again_when_the_reason_changes() -> None:
    stage = failing(uplink=UplinkState.UNKNOWN)
    stage.run(300)
    stage.writable = False
    stage.run(300)
    stage.writable = True
    stage.run(300)
    texts = stage.told(EntryKind.WITHHELD)
    assert len(texts) == 3
    assert texts[0] == texts[2] != texts[1]


def test_the_grace_after_the_start_of_the_supervisor_withholds() -> None:
    stage = Stage(policy=replace(CALM, startup_grace=120.0))
    stage.see(failed(), working("b"))
    stage.run(115)
    assert stage.made == []
    assert stage.withheld == ["restart_session is withheld, for 105 s: the grace after a start is not over"]
    stage.run(15)
    assert stage.made == [(RESTART, "a")]
    stage.change(starting())
    stage.run(30)
    stage.restart_supervisor(away=3600)
    stage.run(120)
    assert len(stage.made) == 1


def test_a_stopped_session_of_ours_is_started_again_by_start_and_not_by_restart() -> None:
    stage = failing()
    stage.answers = Outcome.TIMED_OUT
    stage.run_until_remedy()
    stage.change(stopped())
    stage.run_until_remedy(120)
    assert stage.made == [(RESTART, "a"), (START, "a")]
    assert stage.health().reason is Reason.STOPPED_BY_REMEDY


# What the journal tells of a call, and what it leads to


@pytest.mark.parametrize(
    ("outcome", "kind", "warn"),
    [
        (Outcome.ACCEPTED, EntryKind.RESULT, False),
        (Outcome.ALREADY, EntryKind.RESULT, False),
        (Outcome.REFUSED, EntryKind.RESULT, True),
        (Outcome.TIMED_OUT, EntryKind.RESULT, True),
        (Outcome.DROPPED, EntryKind.RESULT, True),
        (Outcome.UNREACHABLE, EntryKind.WITHHELD, True),
        (Outcome.WITHHELD, EntryKind.WITHHELD, True),
        (None, EntryKind.RESULT, True),
    ],
)
def test_the_journal_tells_whose_call_ended_how_and_what_it_was_for(
    outcome: Outcome | None, kind: EntryKind, warn: bool
) -> None:
    stage = failing(answers=outcome)
    stage.run_until_remedy()
    stage.journal.clear()
    stage.run(70 if outcome is None else 5)
    entry = next(one for _, one in stage.journal if one.kind in (EntryKind.RESULT, EntryKind.WITHHELD))
    assert entry.text
    assert (entry.kind, entry.session, entry.reason, entry.remedy) == (kind, "a", Reason.UNEXPLAINED, RESTART)
    assert (entry.outcome, entry.warn) == (outcome or Outcome.TIMED_OUT, warn)


def test_a_verdict_in_vain_tells_when_the_next_remedy_may_come() -> None:
    stage = stuck(policy=GENEROUS)
    stage.run(HOUR)
    verdicts = stage.told(EntryKind.VERIFIED)
    assert verdicts[0].endswith("; the next one not before 6 s")
    assert verdicts[4].endswith("; the breaker is open for 66 s after 5 remedies in vain")
    diagnosed = failing()
    diagnosed.run(600)
    assert diagnosed.told(EntryKind.VERIFIED) == ["restart_session did not heal it: FAILED 10 s later"]


def test_a_restart_of_what_was_stuck_is_no_diagnosis_of_the_failure_that_follows() -> None:
    stage = stuck()
    stage.run_until_remedy()
    stage.change(failed())
    stage.run(300)
    assert stage.made == [(RESTART, "a")] * 2  # the second is its own, and tells that it is unlinked
    assert stage.health().condition is Condition.FATAL


def test_a_restart_that_ended_in_starting_for_ever_is_no_diagnosis_of_the_failure_that_follows() -> None:
    stage = failing()
    stage.run_until_remedy()
    stage.change(starting())
    while stage.session().attempt is not None:
        stage.look()
    assert not stage.session().diagnosed
    stage.change(failed())
    stage.run_until_remedy()
    assert stage.health().reason is Reason.UNEXPLAINED


def test_what_works_before_the_end_of_the_call_is_heard_and_fails_again_is_no_diagnosis() -> None:
    stage = failing(answers=None)
    remedy = stage.run_until_remedy()
    falls = []
    for seen in (working(), failed()):
        stage.change(seen)
        stage.look()
        attempt = stage.session().attempt
        assert attempt is not None
        falls.append(attempt.falls)
    assert falls == [0, 1]
    stage.pending.append(result_of(remedy, Outcome.ACCEPTED))
    stage.run(30)
    assert len(stage.told(EntryKind.VERIFIED)) == 1
    assert stage.health().condition is not Condition.FATAL
    assert stage.health().reason is Reason.UNEXPLAINED


def test_after_a_call_that_was_made_the_wait_for_one_that_is_not_begins_anew() -> None:
    stage = stuck(policy=GENEROUS, answers=Outcome.WITHHELD)
    stage.run(200)
    assert stage.session().unmade > 2
    stage.answers = Outcome.ACCEPTED
    stage.run_until_remedy()
    stage.look()
    assert stage.session().unmade == 0


def test_a_stop_after_a_start_that_was_seen_with_the_end_of_the_call_is_the_operators() -> None:
    stage = failing(answers=Outcome.TIMED_OUT)
    stage.run_until_remedy()
    stage.change(starting())
    stage.look()
    stage.change(stopped())
    stage.run(HOUR)
    assert stage.made == [(RESTART, "a")]
    assert stage.told(EntryKind.VERIFIED) == ["restart_session is not judged: it was stopped meanwhile"]
    assert stage.health().condition is Condition.STOPPED
