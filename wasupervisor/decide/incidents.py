"""Many sessions failing together are one incident: one canary, not a hundred restarts."""

from __future__ import annotations

from collections import Counter
from math import ceil

from msgspec.structs import replace

from wasupervisor.decide.attempts import grown
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.memory import IncidentMemory, SessionMemory
from wasupervisor.decide.reasons import TABLE
from wasupervisor.decide.scene import Scene, expected
from wasupervisor.decide.words import count, first_names, span
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import IncidentRule
from wasupervisor.model.sessions import Condition, Reason

AFTER_RESTART = 600.0
"""Seconds after a restart of the gateway process for which it is named as what may have caused an incident."""

TELLING_CANARIES = 2
"""So many canaries in vain, and the gateway's version is the likely cause."""


def track_incident(draft: Draft, scene: Scene) -> None:
    """Begin, go on with, or end an incident."""
    should_be_up = [name for name, one in draft.sessions.items() if expected(name, one, scene.policy)]
    failing = tuple(sorted(name for name in should_be_up if _fails_as_many_could(draft.sessions[name])))
    rule = scene.policy.incident
    enough = _enough(rule, len(should_be_up))
    if draft.incident is None:
        if len(failing) >= enough and _together(draft, failing, rule.within, enough):
            _begin(draft, scene, failing)
    elif len(failing) < max(2, enough / 4):
        lasted = span(draft.now - draft.incident.since)
        draft.incident = None
        draft.say(EntryKind.INCIDENT, f"the incident is over after {lasted}")
    else:
        _go_on(draft, scene, failing)


def _fails_as_many_could(session: SessionMemory) -> bool:
    """A version that WhatsApp does not accept any more (405) is fatal for one, and the same for all at once."""
    return session.condition is Condition.FAILING or session.cause is Reason.OUTDATED


def canary_failed(draft: Draft) -> None:
    """A canary was not healed: the next one waits, each time longer, but it is never given up."""
    rule = draft.policy.breaker
    canaries = draft.gateway.canaries + 1
    wait = grown(rule.open_for, 2.0, canaries - 1, rule.open_max)
    draft.gateway = replace(draft.gateway, canaries=canaries, canary_not_before=draft.now + wait)
    if draft.incident is not None:
        draft.incident = replace(draft.incident, canary=None)
    kind = EntryKind.GATEWAY if draft.incident is None else EntryKind.INCIDENT
    draft.say(kind, f"the canary was not healed; the next one not before {span(wait)}{_perhaps(draft)}", warn=True)


def canary_healed(draft: Draft, name: str) -> None:
    """A session is healthy again: canaries count anew, and if it was the canary the others may follow."""
    if draft.gateway.canaries:
        draft.gateway = replace(draft.gateway, canaries=0, canary_not_before=0.0)
    incident = draft.incident
    if incident is not None and incident.canary == name and not incident.proven:
        draft.incident = replace(incident, proven=True)
        for other in incident.sessions:
            if other in draft.sessions and draft.sessions[other].diagnosed:
                draft.sessions[other] = replace(draft.sessions[other], diagnosed=False)
        draft.say(EntryKind.INCIDENT, f"the canary {name} is healed; the others follow one after the other")


def _perhaps(draft: Draft) -> str:
    """Seen more than once: WhatsApp changes something, and every session of one engine fails (WAHA issue 2191)."""
    if draft.gateway.canaries < TELLING_CANARIES:
        return ""
    engine = f" of its engine {draft.observation.look.engine}" if draft.observation.look.engine else ""
    return f". Perhaps WhatsApp does not accept this version{engine} any more: look for an update of the gateway"


def _enough(rule: IncidentRule, should_be_up: int) -> float:
    """How many of so many: where there are few, all of them are enough; one alone is none."""
    return max(2, min(max(rule.at_least, rule.share * should_be_up), should_be_up))


def _together(draft: Draft, failing: tuple[str, ...], within: float, enough: float) -> bool:
    begun = sorted(one for name in failing if (one := draft.sessions[name].bad_since) is not None)
    needed = ceil(enough)
    return any(last - first <= within for first, last in zip(begun, begun[needed - 1 :], strict=False))


def _begin(draft: Draft, scene: Scene, failing: tuple[str, ...]) -> None:
    cause = _cause(draft, scene, failing)
    draft.incident = IncidentMemory(since=draft.now, cause=cause, sessions=failing)
    draft.say(
        EntryKind.INCIDENT,
        f"{count(len(failing), 'session')} fail together ({first_names(failing)}): one incident. "
        f"Likely cause: {TABLE[cause].sentence}{_after_restart(draft)}. {_what_now(cause)}",
        warn=True,
    )


def _after_restart(draft: Draft) -> str:
    since = draft.gateway.run_since
    if since is None or draft.now - since > AFTER_RESTART:
        return ""
    return f"; the gateway process was restarted {span(draft.now - since)} ago"


def _what_now(cause: Reason) -> str:
    if cause is Reason.OUTDATED:
        return TABLE[cause].advice.removesuffix(".")
    if cause in (Reason.UPLINK_DOWN, Reason.STORE_DOWN):
        return "Nothing is restarted until that is over"
    if cause is Reason.ENGINE_GONE:
        return "Only a restart of the gateway process heals that"
    return "One canary is tried before any other"


def _go_on(draft: Draft, scene: Scene, failing: tuple[str, ...]) -> None:
    incident = draft.incident
    assert incident is not None
    tried = draft.sessions.get(incident.canary) if incident.canary is not None else None
    stays = incident.proven or incident.canary in failing or (tried is not None and tried.attempt is not None)
    canary = incident.canary if stays else None
    cause = incident.cause if incident.proven else _cause(draft, scene, failing)
    changed = replace(incident, sessions=failing, canary=canary, cause=cause)
    if changed != incident:
        draft.incident = changed


def _cause(draft: Draft, scene: Scene, failing: tuple[str, ...]) -> Reason:
    if scene.uplink is UplinkState.DOWN and scene.policy.uplink_watched:
        return Reason.UPLINK_DOWN
    if scene.store_ok is False:
        return Reason.STORE_DOWN
    causes = Counter(draft.sessions[name].cause for name in failing)
    return max(sorted(causes), key=lambda cause: causes[cause])
