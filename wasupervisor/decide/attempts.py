"""What became of a remedy: only a session that is observed healthy, and stays so, was healed by it."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.memory import Attempt, Breaker, BreakerState, SessionMemory
from wasupervisor.decide.scene import OPERATOR_STOP_AFTER, Scene
from wasupervisor.decide.words import span
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.remedies import Outcome, Result
from wasupervisor.model.sessions import Reason, State

HEARD_NOTHING_AFTER = 30.0
"""Seconds beyond `action_timeout` after which a call whose end nobody heard counts as made."""

SETTLED_FAILURE = 5.0
"""Seconds after a call from which on a FAILED counts as its result."""

JITTER = 0.25
"""Share of a wait that is added at random, so that many sessions do not act in step."""


def take_result(memory: SessionMemory, result: Result, scene: Scene) -> tuple[SessionMemory, Entry | None]:
    """Take the end of a call into the memory. A call that was certainly not made costs nothing but the first wait."""
    attempt = memory.attempt
    if attempt is None or attempt.id != result.remedy_id or attempt.outcome is not None:
        return memory, None
    entry = Entry(
        kind=EntryKind.RESULT if result.outcome.was_made else EntryKind.WITHHELD,
        text=_result_text(result),
        session=result.session,
        reason=attempt.cause,
        remedy=result.kind,
        outcome=result.outcome,
        warn=result.outcome not in (Outcome.ACCEPTED, Outcome.ALREADY),
    )
    if result.outcome.was_made:
        return replace(memory, attempt=replace(attempt, outcome=result.outcome, ended=scene.now)), entry
    breaker = memory.breaker
    if breaker.state is BreakerState.HALF_OPEN:
        breaker = replace(breaker, state=BreakerState.OPEN, until=scene.now + scene.policy.backoff.first)
    refunded = replace(
        memory,
        attempt=None,
        made=tuple(at for at in memory.made if at != attempt.at),
        not_before=scene.now + scene.policy.backoff.first,
        breaker=breaker,
    )
    return refunded, entry


def verify(name: str, memory: SessionMemory, scene: Scene, roll: float) -> tuple[SessionMemory, Entry | None]:
    """Look whether the remedy under way has healed, has failed, or is not yet to be judged."""
    attempt = memory.attempt
    if attempt is None:
        return memory, None
    if attempt.outcome is None:
        return _unheard(name, memory, attempt, scene)
    if attempt.ended == scene.now:
        return memory, None  # this look may have begun before the call ended
    if memory.state is State.WORKING:
        return _while_working(name, memory, attempt, scene)
    if memory.state is State.STOPPED:
        return _while_stopped(name, memory, attempt, scene, roll)
    if not attempt.left_stop:
        attempt = replace(attempt, left_stop=True)
    if memory.state in (State.FAILED, State.NEEDS_HUMAN):
        attempt = replace(attempt, bad_samples=attempt.bad_samples + 1)
        if attempt.bad_samples >= 2 and scene.now - attempt.ended >= SETTLED_FAILURE:
            return failed(name, memory, attempt, scene, roll)
    elif _is_overdue(memory, attempt, scene):
        return failed(name, memory, attempt, scene, roll)
    return replace(memory, attempt=attempt), None


def failed(
    name: str, memory: SessionMemory, attempt: Attempt, scene: Scene, roll: float
) -> tuple[SessionMemory, Entry | None]:
    """Book a remedy that did not heal: back-off, and the breaker where there were too many."""
    policy, now = scene.policy, scene.now
    unverified = (*(at for at in memory.unverified if now - at < policy.breaker.within), now)
    failures = memory.failures + 1
    wait = backoff(failures, scene, roll)
    breaker = _after_failure(memory.breaker, len(unverified), scene, roll)
    diagnosed = attempt.cause is Reason.UNEXPLAINED and memory.state is State.FAILED
    text = f"{attempt.kind} did not heal it: {memory.claim or memory.state} {span(now - attempt.ended)} later"
    if breaker.state is BreakerState.OPEN:
        text += f"; the breaker is open for {span(breaker.until - now)} after {len(unverified)} remedies in vain"
    elif not diagnosed:
        text += f"; the next one not before {span(wait)}"
    return replace(
        memory,
        attempt=None,
        unverified=unverified,
        failures=failures,
        not_before=now + wait,
        breaker=breaker,
        diagnosed=memory.diagnosed or diagnosed,
        withheld="",
    ), Entry(
        kind=EntryKind.VERIFIED,
        text=text,
        session=name,
        reason=attempt.cause,
        remedy=attempt.kind,
        outcome="not_healed",
        warn=True,
    )


def backoff(failures: int, scene: Scene, roll: float) -> float:
    """Seconds until the next remedy after so many in vain, with jitter on top."""
    rule = scene.policy.backoff
    wait = min(rule.max, rule.first * rule.factor ** min(failures - 1, 60))
    return wait * (1 + JITTER * roll)


def _after_failure(breaker: Breaker, in_vain: int, scene: Scene, roll: float) -> Breaker:
    rule = scene.policy.breaker
    if breaker.state is not BreakerState.HALF_OPEN and in_vain < rule.failures:
        return breaker
    trips = breaker.trips + 1
    open_for = min(rule.open_max, rule.open_for * 2.0 ** min(trips - 1, 60))
    return Breaker(state=BreakerState.OPEN, until=scene.now + open_for * (1 + JITTER * roll), trips=trips)


def _unheard(name: str, memory: SessionMemory, attempt: Attempt, scene: Scene) -> tuple[SessionMemory, Entry | None]:
    """After a crash of the supervisor nobody hears the end of the call: it counts as made."""
    if scene.now - attempt.at < scene.policy.action_timeout + HEARD_NOTHING_AFTER:
        return memory, None
    ended = replace(attempt, outcome=Outcome.TIMED_OUT, ended=scene.now)
    return replace(memory, attempt=ended), Entry(
        kind=EntryKind.RESULT,
        text=f"the end of {attempt.kind} was never heard; it counts as made",
        session=name,
        reason=attempt.cause,
        remedy=attempt.kind,
        outcome=Outcome.TIMED_OUT,
        warn=True,
    )


def _while_working(
    name: str, memory: SessionMemory, attempt: Attempt, scene: Scene
) -> tuple[SessionMemory, Entry | None]:
    since = max(attempt.ended, scene.now if memory.working_since is None else memory.working_since)
    if scene.now - since < scene.policy.stable_for:
        return memory if attempt.left_stop else replace(memory, attempt=replace(attempt, left_stop=True)), None
    return replace(memory, attempt=None, failures=0, not_before=0.0, unverified=()), Entry(
        kind=EntryKind.VERIFIED,
        text=f"healed: working for {span(scene.policy.stable_for)} after {attempt.kind}",
        session=name,
        reason=attempt.cause,
        remedy=attempt.kind,
        outcome="healed",
    )


def _while_stopped(
    name: str, memory: SessionMemory, attempt: Attempt, scene: Scene, roll: float
) -> tuple[SessionMemory, Entry | None]:
    if scene.now - max(memory.since, attempt.ended) < OPERATOR_STOP_AFTER:
        return memory, None
    if not attempt.left_stop:
        stuck, entry = failed(name, memory, attempt, scene, roll)
        return replace(stuck, cause=Reason.STOPPED_BY_REMEDY), entry
    return replace(memory, attempt=None), Entry(
        kind=EntryKind.VERIFIED,
        text=f"{attempt.kind} is not judged: somebody stopped the session meanwhile",
        session=name,
        reason=attempt.cause,
        remedy=attempt.kind,
        outcome="stopped",
    )


def _is_overdue(memory: SessionMemory, attempt: Attempt, scene: Scene) -> bool:
    if memory.patience_from is None:
        return False
    return scene.now - max(attempt.ended, memory.patience_from) >= scene.policy.starting_timeout


def _result_text(result: Result) -> str:
    told = {
        Outcome.ACCEPTED: "the gateway accepted {kind}; now it is observed whether it helps",
        Outcome.ALREADY: "the gateway says that there is nothing to do for {kind}",
        Outcome.REFUSED: "the gateway refused {kind}",
        Outcome.TIMED_OUT: "{kind} was not answered in time; it may still be carried out and counts as made",
        Outcome.DROPPED: "{kind} ended in a broken connection; it counts as a restart of the gateway",
        Outcome.UNREACHABLE: "{kind} was not made: nobody listens on the gateway's port",
        Outcome.WITHHELD: "{kind} was withheld by the look right before it",
    }[result.outcome].format(kind=result.kind)
    return f"{told}: {result.detail}" if result.detail else told
