"""Takes the look at all sessions into the draft: what is seen, what is verified, what is concluded."""

from __future__ import annotations

from wasupervisor.decide.attempts import verify
from wasupervisor.decide.conditions import (
    conclude,
    first_sight,
    is_forgotten,
    never_listed,
    track,
    track_absence,
)
from wasupervisor.decide.draft import Draft, forget_old
from wasupervisor.decide.incidents import canary_failed, canary_healed
from wasupervisor.decide.memory import SessionMemory
from wasupervisor.decide.probing import is_false_working
from wasupervisor.decide.reasons import TABLE, advice_for
from wasupervisor.decide.scene import Scene, included
from wasupervisor.decide.words import span
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.sessions import Condition, Reason, Sighting, State

BAD = frozenset({Condition.FAILING, Condition.FATAL, Condition.NEEDS_HUMAN, Condition.MISSING})


def take_sightings(draft: Draft, scene: Scene) -> None:
    """Track, verify and conclude every session. Without a readable list nothing is concluded of any."""
    seen = draft.observation.look.sightings
    if seen is None:
        return
    for name in [name for name in draft.sessions if not included(name, draft.policy)]:
        del draft.sessions[name]
    by_name = {one.name: one for one in seen if included(one.name, draft.policy)}
    draft.listed = frozenset(by_name)
    for name, sighting in by_name.items():
        _take_one(draft, scene, name, sighting)
    absent = [name for name in draft.sessions if name not in by_name]
    configured = [name for name in draft.policy.expect or () if name not in draft.sessions]
    for name in absent + [name for name in configured if included(name, draft.policy)]:
        _take_absent(draft, scene, name)


def _take_one(draft: Draft, scene: Scene, name: str, sighting: Sighting) -> None:
    before = draft.sessions.get(name)
    after = first_sight(sighting, scene) if before is None else track(before, sighting, scene)
    believed = after.attempt is None and not is_false_working(after, scene.policy)
    if after is before and after.condition is Condition.HEALTHY and believed:
        return
    draft.sessions[name] = after
    changed = before is None or before.state is not after.state
    if changed:
        claim = sighting.claim or str(sighting.state)
        draft.say(EntryKind.SEEN, f"the gateway says {claim}" + (f" (before: {before.claim})" if before else ""), name)
    if sighting.fresh or changed:  # the same as before, and old: no news to judge by
        _judge(draft, scene, name, before, forget_old(after, scene.now))


def _take_absent(draft: Draft, scene: Scene, name: str) -> None:
    before = draft.sessions.get(name)
    after = track_absence(before if before is not None else never_listed(scene), scene)
    if is_forgotten(name, after, scene):
        draft.say(EntryKind.CONCLUDED, "the gateway does not list it any more; it is forgotten", name)
        draft.sessions.pop(name, None)
        return
    if before is None or before.absent_since is None:
        draft.sessions[name] = after
        draft.say(EntryKind.SEEN, "the gateway does not list it", name)
    _judge(draft, scene, name, before, after)


def _judge(draft: Draft, scene: Scene, name: str, before: SessionMemory | None, tracked: SessionMemory) -> None:
    verified, verdict = verify(name, tracked, scene, draft.roll(name))
    after = conclude(name, verified, scene)
    draft.sessions[name] = after
    if verdict is not None:
        draft.entries.append(verdict)
        _tell_breaker(draft, name, tracked, verified)
        if verdict.outcome == "not_healed":
            _tell_canary(draft, name, tracked)
    _tell_condition(draft, scene, name, before, after)
    if after.condition is Condition.HEALTHY and (before is None or before.condition is not Condition.HEALTHY):
        canary_healed(draft, name)


def _tell_canary(draft: Draft, name: str, before: SessionMemory) -> None:
    lone = before.attempt is not None and before.attempt.lone
    if lone or (draft.incident is not None and draft.incident.canary == name and not draft.incident.proven):
        canary_failed(draft)


def _tell_breaker(draft: Draft, name: str, before: SessionMemory, after: SessionMemory) -> None:
    if after.breaker.trips > before.breaker.trips:
        lasts = span(after.breaker.until - draft.now)
        draft.say(EntryKind.BREAKER, f"its breaker opens for {lasts} (trip {after.breaker.trips})", name, warn=True)


def _tell_condition(draft: Draft, scene: Scene, name: str, before: SessionMemory | None, after: SessionMemory) -> None:
    old = None if before is None else before.condition
    if old is after.condition and (before is None or before.cause is after.cause or old not in BAD):
        return
    row = TABLE[after.cause]
    if after.condition in BAD:
        text = f"{after.condition}: {row.sentence}"
        advice = advice_for(after.cause, name) if after.condition is not Condition.FAILING else ""
        draft.say(EntryKind.CONCLUDED, f"{text}. {advice}" if advice else text, name, warn=True)
    elif after.condition is Condition.SETTLING and after.state is State.WORKING:
        draft.say(EntryKind.CONCLUDED, _works_again(draft, before, scene), name)
    elif old is not None or after.condition is Condition.STOPPED:
        told = "" if after.cause is Reason.NONE else f": {row.sentence}"
        if after.condition is Condition.SUSPECT and after.cause is Reason.STOPPED:
            told = ": it is stopped; whether by its operator shows when it stays so"
        draft.say(EntryKind.CONCLUDED, f"{after.condition}{told}", name)


def _works_again(draft: Draft, before: SessionMemory | None, scene: Scene) -> str:
    stays = f"healthy if it stays so for {span(scene.policy.stable_for)}"
    if before is None or before.bad_since is None:
        return f"it works; {stays}"
    untouched = before.attempt is None and before.failures == 0 and draft.gateway.attempt is None
    return f"it works again after {span(scene.now - before.bad_since)}{', by itself' if untouched else ''}; {stays}"
