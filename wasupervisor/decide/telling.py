"""The words of an alert: what is wrong, what was tried, why nothing more is tried, and what a person should do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from wasupervisor.decide.cases import store_is_red
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.gateway import is_silent
from wasupervisor.decide.memory import BreakerState, Episode, SessionMemory
from wasupervisor.decide.reasons import TABLE
from wasupervisor.decide.scene import Scene
from wasupervisor.decide.words import count, first_names, span
from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.health import Pause
from wasupervisor.model.observation import Trouble
from wasupervisor.model.sessions import Condition, Reason
from wasupervisor.model.value import Value

MOST_TRIED = 5
"""Sessions of a common alert of which is told what was tried."""


PARKING = "To stop its logins and keep its credentials"


class Told(Value, frozen=True):
    """The words."""

    what: str
    reason: Reason = Reason.NONE
    tried: tuple[str, ...] = ()
    why_no_more: str = ""
    todo: str = ""
    sessions: tuple[str, ...] = ()
    """Whom it is about, where that is not known from the episode."""


def describe(draft: Draft, scene: Scene, kind: AlertKind, names: tuple[str, ...]) -> Told:
    """The words of an episode as it is now. `names` is empty where it is about the gateway."""
    if not names:
        return OF_GATEWAY[kind](draft, scene)
    if len(names) == 1:
        return _of_one(draft, kind, names[0])
    return _of_many(draft, kind, names)


def farewell(draft: Draft, episode: Episode) -> str:
    """How an episode ended, as a sentence."""
    lasted = span((draft.now if episode.fine_since is None else episode.fine_since) - episode.since)
    session = None if episode.session is None else draft.sessions.get(episode.session)
    if episode.session is None:
        how = "the gateway answers again" if episode.kind is AlertKind.GATEWAY_DOWN else "over"
    elif session is None:
        how = "it is not looked after any more"
    else:
        how = ENDS.get(session.condition, f"it is {session.condition} now")
    return f"{how}, after {lasted}. It was: {episode.what}"


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
        what=f"{name}: {_doubt(kind, session)}{TABLE[reason].sentence}",
        reason=reason,
        tried=_tried(session, draft.now),
        why_no_more=_withheld_by_all(draft) + _why(draft, kind, name, session),
        todo=_todo(draft, kind, name, session),
    )


def _reason(kind: AlertKind, session: SessionMemory) -> Reason:
    return Reason.DEAF if kind is AlertKind.DEAF else session.cause


def _doubt(kind: AlertKind, session: SessionMemory) -> str:
    vain = count(session.failures, "remedy", "remedies")
    return f"{vain} in vain: " if kind is AlertKind.BREAKER_OPEN else ""


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


def _withheld_by_all(draft: Draft) -> str:
    """What keeps every remedy back just now, before the session's own reason."""
    rows = (
        (draft.paused is not None, _paused(draft.paused)),
        (not draft.policy.act, "recovery.mode is observe; "),
        (not draft.observation.state_writable, "the state cannot be written, so that nothing is done; "),
    )
    return "".join(text for holds, text in rows if holds)


def _paused(pause: Pause | None) -> str:
    if pause is None:
        return ""
    return f"paused{f' by {pause.by}' if pause.by else ''}{f' ({pause.reason})' if pause.reason else ''}; "


def _todo(draft: Draft, kind: AlertKind, name: str, session: SessionMemory) -> str:
    advice = TABLE[_reason(kind, session)].advice
    parks = kind is AlertKind.BREAKER_OPEN and draft.policy.gateway_kind == "waha" and draft.policy.park == "ask"
    rows = (
        (bool(advice), advice),
        (not advice, "Look at the gateway's log."),
        (session.breaker.state is BreakerState.HELD, f"Then order: wasupervisor recover {name}"),
        (parks, f"{PARKING}: wasupervisor park {name}; wasupervisor recover {name} starts it again."),
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
        why_no_more=_withheld_by_all(draft) + _why(draft, kind, first, draft.sessions[first]),
        todo=" ".join(
            f"{first_names(tuple(members))}: {TABLE[one].advice}"
            for one, members in by_reason.items()
            if TABLE[one].advice
        ),
    )


# The gateway


def _gateway_down(draft: Draft, _scene: Scene) -> Told:
    look, exists = draft.observation.look, draft.observation.process.exists
    detail = look.detail or str(look.trouble or "nobody knows why")
    refused = look.trouble is Trouble.UNAUTHORIZED
    rows = (
        (not is_silent(draft), Reason.UNREADABLE, "the gateway's list of sessions cannot be read"),
        (exists is False, Reason.GATEWAY_GONE, TABLE[Reason.GATEWAY_GONE].sentence),
        (exists is True, Reason.GATEWAY_HUNG, TABLE[Reason.GATEWAY_HUNG].sentence),
        (True, Reason.GATEWAY_DOWN, TABLE[Reason.GATEWAY_DOWN].sentence),
    )
    reason, what = next((reason, what) for holds, reason, what in rows if holds)
    todo = TABLE[reason].advice or f"Look at the gateway's log. {_by_hand(draft)}"
    return Told(
        what=f"{what}: {detail}",
        reason=reason,
        tried=_restarts(draft),
        why_no_more=_withheld_by_all(draft) + _why_no_restart(draft),
        todo="Check gateway.api_key: the gateway lives and does not accept it." if refused else todo,
    )


def _incident(draft: Draft, scene: Scene) -> Told:
    incident = draft.incident
    assert incident is not None
    waits = draft.gateway.canary_not_before - draft.now
    canary = incident.canary
    rows = (
        (incident.cause is Reason.UPLINK_DOWN, "nothing is restarted until WhatsApp can be reached again"),
        (incident.cause is Reason.STORE_DOWN, "nothing is restarted until the store is well again"),
        (incident.proven, "the canary was healed, and the others follow one after the other"),
        (canary is not None, f"{canary} is the canary, and is tried before any other"),
        (waits > 0, f"the last canary was not healed; the next one not before {span(waits)}"),
        (True, "one canary is tried before any other"),
    )
    tried = _restarts(draft)
    if draft.gateway.canaries:
        tried = (*tried, f"{count(draft.gateway.canaries, 'canary', 'canaries')} in vain")
    names = incident.sessions
    return Told(
        what=f"{count(len(names), 'session')} of {len(draft.sessions)} fail together ({first_names(names)}). "
        f"Likely cause: {TABLE[incident.cause].sentence}",
        reason=incident.cause,
        tried=tried,
        why_no_more=_withheld_by_all(draft) + next(text for holds, text in rows if holds),
        todo=TABLE[incident.cause].advice or _look_at(scene, incident.cause),
        sessions=names,
    )


def _look_at(scene: Scene, cause: Reason) -> str:
    looks = {
        Reason.UPLINK_DOWN: "Look at the network of this host: WhatsApp cannot be reached from here.",
        Reason.STORE_DOWN: "Look at the database and the Redis of the gateway.",
    }
    return looks.get(cause, f"Look at the log of the gateway ({scene.policy.gateway_kind}).")


def _store_down(draft: Draft, _scene: Scene) -> Told:
    mistyped = draft.observation.mistyped
    rows = (
        (draft.gateway.store_down, "the gateway's database does not answer"),
        (draft.observation.redis_ok is False, "the gateway's Redis does not answer"),
        (bool(mistyped), f"the credential key in Redis has the wrong type: {first_names(mistyped)}"),
    )
    assert store_is_red(draft)
    return Told(
        what="; ".join(text for holds, text in rows if holds),
        reason=Reason.STORE_DOWN,
        tried=_restarts(draft),
        why_no_more="a gateway that starts without its store throws identities away, so that nothing is restarted",
        todo="Bring the gateway's database and Redis back, and do not restart the gateway before.",
        sessions=mistyped,
    )


def _restart_wanted(draft: Draft, _scene: Scene) -> Told:
    names = tuple(sorted(set(draft.wants_process_restart)))
    causes = Counter(draft.sessions[name].cause for name in names)
    reason = max(sorted(causes), key=lambda cause: causes[cause])
    return Told(
        what=f"only a restart of the gateway process heals {first_names(names)}: {TABLE[reason].sentence}",
        reason=reason,
        tried=_restarts(draft),
        why_no_more=_withheld_by_all(draft) + _why_no_restart(draft),
        todo=f"When its database and its Redis answer: {_by_hand(draft)}",
        sessions=names,
    )


OF_GATEWAY: dict[AlertKind, Callable[[Draft, Scene], Told]] = {
    AlertKind.GATEWAY_DOWN: _gateway_down,
    AlertKind.INCIDENT: _incident,
    AlertKind.STORE_DOWN: _store_down,
    AlertKind.RESTART_WANTED: _restart_wanted,
}


def _restarts(draft: Draft) -> tuple[str, ...]:
    restarts = draft.gateway.restarts
    if not restarts:
        return ()
    ago = span(draft.now - max(restarts))
    return (f"{count(len(restarts), 'restart')} of the gateway because of us in the last day, the last one {ago} ago",)


def _why_no_restart(draft: Draft) -> str:
    if draft.policy.restarter == "none":
        return "nothing is configured that may restart the gateway (recovery.restart_gateway.by is none)"
    return draft.next.get("", "the gateway is not restarted now")


def _by_hand(draft: Draft) -> str:
    """The command that restarts the gateway, as exactly as it is known, and the key that lets us do it."""
    keeper, pid = draft.observation.process.keeper or "", draft.observation.process.pid
    unit = keeper.removeprefix("systemd ")
    key = "To have it done: set recovery.restart_gateway"
    if keeper.startswith("systemd "):
        return f"systemctl restart {unit}. {key}: {{by: systemd, unit: {unit}}}."
    if keeper == "PM2":
        return f"pm2 restart NAME (pm2 list tells the name). {key}: {{by: command, argv: [pm2, restart, NAME]}}."
    process = "the gateway process" if pid is None else f"the gateway process (pid {pid})"
    return f"restart {process} in the way it was started. {key}.by, see docs/alerts.md."
