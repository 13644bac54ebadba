"""Probes: when a session is asked, what its answers mean, and that none is asked more often than it should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from decide_scenes import CALM, EVOLUTION, Stage, failed, instance, names, starting, working
from msgspec.structs import replace

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.memory import Attempt, ProbeMemory, SessionMemory
from wasupervisor.decide.probing import AFTER_MISS, DEAD_EVERY, DOUBTED_FOR, is_false_working, proves_healed
from wasupervisor.decide.scene import Scene
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import Observation, ProbeResult, Proof, UplinkState
from wasupervisor.model.policy import Policy, ProbeRule
from wasupervisor.model.remedies import OrderKind, Outcome, RemedyKind
from wasupervisor.model.sessions import Condition, Reason, State

PROBING = replace(CALM, probe=ProbeRule(every=300.0, misses=3))
WATCHING = replace(PROBING, act=False)
FALSE_OPEN = replace(EVOLUTION, probe=ProbeRule(every=300.0, misses=3))


@dataclass
class Probes(Stage):
    """A stage whose gateway answers probes, with the look after the one that began them."""

    policy: Policy = WATCHING
    proofs: dict[str, Proof | None] = field(default_factory=dict)
    """None: the answer is never heard. Who is not in here answers."""
    asked: list[tuple[float, str]] = field(default_factory=list)
    answers_to: list[ProbeResult] = field(default_factory=list)
    latency: float = 0.01
    redis_ok: bool | None = None

    def _observation(self) -> Observation:
        seen = super()._observation()
        probes, self.answers_to = tuple(self.answers_to), []
        look = replace(seen.look, latency_seconds=self.latency)
        return replace(seen, look=look, probes=probes, redis_ok=self.redis_ok)

    def look_now(self) -> Decision:
        decision = super().look_now()
        for name in decision.probes:
            self.asked.append((self.now, name))
            proof = self.proofs.get(name, Proof.ANSWERED)
            if proof is not None:
                self.answers_to.append(ProbeResult(name, proof, "so it was"))
        return decision

    def watch(self, seconds: float) -> Probes:
        """Look for so long."""
        self.run(seconds)
        return self

    def probe(self, name: str = "a") -> ProbeMemory:
        """What is remembered of its probes."""
        probe = self.session(name).probe
        assert probe is not None
        return probe

    def times(self, name: str = "a") -> list[float]:
        """When a session was asked."""
        return [at for at, one in self.asked if one == name]

    def gaps(self, name: str = "a") -> list[float]:
        return [later - before for before, later in pairwise(self.times(name))]

    def until_asked(self, name: str = "a", limit: float = 1000.0) -> float:
        """Look until it is asked once more. Returns the seconds that took."""
        begun, before = self.now, len(self.times(name))
        while len(self.times(name)) == before:
            assert self.now - begun < limit
            self.look()
        return self.now - begun

    def said(self, name: str = "a") -> list[str]:
        return self.told(EntryKind.PROBE, name)


def probed(*sessions: str, policy: Policy = WATCHING) -> Probes:
    stage = Probes(policy=policy)
    stage.healthy(*sessions)
    return stage


def dead(policy: Policy = WATCHING) -> Probes:
    """A session that is dead by probe."""
    stage = probed("a", "b", policy=policy)
    stage.proofs["a"] = Proof.MISSED
    while not is_false_working(stage.session(), policy):
        assert stage.now < 5000.0
        stage.look()
    return stage


# When


def test_without_the_setting_nobody_is_probed() -> None:
    stage = probed("a", policy=CALM).watch(2000.0)
    stage.answers_to.append(ProbeResult("a", Proof.MISSED))
    stage.look()
    assert stage.asked == []
    assert stage.session().probe is None
    assert not is_false_working(stage.session(), stage.policy)


def test_each_session_is_asked_once_in_each_while_at_its_own_moment() -> None:
    stage = probed(*names("s", 5)).watch(3000.0)
    for name in names("s", 5):
        assert len(stage.times(name)) in (9, 10)
        assert all(abs(gap - 300.0) <= 10.0 for gap in stage.gaps(name))
    assert len({round(at % 300.0) for at, _ in stage.asked[-5:]}) == 5


def test_no_more_than_one_is_asked_in_a_turn_and_those_who_are_many_get_their_turn_all_the_same() -> None:
    few = probed(*names("s", 29)).watch(1500.0)
    assert max([at for at, _ in few.asked].count(at) for at, _ in few.asked) == 1
    assert all(len(few.times(name)) >= 4 for name in names("s", 29))
    many = probed(*names("s", 99)).watch(1500.0)
    assert max([at for at, _ in many.asked].count(at) for at, _ in many.asked) <= 4
    assert all(len(many.times(name)) >= 4 for name in names("s", 99))


def test_a_restart_of_the_supervisor_makes_no_burst() -> None:
    stage = probed(*names("s", 10)).watch(900.0)
    stage.asked.clear()
    stage.restart_supervisor(away=3600.0)
    stage.run(150.0)
    assert 3 <= len(stage.asked) <= 10  # 15 s apart at the closest
    stage.run(300.0)
    assert {name for _, name in stage.asked} == set(names("s", 10))


def test_probing_that_is_switched_on_makes_no_burst_either() -> None:
    stage = probed(*names("s", 10), policy=CALM)
    stage.run(1000.0)
    stage.policy = WATCHING
    stage.run(75.0)
    assert 1 <= len(stage.asked) <= 6


@pytest.mark.parametrize("what", ["paused", "grace", "slow", "silent", "uplink", "store", "redis", "not working"])
def test_nobody_is_probed_while_it_would_tell_nothing_or_is_not_wanted(what: str) -> None:
    stage = probed("a")
    if what == "paused":
        stage.order(OrderKind.PAUSE, None)
    elif what == "grace":
        stage.policy = replace(WATCHING, startup_grace=1000.0)
        stage.restart_supervisor()
    elif what == "slow":
        stage.latency = 2.5
    elif what == "silent":
        stage.reachable = False
    elif what == "uplink":
        stage.uplink = UplinkState.DOWN
    elif what == "store":
        stage.store_ok = False
    elif what == "redis":
        stage.redis_ok = False
    else:
        stage.see(failed("a"))
    stage.run(900.0)
    assert stage.asked == []


def test_a_session_that_just_came_to_work_is_asked_at_its_next_moment_only() -> None:
    stage = probed("a").watch(600.0)
    stage.see(starting("a"))
    stage.run(20.0)
    stage.see(working("a"))
    stage.asked.clear()
    assert stage.until_asked() > 5.0


# What answers mean


def test_who_answers_is_no_news() -> None:
    stage = probed("a").watch(1000.0)
    assert stage.said() == []
    assert stage.session().probe == ProbeMemory(asked_at=stage.times()[-1], answered_at=stage.times()[-1] + 5.0)


def test_misses_in_a_row_prove_a_session_dead_and_the_next_follow_soon() -> None:
    stage = probed("a", "b")
    stage.proofs["a"] = Proof.MISSED
    stage.until_asked()
    stage.run(100.0)
    assert len(stage.times()) == 3
    assert stage.gaps() == [AFTER_MISS + 5.0] * 2  # counted from when the miss was heard
    assert stage.said() == [
        "it missed a probe: so it was; 3 in a row count, the next one follows in 30 s",
        "it missed 3 probes in a row: so it was; the gateway says that it works, and it does not",
    ]
    assert (stage.health().condition, stage.health().reason) == (Condition.FAILING, Reason.FALSE_WORKING)
    assert stage.health("b").condition is Condition.HEALTHY


def test_where_one_miss_counts_it_is_told_once() -> None:
    stage = probed("a", policy=replace(WATCHING, probe=ProbeRule(every=300.0, misses=1)))
    stage.proofs["a"] = Proof.MISSED
    stage.until_asked()
    stage.look()
    assert stage.said() == ["it missed 1 probe: so it was; the gateway says that it works, and it does not"]


def test_on_evolution_two_refusals_half_a_minute_apart_are_enough() -> None:
    stage = Probes(policy=replace(FALSE_OPEN, act=False), store_ok=True)
    stage.see(instance("open", State.WORKING))
    stage.run(60.0)
    stage.proofs["a"] = Proof.MISSED
    stage.until_asked()
    stage.run(50.0)
    assert stage.gaps() == [AFTER_MISS + 5.0]
    assert stage.health().reason is Reason.FALSE_WORKING


def test_an_answer_ends_the_count_and_is_told() -> None:
    stage = probed("a")
    stage.proofs["a"] = Proof.MISSED
    stage.until_asked()
    stage.look()
    stage.proofs["a"] = Proof.ANSWERED
    stage.run(100.0)
    assert stage.said()[1:] == ["it answers a probe again, 1 was missed in a row before"]
    assert stage.probe().misses == 0
    assert len(stage.times()) == 2  # no longer doubted
    assert stage.health().condition is Condition.HEALTHY


def test_a_dead_session_that_answers_again_is_well() -> None:
    stage = dead()
    stage.proofs["a"] = Proof.ANSWERED
    stage.until_asked()
    stage.run(100.0)
    assert stage.said()[-1] == "it answers a probe again, 3 were missed in a row before"
    assert stage.health().condition is Condition.HEALTHY


def test_a_dead_session_is_asked_on_however_rare_probes_are() -> None:
    stage = dead(replace(WATCHING, probe=ProbeRule(every=1500.0, misses=3)))
    stage.asked.clear()
    stage.run(3 * DEAD_EVERY)
    assert len(stage.times()) >= 2
    assert len(stage.said()) == 2  # and it is told no more


def test_however_often_probes_are_made_a_missed_one_is_followed_after_half_a_minute_only() -> None:
    stage = dead(replace(WATCHING, probe=ProbeRule(every=10.0, misses=3)))
    stage.asked.clear()
    stage.run(300.0)
    assert min(stage.gaps()) >= AFTER_MISS
    assert min(stage.gaps("b")) <= 15.0


def test_one_that_comes_back_after_misses_is_asked_soon_but_not_while_it_still_connects() -> None:
    stage = probed("a", "b", policy=replace(WATCHING, poll_every=1.0))
    stage.proofs["a"] = Proof.MISSED
    stage.until_asked()
    stage.look()
    stage.change(starting("a"))
    stage.look()
    stage.change(working("a"))
    stage.look()
    assert stage.until_asked() == 5.0


def test_a_probe_that_tells_nothing_changes_nothing() -> None:
    stage = probed("a")
    stage.proofs["a"] = Proof.UNKNOWN
    stage.run(2000.0)
    assert all(abs(gap - 300.0) <= 10.0 for gap in stage.gaps())
    assert stage.session().probe == ProbeMemory(asked_at=stage.times()[-1])
    assert stage.said() == []


def test_one_that_tells_nothing_after_a_miss_is_asked_each_half_minute_and_not_for_ever() -> None:
    stage = probed("a")
    stage.proofs["a"] = Proof.MISSED
    stage.until_asked()
    stage.look()
    stage.proofs["a"] = Proof.UNKNOWN
    stage.run(DOUBTED_FOR)
    assert stage.gaps()[1:10] == [AFTER_MISS] * 9
    stage.asked.clear()
    stage.run(1500.0)
    assert 4 <= len(stage.asked) <= 6


@pytest.mark.parametrize("what", ["slow", "silent", "uplink"])
def test_a_miss_does_not_count_while_the_whole_gateway_is_not_well(what: str) -> None:
    stage = probed("a")
    stage.proofs["a"] = Proof.MISSED
    stage.until_asked()
    stage.latency = 5.0 if what == "slow" else 0.01
    stage.reachable = what != "silent"
    stage.uplink = UplinkState.DOWN if what == "uplink" else UplinkState.UP
    stage.look()
    assert stage.session().probe == ProbeMemory(asked_at=stage.times()[-1])


def test_results_of_nobody_or_of_what_was_never_asked_are_left() -> None:
    stage = probed("a")
    stage.answers_to += [ProbeResult("nobody", Proof.MISSED), ProbeResult("a", Proof.MISSED)]
    stage.look()
    assert stage.session().probe is None


@pytest.mark.parametrize("how", ["fell", "process", "falls now"])
def test_what_ends_a_false_working_ends_the_count(how: str) -> None:
    stage = probed("a", "b")
    stage.proofs["a"] = Proof.MISSED
    stage.until_asked()
    stage.look()
    if how == "fell":
        stage.change(starting("a"))
        stage.look()
        stage.change(working("a"))
    elif how == "process":
        stage.process = "P2"
    else:
        stage.until_asked()
        stage.change(starting("a"))
    stage.look()
    stage.look()
    assert stage.probe().misses == 0
    assert stage.probe().missed_at is not None


def test_an_answer_to_what_was_asked_before_it_fell_tells_nothing() -> None:
    stage = probed("a", "b")
    stage.proofs["a"] = None
    stage.until_asked()
    stage.change(starting("a"))
    stage.look()
    stage.change(working("a"))
    stage.look()
    stage.answers_to.append(ProbeResult("a", Proof.MISSED))
    stage.look()
    assert stage.session().probe == ProbeMemory(asked_at=stage.times()[-1])


def test_the_uplink_is_asked_after_the_first_miss() -> None:
    stage = probed("a", "b")
    assert not stage.look().ask_uplink
    stage.proofs["a"] = Proof.MISSED
    stage.until_asked()
    assert stage.look().ask_uplink
    assert stage.health().condition is Condition.HEALTHY


# Remedies


def test_a_remedy_for_a_false_working_has_healed_only_when_a_probe_is_answered() -> None:
    stage = restarted()
    stage.proofs["a"] = Proof.ANSWERED
    asked = len(stage.times())
    stage.run(25.0)
    assert stage.told(EntryKind.VERIFIED) == []
    assert len(stage.times()) == asked + 1  # at once, and not at its moment
    stage.run(20.0)
    assert stage.told(EntryKind.VERIFIED, "a") == ["healed: working for 30 s after restart_session"]


def test_a_remedy_after_which_probes_are_missed_has_not_healed() -> None:
    stage = restarted()
    stage.run(20.0)
    assert stage.probe().misses <= 1  # those from before do not count
    stage.run(90.0)
    (text,) = stage.told(EntryKind.VERIFIED, "a")
    assert text.startswith("restart_session did not heal it")


def test_no_probe_runs_into_a_call_and_no_answer_from_before_it_counts() -> None:
    stage = restarted()
    stage.pending.clear()
    begun = stage.now
    misses = stage.session().probe
    stage.answers_to.append(ProbeResult("a", Proof.ANSWERED))
    stage.run(20.0)
    assert stage.session().probe == misses  # a call that is not made after all leaves it dead
    assert [at for at in stage.times() if at > begun] == []


# Helpers


def restarted() -> Probes:
    """A dead session whose restart was just decided."""
    stage = dead(PROBING)
    if not stage.remedies:
        stage.run_until_remedy()
    assert stage.made == [(RemedyKind.RESTART_SESSION, "a")]
    return stage


def scene(policy: Policy = PROBING, now: float = 1000.0) -> Scene:
    return Scene(
        now=now,
        policy=policy,
        run=0,
        run_known=True,
        gap=False,
        uplink=UplinkState.UP,
        store_ok=None,
        working=frozenset({"a"}),
    )


def remedied(probe: ProbeMemory | None, working_since: float | None = 905.0) -> tuple[SessionMemory, Attempt]:
    attempt = Attempt(
        "a1", RemedyKind.RESTART_SESSION, 895.0, Reason.FALSE_WORKING, outcome=Outcome.ACCEPTED, ended=900.0
    )
    memory = SessionMemory(
        first_seen=0.0, state=State.WORKING, since=0.0, working_since=working_since, attempt=attempt, probe=probe
    )
    return memory, attempt


@pytest.mark.parametrize(
    ("probe", "proven"),
    [
        (None, None),
        (ProbeMemory(asked_at=800.0, answered_at=805.0), None),
        (ProbeMemory(asked_at=910.0, answered_at=911.0), True),
        (ProbeMemory(asked_at=980.0, missed_at=985.0, misses=3), False),
        (ProbeMemory(asked_at=980.0, missed_at=985.0, misses=2), None),
    ],
)
def test_what_proves_a_remedy(probe: ProbeMemory | None, proven: bool | None) -> None:
    memory, attempt = remedied(probe)
    assert proves_healed(memory, attempt, scene()) is proven


def test_where_no_proof_can_be_had_what_is_seen_has_to_do() -> None:
    memory, attempt = remedied(None)
    assert proves_healed(memory, attempt, scene(CALM)) is True
    assert proves_healed(memory, attempt, scene(now=905.0 + DOUBTED_FOR)) is True
    memory, attempt = remedied(None, working_since=None)
    assert proves_healed(memory, attempt, scene(now=905.0 + DOUBTED_FOR)) is None


def test_probes_that_are_switched_off_leave_nothing_behind() -> None:
    stage = dead()
    stage.policy = replace(stage.policy, probe=None)
    stage.run(60.0)
    assert stage.health().condition is Condition.HEALTHY


@pytest.mark.parametrize("what", ["slow", "uplink"])
def test_an_answer_counts_also_while_the_whole_gateway_is_not_well(what: str) -> None:
    stage = dead()
    stage.proofs["a"] = Proof.ANSWERED
    stage.until_asked()
    stage.latency = 5.0 if what == "slow" else 0.01
    stage.uplink = UplinkState.DOWN if what == "uplink" else UplinkState.UP
    stage.look()
    assert stage.probe().misses == 0
    assert stage.probe().answered_at == stage.now


def test_a_miss_of_a_session_that_is_not_listed_any_more_does_not_count() -> None:
    stage = probed("a", "b")
    stage.proofs["a"] = Proof.MISSED
    stage.until_asked()
    stage.see(working("b"))
    stage.look()
    assert stage.probe().misses == 0
    assert stage.said() == []
