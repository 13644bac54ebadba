"""What a person should know of just now, as a table: for each kind of alert, when it begins and how long it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from wasupervisor.decide.crashes import was_killed
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.gateway import is_silent
from wasupervisor.decide.limits import held
from wasupervisor.decide.memory import BreakerState, GatewayMemory, SessionMemory
from wasupervisor.decide.reasons import FOR_A_PERSON, FOR_RESOURCES
from wasupervisor.decide.scene import Scene, expected
from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.sessions import Condition, State
from wasupervisor.model.value import Value


class Case(Value, frozen=True):
    """Something that is so now."""

    kind: AlertKind
    since: float
    begins: bool
    """Whether it is judged; otherwise it is no reason for an alert, and not over either."""
    session: str | None = None
    lasts: float = 0.0
    """Seconds for which it must have been so before anybody is told."""

    @property
    def key(self) -> str:
        """What it is about."""
        return str(self.kind) if self.session is None else f"{self.kind}:{self.session}"


LONG = 600.0
"""Seconds for which a session may fail before a person is told, though its breaker has not opened."""


class Stand(Value, frozen=True):
    """A session and what the rules ask of its surroundings."""

    name: str
    session: SessionMemory
    scene: Scene
    by_hand: bool
    """Only a restart of the gateway process heals it, and only a person can make it."""
    covered: bool
    """It is named in an alert about many sessions together."""
    grace: bool
    """Its gateway began anew, and it has time to come back."""


BEGINS, STAYS, OVER = True, False, None
Level = bool | None
"""Begins an episode; does not end one; neither."""

FAILS = frozenset({Condition.FAILING, Condition.UNKNOWN})
BAD = frozenset({Condition.FAILING, Condition.SUSPECT, Condition.UNKNOWN, Condition.SETTLING})


def _needs_human(stand: Stand) -> Level:
    """It waits for a person, or its breaker is held. Not over before it works: what was told may still be the cause."""
    one = stand.session
    if one.condition in FOR_A_PERSON or (one.condition is Condition.FAILING and one.breaker.state is BreakerState.HELD):
        return BEGINS
    return STAYS if one.condition in BAD else OVER


def _in_vain(stand: Stand) -> Level:
    """Its breaker is open, or it fails for long. Not over before it works, for the next remedy is only an attempt."""
    one = stand.session
    is_open = one.condition is Condition.FAILING and one.breaker.state is BreakerState.OPEN
    if is_open or _fails_for_long(stand):
        return STAYS if stand.covered else BEGINS
    return STAYS if one.condition in BAD else OVER


def _fails_for_long(stand: Stand) -> bool:
    """Whatever keeps it from being healed: no uplink, a pause, `mode: observe`, or that nothing heals it."""
    one = stand.session
    lasts = one.condition in FAILS and stand.scene.now - one.condition_since >= LONG
    return lasts and expected(stand.name, one, stand.scene.policy)


def _missing(stand: Stand) -> Level:
    """It should be there and is not in the list, or not loaded."""
    one = stand.session
    if one.condition is not Condition.MISSING or not expected(stand.name, one, stand.scene.policy):
        return OVER
    return STAYS if stand.covered or stand.grace else BEGINS


def _deaf(stand: Stand) -> Level:
    """It works and hears nothing. While it does not work, that is what is told."""
    one = stand.session
    if one.hearing is None or not one.hearing.deaf:
        return OVER
    return BEGINS if one.state is State.WORKING else STAYS


def _restart_wanted(stand: Stand) -> Level:
    """Not over before it works or is stopped: that it cannot be restarted just now is no cure."""
    if stand.by_hand:
        return BEGINS
    return STAYS if stand.session.condition in BAD or stand.session.condition is Condition.MISSING else OVER


OF_SESSIONS: tuple[tuple[AlertKind, Callable[[Stand], Level]], ...] = (
    (AlertKind.NEEDS_HUMAN, _needs_human),
    (AlertKind.BREAKER_OPEN, _in_vain),
    (AlertKind.MISSING, _missing),
    (AlertKind.DEAF, _deaf),
    (AlertKind.RESTART_WANTED, _restart_wanted),
)


def find_cases(draft: Draft, scene: Scene) -> Iterator[Case]:
    """Everything that is so now: of the gateway first, then of each session."""
    yield from _of_gateway(draft)
    yield from _of_process(draft)
    by_hand = _wanting_by_hand(draft)
    covered = _covered(draft, by_hand)
    grace = draft.now < draft.gateway.grace_until
    for name, session in draft.sessions.items():
        if _is_quiet(session):
            continue
        stand = Stand(name, session, scene, name in by_hand, name in covered, grace)
        for kind, rule in OF_SESSIONS:
            level = rule(stand)
            if level is OVER:
                continue
            case = Case(kind=kind, since=session.condition_since, begins=level, session=name)
            if level is BEGINS or case.key in draft.episodes:
                yield case


def store_is_red(draft: Draft) -> bool:
    """Whether the gateway's store is known to be unwell. Unknown is not unwell."""
    observation = draft.observation
    return draft.gateway.store_down or observation.redis_ok is False or bool(observation.not_whole)


def _of_gateway(draft: Draft) -> Iterator[Case]:
    policy, now, gateway = draft.policy, draft.now, draft.gateway
    down_since = _down_since(gateway)
    if down_since is not None:
        lasts = now - down_since >= policy.failing_after and (is_silent(draft) or gateway.silent_since is None)
        # A host that boots starts us before it, and a restart of ours ends it for a while.
        awaited = (gateway.unseen and now < gateway.grace_until) or gateway.attempt is not None
        yield Case(AlertKind.GATEWAY_DOWN, down_since, lasts and not awaited)
    if draft.incident is not None:
        yield Case(AlertKind.INCIDENT, draft.incident.since, BEGINS)
    if store_is_red(draft):
        yield Case(AlertKind.STORE_DOWN, now, BEGINS, lasts=policy.failing_after)
    breaker, is_open = gateway.breaker, gateway.breaker.state is BreakerState.OPEN
    wanted = bool(gateway.told) or down_since is not None
    if breaker.state is BreakerState.HALF_OPEN or (is_open and (now < breaker.until or wanted)):
        yield Case(AlertKind.BREAKER_OPEN, now, is_open and now < breaker.until)


def _of_process(draft: Draft) -> Iterator[Case]:
    over = [one.since for _gauge, _level, one in held(draft)]
    if over:
        yield Case(AlertKind.RESOURCES, min(over), BEGINS)
    elif _may_be_over_still(draft):
        yield Case(AlertKind.RESOURCES, draft.now, STAYS)
    if draft.gateway.resources.leak is not None:
        yield Case(AlertKind.LEAK, draft.gateway.resources.leak.since, BEGINS)
    if draft.gateway.crashes.looping or was_killed(draft) or draft.gateway.engine.told:
        yield Case(AlertKind.CRASHES, draft.now, BEGINS)


def _may_be_over_still(draft: Draft) -> bool:
    """Whether a restart for it is not yet judged, or what uses too much does so for less than the limit's time."""
    attempt = draft.gateway.attempt
    return bool(draft.gateway.resources.over) or (attempt is not None and attempt.cause in FOR_RESOURCES)


def _down_since(gateway: GatewayMemory) -> float | None:
    """Since when nothing can be learnt from it: it is silent, or its list cannot be read."""
    known = [since for since in (gateway.silent_since, gateway.unreadable_since) if since is not None]
    return min(known, default=None)


def _wanting_by_hand(draft: Draft) -> frozenset[str]:
    """The sessions that only a restart of the gateway process heals, where nobody but a person can make it."""
    return frozenset(draft.wants_process_restart if draft.policy.restarter == "none" else ())


def _covered(draft: Draft, by_hand: frozenset[str]) -> frozenset[str]:
    """The sessions that are named in an alert about many together, where anybody is told of that."""
    covered: set[str] = set()
    if draft.incident is not None and AlertKind.INCIDENT in draft.policy.tell:
        covered.update(draft.incident.sessions)
    if AlertKind.RESTART_WANTED in draft.policy.tell:
        told = (one for one in draft.episodes.values() if one.kind is AlertKind.RESTART_WANTED)
        covered.update(by_hand, (one.session for one in told if one.session is not None))
    return frozenset(covered)


def _is_quiet(session: SessionMemory) -> bool:
    """Whether nobody has to hear of it: the usual case, and the cheap one."""
    if session.condition is Condition.STOPPED:
        return True
    works = session.condition is Condition.SETTLING and session.state is State.WORKING
    return (works or session.condition is Condition.HEALTHY) and (session.hearing is None or not session.hearing.deaf)
