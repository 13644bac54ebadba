"""From sightings over time to a condition and its cause."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.flaps import fallen_since, fights, is_flapping
from wasupervisor.decide.memory import BreakerState, SessionMemory
from wasupervisor.decide.probing import is_false_working
from wasupervisor.decide.reasons import CONDITION_OF, FOR_A_PERSON, TABLE, Nature
from wasupervisor.decide.scene import FORGET_MISSING_AFTER, HOUR, OPERATOR_STOP_AFTER, Scene, expected, named
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.model.sessions import Condition, Reason, Sighting, State

HEALS_AFTER_REFUSAL = 25.0
"""Seconds after WhatsApp can be reached again within which a session that still tries comes back.

Measured: 22 s after a black hole, 2 s after refused connections (WAHA 2024.10.8); 8 s on Evolution 2.3.6. Whose
upgrade was answered with anything but 101 never tries again, on both.
"""

NEVER_RUN = -1
"""Of `SessionMemory.run`: it was never seen other than stopped."""

WORKED = frozenset({Condition.HEALTHY, Condition.SETTLING, Condition.SUSPECT})
AWAY = frozenset({Condition.STOPPED, Condition.MISSING})
LACKING = frozenset({Reason.UPLINK_DOWN, Reason.STORE_DOWN, Reason.RECONNECTING})
"""Causes after which a starting session gets its whole patience before it is called stuck."""
MAYBE_STOPPED = frozenset({State.STOPPED, State.UNKNOWN, State.NOT_LOADED})
"""States that do not say that it runs: whoever stopped it may still have it so."""
CLAIM_TO_WORK = frozenset({Reason.FALSE_WORKING, Reason.FLAPPING, Reason.FIGHT})
"""Causes that hold although the gateway says working."""
ASKS_UPLINK = frozenset({*WORKED, Condition.FAILING, Condition.UNKNOWN})
JUDGED_BAD = frozenset({Condition.FAILING, *FOR_A_PERSON})
TELLS_NOTHING = frozenset({*AWAY, Condition.UNKNOWN})
"""Conditions in which nobody can know whether a person has done what was wanted."""


def first_sight(sighting: Sighting, scene: Scene) -> SessionMemory:
    """The memory of a session that was never seen before."""
    now, bad = scene.now, sighting.state is not State.WORKING
    return SessionMemory(
        first_seen=now,
        state=sighting.state,
        since=now,
        claim=sighting.claim,
        claim_since=now,
        told=sighting.reason,
        paired=sighting.paired,
        bad_since=now if bad else None,
        working_since=None if bad else now,
        patience_from=now if bad and scene.calm else None,
        run=NEVER_RUN if sighting.state is State.STOPPED else scene.run,
        condition_since=now,
    )


def never_listed(scene: Scene) -> SessionMemory:
    """The memory of a session that the configuration names and the gateway has never listed."""
    return SessionMemory(
        first_seen=scene.now,
        state=State.UNKNOWN,
        since=scene.now,
        bad_since=scene.now,
        run=NEVER_RUN,
        condition_since=scene.now,
    )


def track(memory: SessionMemory, sighting: Sighting, scene: Scene) -> SessionMemory:
    """Take a sighting into the memory, without judging it. Gives back the same object when nothing changed."""
    if is_quiet(memory, sighting, scene):
        return memory
    now, state = scene.now, sighting.state
    bad = state is not State.WORKING
    starting = state is State.STARTING
    maybe_stopped = state in MAYBE_STOPPED
    same = state is memory.state and sighting.reason is memory.told and memory.absent_since is None
    going_on = same and not scene.gap
    in_one_run = going_on and memory.run == scene.run
    counted = min(memory.samples + sighting.fresh, scene.policy.failing_samples) if going_on else 1
    back = memory.condition in AWAY and not same
    changed = replace(
        memory,
        state=state,
        told=sighting.reason,
        claim=sighting.claim,
        claim_since=_began(memory.claim_since, now) if going_on and memory.claim == sighting.claim else now,
        paired=sighting.paired,
        since=memory.since if same else now,
        samples=counted,
        bad_since=_began(None if back else memory.bad_since, now) if bad else None,
        working_since=None if bad else _began(memory.working_since if in_one_run else None, now),
        patience_from=_patience_from(memory, state, in_one_run, scene) if bad else None,
        run=memory.run if state is State.STOPPED else scene.run,
        operator_stopped=memory.operator_stopped and maybe_stopped,
        half_restarted=memory.half_restarted and maybe_stopped,
        diagnosed=memory.diagnosed and bad,
        refused=starting and ((memory.refused and memory.run == scene.run) or scene.uplink_refused),
        fallen=fallen_since(memory, sighting, scene),
        parked=memory.parked and (maybe_stopped or _is_being_parked(memory)),
        absent_since=None,
        absent_samples=0,
    )
    return memory if changed == memory else changed


def _is_being_parked(memory: SessionMemory) -> bool:
    return memory.attempt is not None and memory.attempt.kind is RemedyKind.PARK_SESSION


def _began(known: float | None, now: float) -> float:
    return now if known is None else known


def _patience_from(memory: SessionMemory, state: State, going_on: bool, scene: Scene) -> float | None:
    """Patience begins anew when something, or somebody, has just started the session again, or nobody could look."""
    if not scene.calm:
        return None
    return scene.now if state is State.STARTING and not going_on else _began(memory.patience_from, scene.now)


def is_quiet(memory: SessionMemory, sighting: Sighting, scene: Scene) -> bool:
    """Whether a healthy session is seen just as it was: the usual case, and the cheap one."""
    return (
        sighting.state is State.WORKING
        and memory.condition is Condition.HEALTHY
        and memory.state is State.WORKING
        and memory.attempt is None
        and memory.claim == sighting.claim
        and memory.paired == sighting.paired
        and memory.run == scene.run
        and memory.absent_since is None
    )


def track_absence(memory: SessionMemory, scene: Scene) -> SessionMemory:
    """Take into the memory that a list which was read completely does not hold the session."""
    return replace(
        memory,
        absent_since=_began(memory.absent_since, scene.now),
        absent_samples=min(memory.absent_samples + 1, scene.policy.failing_samples),
        working_since=None,
        bad_since=_began(memory.bad_since, scene.now),
    )


def is_forgotten(name: str, memory: SessionMemory, scene: Scene) -> bool:
    """Whether an absent session has been away for so long that we let it go; never one that is expected by name."""
    if memory.absent_since is None or not absence_is_judged(memory, scene) or name in (scene.policy.expect or ()):
        return False
    if scene.now - memory.absent_since >= FORGET_MISSING_AFTER:
        return True
    # What was tried lately stays on the books, should it come back.
    tried = memory.breaker.until > scene.now or (memory.made and scene.now - memory.made[-1] < HOUR)
    # Forgotten, its operator's stop would be forgotten with it, and the configuration expects it up.
    stopped = (memory.operator_stopped or memory.parked) and named(name, scene.policy)
    return not tried and not stopped and not expected(name, memory, scene.policy)


def conclude(name: str, memory: SessionMemory, scene: Scene) -> SessionMemory:
    """Judge the session: its cause and its condition, and what follows from being healthy again."""
    if memory.absent_since is not None:
        if not absence_is_judged(memory, scene):
            return memory
        return _enter(memory, Condition.MISSING, Reason.NOT_LISTED, scene)
    flapping = _flapping_cause(memory, scene)
    if flapping is not None:
        return _enter(memory, CONDITION_OF[TABLE[flapping].nature], flapping, scene)
    if memory.state is State.WORKING:
        if is_false_working(memory, scene.policy):
            return _enter(memory, Condition.FAILING, Reason.FALSE_WORKING, scene)
        return _conclude_working(memory, scene)
    if is_in_our_stop(memory, scene):
        return _enter(memory, _pending(memory), memory.cause, scene)
    memory, cause = _cause(name, memory, scene)
    nature = TABLE[cause].nature
    if _is_judged(memory, cause, scene):
        return _enter(memory, CONDITION_OF[nature], cause, scene)
    if memory.condition in JUDGED_BAD:
        return memory  # what was judged stands until something else is
    condition = CONDITION_OF[nature] if _is_long_bad(memory, scene) else _pending(memory)
    return _enter(memory, condition, cause, scene)


def is_judged_now(name: str, memory: SessionMemory, scene: Scene) -> bool:
    """Whether the session is failing for just what is seen of it now, and not only for what was judged before."""
    if memory.condition is not Condition.FAILING or memory.absent_since is not None:
        return False
    flapping = _flapping_cause(memory, scene)
    if flapping is not None:
        return flapping is memory.cause
    if memory.state is State.WORKING and is_false_working(memory, scene.policy):
        return memory.cause is Reason.FALSE_WORKING
    if memory.state is State.WORKING:
        return False
    _, cause = _cause(name, memory, scene)
    return cause is memory.cause and _is_judged(memory, cause, scene)


def is_patient(memory: SessionMemory, scene: Scene) -> bool:
    """Whether a starting session still has time to come back by itself."""
    if memory.state is not State.STARTING:
        return False
    return memory.patience_from is None or patience_left(memory, scene) > 0


def wants_uplink(memory: SessionMemory) -> bool:
    """Whether the uplink may have to do with how it is: not when it waits for a person, or is stopped, or gone."""
    if memory.absent_since is not None:
        return False
    if memory.cause in CLAIM_TO_WORK:
        return memory.condition is Condition.FAILING
    if memory.probe is not None and memory.probe.misses:
        return True
    if memory.state is State.NOT_LOADED:
        return memory.condition is Condition.MISSING
    bad = memory.state in (State.STARTING, State.FAILED, State.STOPPED)
    return bad and memory.condition in ASKS_UPLINK


def is_in_our_stop(memory: SessionMemory, scene: Scene) -> bool:
    """Whether it is stopped because a call of ours stops and starts it just now."""
    attempt = memory.attempt
    if memory.state is not State.STOPPED or attempt is None or attempt.left_stop:
        return False
    return attempt.outcome is None or scene.now - attempt.ended < OPERATOR_STOP_AFTER


def patience_left(memory: SessionMemory, scene: Scene) -> float:
    """Seconds for which a starting session is still left alone, counted while uplink and store are well."""
    return _began(memory.patience_from, scene.now) + _patience(memory, scene) - scene.now


def _patience(memory: SessionMemory, scene: Scene) -> float:
    """Seconds of patience. Whom WhatsApp refused while it was starting either tries again within these, or never."""
    whole = scene.policy.starting_timeout
    return min(whole, HEALS_AFTER_REFUSAL) if memory.refused else whole


def _conclude_working(memory: SessionMemory, scene: Scene) -> SessionMemory:
    since = _began(memory.working_since, scene.now)
    if memory.condition is Condition.HEALTHY:
        return memory
    if scene.now - since < scene.policy.stable_for:
        return _enter(memory, Condition.SETTLING, Reason.NONE, scene)
    breaker = memory.breaker
    if breaker.state is not BreakerState.CLOSED:
        breaker = replace(breaker, state=BreakerState.CLOSED, until=0.0)
    healed = replace(
        memory,
        remembered=True,
        failures=0,
        not_before=0.0,
        withheld="",
        breaker=breaker,
        gateway_tried=None,
    )
    return _enter(healed, Condition.HEALTHY, Reason.NONE, scene)


def _cause(name: str, memory: SessionMemory, scene: Scene) -> tuple[SessionMemory, Reason]:
    """Why it is as it is: the adapter's reason, sharpened by what only time can tell."""
    if memory.state is State.STOPPED:
        return _stopped_cause(name, memory, scene)
    if memory.state is State.STARTING:
        return memory, _starting_cause(memory, scene)
    if memory.told is Reason.UNEXPLAINED and memory.diagnosed and name not in scene.together:
        return memory, Reason.LOGGED_OUT
    if memory.state is State.FAILED and scene.engine_gone and TABLE[memory.told].nature is Nature.TRANSIENT:
        return memory, Reason.ENGINE_GONE
    # What does not work has a reason; where none is told, nobody can say what to do.
    return memory, Reason.UNREADABLE if TABLE[memory.told].nature is Nature.FINE else memory.told


def _flapping_cause(memory: SessionMemory, scene: Scene) -> Reason | None:
    """Why it keeps falling, where it does; not for what waits for a person, or says clearly why it failed."""
    lost = memory.state is State.FAILED and memory.told is Reason.CONNECTION_LOST
    if not (memory.state in (State.WORKING, State.STARTING) or lost) or not is_flapping(memory, scene):
        return None
    return fights(memory, scene)


def _starting_cause(memory: SessionMemory, scene: Scene) -> Reason:
    if scene.now - memory.since < _patience(memory, scene):
        return Reason.RECONNECTING
    if scene.uplink is UplinkState.DOWN and scene.policy.uplink_watched:
        return Reason.UPLINK_DOWN
    if not scene.store_well:
        return Reason.STORE_DOWN
    back = memory.condition is Condition.FAILING and memory.cause in LACKING
    if back and scene.uplink_up and is_patient(memory, scene):
        return Reason.RECONNECTING
    if scene.engine_gone:
        return Reason.ENGINE_GONE
    return Reason.UPGRADE_REFUSED if memory.refused and scene.uplink_up else Reason.STUCK_STARTING


def _stopped_cause(name: str, memory: SessionMemory, scene: Scene) -> tuple[SessionMemory, Reason]:
    """Whose stop it is: ours, the gateway process's, or the operator's."""
    if memory.parked:
        return memory, Reason.PARKED
    if memory.operator_stopped or memory.half_restarted:
        return memory, Reason.STOPPED if memory.operator_stopped else Reason.STOPPED_BY_REMEDY
    if memory.run == NEVER_RUN:
        return memory, Reason.NOT_STARTED if named(name, scene.policy) else Reason.STOPPED
    if memory.run != scene.run:
        wanted = memory.remembered or named(name, scene.policy)
        if wanted and memory.wanted_for is not Reason.NONE:
            return memory, memory.wanted_for  # a start would only ask for another QR code: the person is still wanted
        return memory, Reason.STOPPED_WITH_PROCESS if wanted else Reason.STOPPED
    if scene.run_known and _lasts_as_stop(memory, scene):
        return replace(memory, operator_stopped=True), Reason.STOPPED
    return memory, Reason.STOPPED


def _lasts_as_stop(memory: SessionMemory, scene: Scene) -> bool:
    return scene.now - memory.since >= OPERATOR_STOP_AFTER


def _is_judged(memory: SessionMemory, cause: Reason, scene: Scene) -> bool:
    """Whether it has lasted for long enough, in samples and in seconds."""
    policy = scene.policy
    if memory.state is State.STARTING:
        return scene.now - memory.since >= _patience(memory, scene)
    if cause is Reason.STOPPED:
        return _lasts_as_stop(memory, scene) or memory.condition not in WORKED | JUDGED_BAD
    if TABLE[cause].nature in (Nature.PERSON, Nature.FATAL) and memory.condition not in WORKED:
        return True
    if memory.samples >= policy.failing_samples and scene.now - memory.since >= policy.failing_after:
        return True
    return memory.samples >= 2 and _is_long_bad(memory, scene)


def _is_long_bad(memory: SessionMemory, scene: Scene) -> bool:
    """Whether it has not worked for so long that it cannot count as just away, whatever it claims in between."""
    policy, now = scene.policy, scene.now
    return now - _began(memory.bad_since, now) >= max(policy.starting_timeout, policy.failing_after)


def _pending(memory: SessionMemory) -> Condition:
    """The condition while it is not judged: what it was, as far as that is still possible."""
    if memory.condition in WORKED:
        moving = memory.state is State.STARTING or memory.attempt is not None
        return Condition.SETTLING if moving else Condition.SUSPECT
    return memory.condition if memory.condition in JUDGED_BAD else Condition.UNKNOWN


def absence_is_judged(memory: SessionMemory, scene: Scene) -> bool:
    """Whether it is not listed for long enough, in looks and in seconds."""
    return (
        memory.absent_since is not None
        and memory.absent_samples >= scene.policy.failing_samples
        and scene.now - memory.absent_since >= scene.policy.failing_after
    )


def _enter(memory: SessionMemory, condition: Condition, cause: Reason, scene: Scene) -> SessionMemory:
    if condition is memory.condition and cause is memory.cause:
        return memory
    since = memory.condition_since if condition is memory.condition else scene.now
    breaker = memory.breaker
    if memory.condition is Condition.HEALTHY and scene.now - memory.condition_since >= scene.policy.breaker.open_max:
        breaker = replace(breaker, trips=0)
    if condition is Condition.FATAL:
        breaker = replace(breaker, state=BreakerState.HELD)
    wanted_for = cause if condition in FOR_A_PERSON else Reason.NONE
    return replace(
        memory,
        condition=condition,
        condition_since=since,
        cause=cause,
        wanted_for=memory.wanted_for if condition in TELLS_NOTHING else wanted_for,
        breaker=breaker,
    )
