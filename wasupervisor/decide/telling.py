"""The words of an alert: what is wrong, what was tried, why nothing more is tried, and what a person should do."""

from __future__ import annotations

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.memory import BreakerState, Episode, SessionMemory
from wasupervisor.decide.parking import offer
from wasupervisor.decide.reasons import TABLE, advice_for
from wasupervisor.decide.scene import Scene
from wasupervisor.decide.telling_gateway import OF_GATEWAY, restart_wanted
from wasupervisor.decide.told import Told, held_back
from wasupervisor.decide.words import count, first_names, span
from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.sessions import Condition, Reason

MOST_TRIED = 5
"""Sessions of a common alert of which is told what was tried."""


def describe(draft: Draft, scene: Scene, kind: AlertKind, names: tuple[str, ...]) -> Told:
    """The words of an episode as it is now. `names` is empty where it is about the gateway."""
    if not names:
        return OF_GATEWAY[kind](draft, scene)
    if kind is AlertKind.RESTART_WANTED:
        return restart_wanted(draft, scene, names)
    if len(names) == 1:
        return _of_one(draft, kind, names[0])
    return _of_many(draft, kind, names)


def farewell(draft: Draft, episode: Episode) -> str:
    """How an episode ended, as a sentence."""
    lasted = span((draft.now if episode.fine_since is None else episode.fine_since) - episode.since)
    session = None if episode.session is None else draft.sessions.get(episode.session)
    if episode.session is None:
        how = ENDS_OF_GATEWAY.get(episode.kind, "over")
    elif session is None:
        how = "it is not looked after any more"
    else:
        how = ENDS.get(session.condition, f"it is {session.condition} now")
    return f"{how}, after {lasted}. It was: {episode.what}"


ENDS_OF_GATEWAY: dict[AlertKind, str] = {
    AlertKind.GATEWAY_DOWN: "the gateway answers again",
    AlertKind.RESOURCES: "it is below its limits again",
    AlertKind.LEAK: "its memory does not grow towards its limit any more",
    AlertKind.CRASHES: "it has not died again",
}

ENDS: dict[Condition, str] = {
    Condition.HEALTHY: "it works again",
    Condition.SETTLING: "it works again",
    Condition.STOPPED: "its operator stopped it",
    Condition.MISSING: "the gateway does not list it any more",
}


# One session


def _of_one(draft: Draft, kind: AlertKind, name: str) -> Told:
    session = draft.sessions[name]
    reason = _reason(kind, session)
    return Told(
        what=f"{name}: {_doubt(kind, session, draft.now)}{TABLE[reason].sentence}",
        reason=reason,
        tried=_tried(session, draft.now),
        why_no_more=held_back(draft) + _why(draft, kind, name, session),
        todo=_todo(draft, kind, name, session),
    )


def _reason(kind: AlertKind, session: SessionMemory) -> Reason:
    return Reason.DEAF if kind is AlertKind.DEAF else session.cause


def _doubt(kind: AlertKind, session: SessionMemory, now: float) -> str:
    if kind is not AlertKind.BREAKER_OPEN:
        return ""
    lasts = f"failing for {span(now - session.condition_since)}"
    return f"{lasts}, {count(session.failures, 'remedy', 'remedies')} in vain: " if session.failures else f"{lasts}: "


def _tried(session: SessionMemory, now: float) -> tuple[str, ...]:
    attempt, made = session.attempt, session.made
    under_way = attempt is not None and attempt.outcome is None
    rows = (
        (session.failures > 0, f"{count(session.failures, 'remedy', 'remedies')} in vain since it was last healthy"),
        (session.diagnosed, "one diagnosing restart, after which it failed again"),
        (session.breaker.trips > 0, f"the breaker has opened {count(session.breaker.trips, 'time')}"),
        (session.gateway_tried is not None, "a restart of the gateway did not heal it"),
        (bool(made), f"the last remedy was {span(now - max(made, default=now))} ago"),
        (under_way, "a remedy is under way"),
        (attempt is not None and not under_way, "it is being observed whether the last one helps"),
    )
    return tuple(text for holds, text in rows if holds)


def _why(draft: Draft, kind: AlertKind, name: str, session: SessionMemory) -> str:
    """As a table: the first row that holds."""
    rows = (
        (kind is AlertKind.DEAF, "silence alone never restarts anything, for nobody can know that it is a fault"),
        (session.condition is Condition.FATAL, "no restart can heal this, and each would be one more login"),
        (session.condition is Condition.NEEDS_HUMAN, "only a person can do what it waits for"),
        (session.breaker.state is BreakerState.HELD, "its breaker is held: no remedy until a person orders one"),
    )
    return next((text for holds, text in rows if holds), draft.next.get(name, "nothing is due just now"))


def _todo(draft: Draft, kind: AlertKind, name: str, session: SessionMemory) -> str:
    advice = advice_for(_reason(kind, session), name)
    held = session.breaker.state is BreakerState.HELD
    parking = offer(name, session, draft.policy, draft.now)
    rows = (
        (bool(advice), advice),
        (not advice, "Look at the gateway's log."),
        (held and "wasupervisor recover" not in advice, f"Then order: wasupervisor recover {name}"),
        (bool(parking), f"{parking}; wasupervisor recover {name} starts it again."),
    )
    return " ".join(text for holds, text in rows if holds)


# Several sessions

TOGETHER: dict[AlertKind, str] = {
    AlertKind.NEEDS_HUMAN: "need a person",
    AlertKind.BREAKER_OPEN: "are not healed by any remedy",
    AlertKind.MISSING: "should be there and are not",
    AlertKind.DEAF: "work and hear nothing",
}


def _of_many(draft: Draft, kind: AlertKind, names: tuple[str, ...]) -> Told:
    by_reason: dict[Reason, list[str]] = {}
    for name in names:
        by_reason.setdefault(_reason(kind, draft.sessions[name]), []).append(name)
    reason = max(by_reason, key=lambda one: len(by_reason[one]))
    first = by_reason[reason][0]
    tried = [f"{name}: {text}" for name in names for text in _tried(draft.sessions[name], draft.now)[:1]]
    return Told(
        what=f"{len(names)} sessions {TOGETHER[kind]}: {first_names(names)}; mostly: {TABLE[reason].sentence}",
        reason=reason,
        tried=tuple(tried[:MOST_TRIED]),
        why_no_more=held_back(draft) + _why(draft, kind, first, draft.sessions[first]),
        todo=" ".join(
            f"{first_names(tuple(members))}: {TABLE[one].advice}"
            for one, members in by_reason.items()
            if TABLE[one].advice
        ),
    )
