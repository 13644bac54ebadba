"""What became of a remedy: only a session that is observed healthy, and stays so, was healed by it."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.conditions import absence_is_judged
from wasupervisor.decide.memory import Attempt, Breaker, BreakerState, SessionMemory
from wasupervisor.decide.probing import proves_healed
from wasupervisor.decide.scene import OPERATOR_STOP_AFTER, Scene
from wasupervisor.decide.words import span
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Outcome, RemedyKind, Result
from wasupervisor.model.sessions import Reason, State

HEARD_NOTHING_AFTER = 30.0
"""Seconds beyond `action_timeout` after which a call whose end nobody heard counts as made."""

SETTLED_FAILURE = 5.0
"""Seconds after a call from which on a FAILED counts as its result."""

FALLS = 3
"""A session that works after a call and falls again so often was not healed by it."""

UNMADE_WAIT = 60.0
"""Seconds: the longest wait after calls that the look right before them withheld."""

JITTER = 0.25
"""Share of a wait that is added at random, so that many sessions do not act in step."""

Judged = tuple[SessionMemory, Entry | None]


def take_result(memory: SessionMemory, result: Result, now: float, policy: Policy) -> Judged:
    """Take the end of a call into the memory. A call that was certainly not made costs nothing but a wait."""
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
        return _ended(memory, attempt, result.outcome, now), entry
    breaker = memory.breaker
    wait = unmade_wait(memory.unmade, policy)
    if breaker.state is BreakerState.HALF_OPEN:
        breaker = replace(breaker, state=BreakerState.OPEN, until=now + wait)
    refunded = replace(
        memory,
        attempt=None,
        parked=memory.parked and attempt.kind is not RemedyKind.PARK_SESSION,
        made=tuple(at for at in memory.made if at != attempt.at),
        unmade=memory.unmade + 1,
        not_before=now + wait,
        breaker=breaker,
    )
    return refunded, entry


def verify(name: str, memory: SessionMemory, scene: Scene, roll: float) -> Judged:
    """Look whether the remedy under way has healed, has failed, or is not yet to be judged."""
    attempt = memory.attempt
    if attempt is None:
        return memory, None
    if attempt.outcome is None:
        return _unheard(name, memory, attempt, scene)
    if _is_superseded(attempt, scene):
        return _unjudged(name, memory, attempt, scene, "the gateway process was restarted meanwhile", "superseded")
    if attempt.kind is RemedyKind.PARK_SESSION:
        return _after_park(name, memory, attempt, scene, roll)
    if attempt.ended == scene.now:
        return _just_ended(memory, attempt, scene), None
    return _by_state(name, memory, attempt, scene, roll)


def _just_ended(memory: SessionMemory, attempt: Attempt, scene: Scene) -> SessionMemory:
    """This look may have begun before the call ended; but a state that is new in it came after our stop."""
    if attempt.left_stop or memory.state is State.STOPPED or memory.since != scene.now:
        return memory
    return replace(memory, attempt=replace(attempt, left_stop=True))


def _by_state(name: str, memory: SessionMemory, attempt: Attempt, scene: Scene, roll: float) -> Judged:
    if memory.absent_since is not None:
        return _while_absent(name, memory, attempt, scene)
    if memory.state is State.WORKING:
        return _while_working(name, memory, attempt, scene, roll)
    if attempt.up:
        attempt = replace(attempt, up=False, falls=attempt.falls + 1)
    if memory.state is State.STOPPED:
        return _while_stopped(name, memory, attempt, scene, roll)
    return _while_bad(name, memory, attempt, scene, roll)


def failed(name: str, memory: SessionMemory, attempt: Attempt, scene: Scene, roll: float) -> Judged:
    """Book a remedy that did not heal: back-off, and the breaker where there were too many."""
    policy, now = scene.policy, scene.now
    unverified = (*(at for at in memory.unverified if now - at < policy.breaker.within), now)
    failures = memory.failures + 1
    wait = backoff(failures, scene, roll)
    breaker = _after_failure(memory.breaker, len(unverified), scene, roll)
    diagnosed = _is_diagnosis(memory, attempt, scene)
    text = f"{attempt.kind} did not heal it: {memory.claim or memory.state} {span(now - attempt.ended)} later"
    if attempt.falls >= FALLS:
        text = f"{attempt.kind} did not heal it: it worked {attempt.falls} times and did not stay so"
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
    ), _verdict(name, attempt, text, "not_healed", warn=True)


def backoff(failures: int, scene: Scene, roll: float) -> float:
    """Seconds until the next remedy after so many in vain, with jitter on top."""
    rule = scene.policy.backoff
    return grown(rule.first, rule.factor, failures - 1, rule.max) * (1 + JITTER * roll)


def unmade_wait(times: int, policy: Policy) -> float:
    """Seconds until a remedy is asked for again whose call was not made, for the so many and first time."""
    first = policy.backoff.first
    return grown(first, 2.0, times, max(first, UNMADE_WAIT))


def grown(first: float, factor: float, times: int, most: float) -> float:
    """A wait that grew so many times by a factor, up to the most."""
    wait = first
    for _ in range(min(times, 64)):
        if wait >= most:
            break
        wait *= factor
    return min(wait, most)


def _is_diagnosis(memory: SessionMemory, attempt: Attempt, scene: Scene) -> bool:
    """Whether the session was really restarted with all that it needs and failed again: then it is unlinked.

    A restart that was refused, or whose end nobody heard (it may never have been made), or that WhatsApp could not be
    reached for, tells nothing; nor does one after which it worked for a while, or the gateway process was another one.
    """
    heard = attempt.ended - attempt.at < _heard_nothing_after(scene.policy)
    restarted = attempt.outcome is Outcome.ACCEPTED or (heard and memory.since > attempt.at)
    unexplained = attempt.cause is Reason.UNEXPLAINED and memory.state is State.FAILED
    in_one_run = not _is_of_another_run(attempt, scene)
    return unexplained and restarted and in_one_run and scene.calm and not attempt.falls


def _after_failure(breaker: Breaker, in_vain: int, scene: Scene, roll: float) -> Breaker:
    rule = scene.policy.breaker
    few = breaker.state is not BreakerState.HALF_OPEN and in_vain < rule.failures
    if few or breaker.state is BreakerState.HELD:
        return breaker
    trips = breaker.trips + 1
    open_for = grown(rule.open_for, 2.0, trips - 1, rule.open_max)
    return Breaker(state=BreakerState.OPEN, until=scene.now + open_for * (1 + JITTER * roll), trips=trips)


def _ended(memory: SessionMemory, attempt: Attempt, outcome: Outcome, now: float) -> SessionMemory:
    is_restart = attempt.kind is RemedyKind.RESTART_SESSION
    return replace(
        memory,
        attempt=replace(attempt, outcome=outcome, ended=now),
        last_restart=now if is_restart else memory.last_restart,
        unmade=0,
    )


def _unheard(name: str, memory: SessionMemory, attempt: Attempt, scene: Scene) -> Judged:
    """After a crash of the supervisor nobody hears the end of the call: it counts as made."""
    works = memory.state is State.WORKING
    if attempt.cause is Reason.UNEXPLAINED and works is not attempt.up:
        # Whether or not the call was made: what works in between and fails again is no diagnosis.
        attempt = replace(attempt, up=works, falls=attempt.falls + (not works))
        memory = replace(memory, attempt=attempt)
    if scene.now - attempt.at < _heard_nothing_after(scene.policy):
        return memory, None
    # The gateway carries a call out whether or not somebody waits for its end: what is stopped now was stopped since.
    return _ended(memory, replace(attempt, left_stop=True), Outcome.TIMED_OUT, scene.now), Entry(
        kind=EntryKind.RESULT,
        text=f"the end of {attempt.kind} was never heard; it counts as made",
        session=name,
        reason=attempt.cause,
        remedy=attempt.kind,
        outcome=Outcome.TIMED_OUT,
        warn=True,
    )


def _heard_nothing_after(policy: Policy) -> float:
    return policy.action_timeout + HEARD_NOTHING_AFTER


def _is_superseded(attempt: Attempt, scene: Scene) -> bool:
    """Whether somebody restarted the process, so that what is seen now is not the remedy's doing.

    A call that ended without an answer may have done that itself.
    """
    answered = attempt.outcome in (Outcome.ACCEPTED, Outcome.ALREADY, Outcome.REFUSED)
    return answered and _is_of_another_run(attempt, scene)


def _is_of_another_run(attempt: Attempt, scene: Scene) -> bool:
    """Whether the process began anew after the call. A run that is first told with its end may have begun before it.

    Of a call whose end nobody heard it is not known that it was made, so that any other run counts.
    """
    other = attempt.run is not None and attempt.run != scene.run
    made_by = attempt.at if attempt.outcome is Outcome.TIMED_OUT else attempt.ended
    return other and scene.run_since is not None and scene.run_since > made_by


def _after_park(name: str, memory: SessionMemory, attempt: Attempt, scene: Scene, roll: float) -> Judged:
    if memory.state is State.STOPPED:
        text = "parked: it is stopped and its credentials are kept, until a person recovers it"
        return replace(memory, attempt=None), _verdict(name, attempt, text, "parked")
    if scene.now - attempt.ended < OPERATOR_STOP_AFTER:
        return memory, None
    failures = memory.failures + 1
    wait = backoff(failures, scene, roll)
    later = f"{span(scene.now - attempt.ended)} later; the next one not before {span(wait)}"
    text = f"{attempt.kind} did not stop it: {memory.claim or memory.state} {later}"
    left = replace(memory, attempt=None, parked=False, failures=failures, not_before=scene.now + wait)
    return left, _verdict(name, attempt, text, "not_parked", warn=True)


def _while_bad(name: str, memory: SessionMemory, attempt: Attempt, scene: Scene, roll: float) -> Judged:
    if not attempt.left_stop:
        attempt = replace(attempt, left_stop=True)
    if memory.state in (State.FAILED, State.NEEDS_HUMAN):
        attempt = replace(attempt, bad_samples=attempt.bad_samples + 1)
        if attempt.bad_samples >= 2 and scene.now - attempt.ended >= SETTLED_FAILURE:
            return failed(name, memory, attempt, scene, roll)
    elif attempt.falls >= FALLS or _is_overdue(memory, attempt, scene):
        return failed(name, memory, attempt, scene, roll)
    return replace(memory, attempt=attempt), None


def _while_working(name: str, memory: SessionMemory, attempt: Attempt, scene: Scene, roll: float) -> Judged:
    since = max(attempt.ended, scene.now if memory.working_since is None else memory.working_since)
    proven = proves_healed(memory, attempt, scene) if attempt.cause is Reason.FALSE_WORKING else True
    if proven is False:
        return failed(name, memory, attempt, scene, roll)
    if scene.now - since < scene.policy.stable_for or proven is None:
        seen = attempt.left_stop and attempt.up
        return memory if seen else replace(memory, attempt=replace(attempt, left_stop=True, up=True)), None
    text = f"healed: working for {span(scene.policy.stable_for)} after {attempt.kind}"
    healed = replace(memory, attempt=None, failures=0, not_before=0.0, unverified=())
    return healed, _verdict(name, attempt, text, "healed")


def _while_stopped(name: str, memory: SessionMemory, attempt: Attempt, scene: Scene, roll: float) -> Judged:
    if scene.now - max(memory.since, attempt.ended) < OPERATOR_STOP_AFTER:
        return replace(memory, attempt=attempt), None
    # A gateway that accepted a restart has stopped and started it already: whoever stops it now is somebody else.
    restarted = attempt.kind is RemedyKind.RESTART_SESSION and attempt.outcome is Outcome.ACCEPTED
    if not attempt.left_stop and not restarted:
        stuck, entry = failed(name, memory, attempt, scene, roll)
        return replace(stuck, half_restarted=attempt.kind is RemedyKind.RESTART_SESSION), entry
    return _unjudged(name, memory, attempt, scene, "it was stopped meanwhile", "stopped")


def _while_absent(name: str, memory: SessionMemory, attempt: Attempt, scene: Scene) -> Judged:
    if not absence_is_judged(memory, scene):
        return memory, None
    return _unjudged(name, memory, attempt, scene, "the gateway does not list the session any more", "missing")


def _unjudged(name: str, memory: SessionMemory, attempt: Attempt, scene: Scene, why: str, outcome: str) -> Judged:
    breaker = memory.breaker
    if breaker.state is BreakerState.HALF_OPEN:
        breaker = replace(breaker, state=BreakerState.OPEN, until=scene.now)
    text = f"{attempt.kind} is not judged: {why}"
    return replace(memory, attempt=None, breaker=breaker), _verdict(name, attempt, text, outcome)


def _is_overdue(memory: SessionMemory, attempt: Attempt, scene: Scene) -> bool:
    if memory.patience_from is None:
        return False
    return scene.now - max(attempt.ended, memory.patience_from) >= scene.policy.starting_timeout


def _verdict(name: str, attempt: Attempt, text: str, outcome: str, *, warn: bool = False) -> Entry:
    return Entry(
        kind=EntryKind.VERIFIED,
        text=text,
        session=name,
        reason=attempt.cause,
        remedy=attempt.kind,
        outcome=outcome,
        warn=warn,
    )


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
