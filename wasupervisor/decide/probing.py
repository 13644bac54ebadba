"""Which sessions that claim to work are probed now, and what their answers mean.

Each session has its own phase, made of its name, and is asked once in each `every`. After a miss, and after anything
that should have ended misses, it is asked sooner, for then something hangs on the answer.
"""

from __future__ import annotations

import math
from zlib import crc32

from msgspec.structs import replace

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.memory import Attempt, ProbeMemory, SessionMemory
from wasupervisor.decide.scene import Scene
from wasupervisor.decide.words import count, span
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import ProbeResult, Proof, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.sessions import Condition, Reason

AFTER_MISS = 30.0
"""Seconds from a miss to the next probe. Two misses so far apart prove a false `open` (Evolution 2.3.6)."""

EVOLUTION_MISSES = 2
"""A miss there is an answer of Evolution's own, 400 'Connection Closed', and no silence that might be chance."""

WORKS_FOR = 5.0
"""Seconds for which a session works again before it is asked whether that is true: connecting takes 1-2 s."""

DOUBTED_FOR = 600.0
"""Seconds. Beyond them a probe that keeps saying nothing is as rare as any, and a remedy is judged without one."""

DEAD_EVERY = 300.0
"""Seconds: the longest time between two probes of a session that is proven dead, for somebody may heal it unseen."""

SLOW = 2.0
"""Seconds. A gateway takes 2-25 ms for what is asked each poll; one that takes so long answers probes late, too."""

CATCHING_UP = 2.0
"""How much faster than usual probes follow each other when many are due, as after the supervisor was away."""

PROBED = frozenset({Condition.HEALTHY, Condition.SETTLING})


def take_probes(draft: Draft, scene: Scene) -> None:
    """Take the answers of probes into the memory of their sessions."""
    if draft.policy.probe is None:
        return
    for name, session in draft.sessions.items():
        if session.probe is not None and session.probe.misses and _is_over(session, scene):
            draft.sessions[name] = replace(session, probe=replace(session.probe, misses=0))
    for result in draft.observation.probes:
        session_then = draft.sessions.get(result.session)
        if session_then is not None and _tells(result, session_then, draft, scene):
            _take(draft, result, session_then)


def plan_probes(draft: Draft, scene: Scene) -> None:
    """Choose who is probed in this step: put names into `draft.probes`."""
    rule = draft.policy.probe
    if rule is None or draft.paused is not None or not _is_calm(draft, scene):
        return
    able = {name: one for name, one in draft.sessions.items() if name in scene.working and _is_probed(one)}
    if not able:
        return
    urgent = [name for name, one in able.items() if _is_urgent(name, one, draft.policy, scene.now)]
    calm = {name: one for name, one in able.items() if not _is_doubted(one, draft.policy, scene.now)}
    usual = [name for name in calm.keys() - set(urgent) if _is_due(name, calm[name], rule.every, scene.now)]
    gap = rule.every / (CATCHING_UP * len(able))
    most = max(1, math.ceil(draft.policy.poll_every / gap))
    if gap > draft.policy.poll_every and scene.now - max(map(_asked_at, calm.values()), default=-math.inf) < gap:
        usual = []
    for name in [*_oldest_first(urgent, able), *_oldest_first(usual, able)][:most]:
        session = able[name]
        draft.sessions[name] = replace(session, probe=replace(_probe_of(session), asked_at=scene.now))
        draft.probes.append(name)


def is_false_working(memory: SessionMemory, policy: Policy) -> bool:
    """Whether so many probes in a row were missed that its claim to work is not believed."""
    limit = misses_wanted(policy)
    return limit is not None and memory.probe is not None and memory.probe.misses >= limit


def proves_healed(memory: SessionMemory, attempt: Attempt, scene: Scene) -> bool | None:
    """Whether a remedy for a false 'working' has healed, as far as probes tell.

    Returns:
        True when a probe was answered after the call, and where none can be had: then what is seen has to do.
        False when so many were missed after it. None when it is not known yet.
    """
    probe = memory.probe
    if scene.policy.probe is None:
        return True
    if probe is not None and probe.answered_at is not None and probe.answered_at > attempt.ended:
        return True
    if is_false_working(memory, scene.policy):
        return False
    works_since = scene.now if memory.working_since is None else memory.working_since
    return True if scene.now - max(attempt.ended, works_since) >= DOUBTED_FOR else None


def misses_wanted(policy: Policy) -> int | None:
    """So many misses in a row prove a session dead; None when nobody is probed."""
    if policy.probe is None:
        return None
    return EVOLUTION_MISSES if policy.gateway_kind == "evolution" else policy.probe.misses


def _is_over(session: SessionMemory, scene: Scene) -> bool:
    """Whether what was asked last is of something that is over: it fell, its process ended, or a remedy was called."""
    return session.run != scene.run or _asked_at(session) <= _works_since(session, scene.now)


def _tells(result: ProbeResult, session: SessionMemory, draft: Draft, scene: Scene) -> bool:
    """Whether a result says something of the session as it is now."""
    if result.proof is Proof.UNKNOWN or result.session not in scene.working or _is_over(session, scene):
        return False
    if session.attempt is not None and session.attempt.outcome is None:
        return False
    return result.proof is Proof.ANSWERED or _is_calm(draft, scene)


def _is_calm(draft: Draft, scene: Scene) -> bool:
    """Whether a probe tells of its session: not while the gateway, its stores or the uplink are not well."""
    look = draft.observation.look
    quick = look.reachable is True and (look.latency_seconds or 0.0) <= SLOW
    lacking = scene.store_ok is False or scene.redis_ok is False or draft.observation.uplink.state is UplinkState.DOWN
    return quick and not lacking and not scene.gap and scene.now >= draft.gateway.grace_until


def _take(draft: Draft, result: ProbeResult, session: SessionMemory) -> None:
    name, probe, now = result.session, _probe_of(session), draft.now
    if result.proof is Proof.ANSWERED:
        draft.sessions[name] = replace(session, probe=replace(probe, answered_at=now, misses=0))
        if probe.misses:
            text = f"it answers a probe again, {count(probe.misses, 'was', 'were')} missed in a row before"
            draft.say(EntryKind.PROBE, text, name)
        return
    misses = probe.misses + 1
    limit = misses_wanted(draft.policy) or misses
    draft.sessions[name] = replace(session, probe=replace(probe, missed_at=now, misses=misses))
    why = f": {result.detail}" if result.detail else ""
    if misses == limit:
        missed = f"it missed {count(misses, 'probe')}{' in a row' if misses > 1 else ''}{why}"
        draft.say(EntryKind.PROBE, f"{missed}; the gateway says that it works, and it does not", name, warn=True)
    elif misses == 1:
        text = f"it missed a probe{why}; {limit} in a row count, the next one follows in {span(AFTER_MISS)}"
        draft.say(EntryKind.PROBE, text, name)


def _is_probed(session: SessionMemory) -> bool:
    """Whether its state and condition are such that a probe tells something, and is no harm."""
    attempt = session.attempt
    if attempt is not None and attempt.outcome is None:
        return False
    judged = session.cause is Reason.FALSE_WORKING or (attempt is not None and attempt.cause is Reason.FALSE_WORKING)
    return session.condition in PROBED or judged


def _is_doubted(session: SessionMemory, policy: Policy, now: float) -> bool:
    """Whether it was missed last: by chance, or before something that may have healed it; not when proven dead."""
    probe = _probe_of(session)
    if probe.missed_at is None or is_false_working(session, policy):
        return False
    if probe.answered_at is not None and probe.answered_at >= probe.missed_at:
        return False
    return now - max(probe.missed_at, _works_since(session, now)) < DOUBTED_FOR


def _is_urgent(name: str, session: SessionMemory, policy: Policy, now: float) -> bool:
    """Whether something hangs on asking it now: soon after it works again, and then each half minute."""
    if is_false_working(session, policy):
        return _is_due(name, session, DEAD_EVERY, now)
    if not _is_doubted(session, policy, now):
        return False
    since = _works_since(session, now)
    if now - since < WORKS_FOR:
        return False
    asked_at, missed_at = _asked_at(session), _probe_of(session).missed_at or -math.inf
    return asked_at < since or now - max(asked_at, missed_at) >= AFTER_MISS


def _is_due(name: str, session: SessionMemory, every: float, now: float) -> bool:
    """Whether its moment has come since it was last asked, or since it works."""
    moment = now - (now - crc32(name.encode()) / 2**32 * every) % every
    missed_at = _probe_of(session).missed_at
    if missed_at is not None and now - missed_at < AFTER_MISS:
        return False
    return max(_asked_at(session), _works_since(session, now)) < moment


def _works_since(session: SessionMemory, now: float) -> float:
    """Since when it works without a remedy in between."""
    since = now if session.working_since is None else session.working_since
    return since if session.attempt is None else max(since, session.attempt.ended)


def _oldest_first(names: list[str], able: dict[str, SessionMemory]) -> list[str]:
    return sorted(names, key=lambda name: (_asked_at(able[name]), name))


def _asked_at(session: SessionMemory) -> float:
    asked_at = _probe_of(session).asked_at
    return -math.inf if asked_at is None else asked_at


def _probe_of(session: SessionMemory) -> ProbeMemory:
    return session.probe or ProbeMemory()
