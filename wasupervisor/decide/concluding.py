"""The health of everything, from the memory: what the health document, the probes and `status` tell."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.deafness import deaf_notes
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.gateway import is_silent
from wasupervisor.decide.leak import seconds_to_limit
from wasupervisor.decide.memory import BreakerState, ReadyMemory, SessionMemory
from wasupervisor.decide.parking import offer
from wasupervisor.decide.process_notes import process_notes
from wasupervisor.decide.reasons import QR_REASONS, TABLE, advice_for
from wasupervisor.decide.scene import Scene, expected
from wasupervisor.decide.words import count, first_names, span
from wasupervisor.model.health import Breakers, Connections, Health, Incident, SessionHealth, Status
from wasupervisor.model.observation import ProcessReading, UplinkState
from wasupervisor.model.sessions import Condition, Reason, State

GROUP_OF: dict[Condition, str] = {
    Condition.HEALTHY: "active",
    Condition.SETTLING: "active",
    Condition.SUSPECT: "active",
    Condition.FAILING: "failed",
    Condition.MISSING: "failed",
    Condition.UNKNOWN: "failed",
    Condition.NEEDS_HUMAN: "needs_human",
    Condition.FATAL: "needs_human",
    Condition.STOPPED: "stopped",
}

MOST_ADVICE = 20
"""Sessions whose advice is in the notes; of more the notes tell the number."""


def conclude_health(draft: Draft, scene: Scene) -> Health:
    """Build the health of this step, and move the readiness in the draft."""
    unread = is_unread(draft)
    sessions = tuple(
        _session_health(draft, scene, name, draft.sessions[name], unread=unread) for name in sorted(draft.sessions)
    )
    connections = _connections(sessions)
    breakers = _breakers(draft)
    status, why = _status(draft, sessions, breakers)
    wants, ready_why = _wants_ready(draft, sessions)
    draft.readiness = move_readiness(draft.readiness, wants, draft.policy.rise, draft.policy.fall)
    incident = draft.incident
    return Health(
        status=status,
        why=why,
        connections=connections,
        ready=draft.readiness.ready,
        ready_why=ready_why if wants == draft.readiness.ready else f"{ready_why}, but not for long enough",
        sessions=sessions,
        breakers=breakers,
        incident=None
        if incident is None
        else Incident(
            since=incident.since,
            cause=str(incident.cause),
            sessions=incident.sessions,
            canary=None if incident.proven else incident.canary,
        ),
        paused=draft.paused,
        memory_full_in=seconds_to_limit(draft),
        notes=_notes(draft, scene),
    )


def is_unread(draft: Draft) -> bool:
    """Whether the list of sessions could not be read for so long that nothing is known of them any more."""
    since = draft.gateway.unreadable_since
    return since is not None and (is_silent(draft) or draft.now - since >= draft.policy.failing_after)


def move_readiness(before: ReadyMemory, wants: bool, rise: int, fall: int) -> ReadyMemory:
    """Readiness follows only after `rise` polls in a row for it, or `fall` against it."""
    if wants == before.ready:
        return before if before.streak == 0 else replace(before, streak=0)
    streak = before.streak + 1
    if streak >= (rise if wants else fall):
        return ReadyMemory(ready=wants)
    return replace(before, streak=streak)


def _session_health(draft: Draft, scene: Scene, name: str, memory: SessionMemory, *, unread: bool) -> SessionHealth:
    condition, cause, group = memory.condition, memory.cause, GROUP_OF[memory.condition]
    if unread and group in ("active", "failed"):
        cause = Reason.GATEWAY_DOWN if is_silent(draft) else Reason.UNREADABLE
        condition, group = Condition.UNKNOWN, "failed"
    elif _is_away(memory, scene):
        condition, cause, group = Condition.FAILING, _away_because(scene), "failed"
    if memory.attempt is not None:
        group = "recovering"
    elif memory.breaker.state is BreakerState.HELD and group == "failed":
        group = "needs_human"
    absent = memory.absent_since is not None
    return SessionHealth(
        name=name,
        state=State.UNKNOWN if unread or absent else memory.state,
        condition=condition,
        reason=cause,
        since=memory.condition_since,
        group=group,
        expected=expected(name, memory, scene.policy),
        claim="" if unread or absent else memory.claim,
        next=draft.next.get(name),
        needs_qr=cause in QR_REASONS,
        advice=advice_for(cause, name) if group in ("needs_human", "failed") else "",
    )


def _is_away(memory: SessionMemory, scene: Scene) -> bool:
    """Whether a session that is still left alone has been starting for too long to count as active."""
    lasts = scene.now - memory.since >= scene.policy.failing_after and memory.samples >= scene.policy.failing_samples
    return memory.condition is Condition.SETTLING and memory.state is State.STARTING and lasts


def _away_because(scene: Scene) -> Reason:
    down = scene.policy.uplink_watched and scene.uplink is UplinkState.DOWN
    return Reason.UPLINK_DOWN if down else Reason.RECONNECTING


def _connections(sessions: tuple[SessionHealth, ...]) -> Connections:
    counts = dict.fromkeys(("active", "failed", "recovering", "needs_human", "stopped"), 0)
    for one in sessions:
        counts[one.group] += 1
    return Connections(total=len(sessions), **counts)


def _breakers(draft: Draft) -> Breakers:
    counts = dict.fromkeys(BreakerState, 0)
    for one in draft.sessions.values():
        if not one.operator_stopped:  # what does not run has nothing to hold back
            counts[one.breaker.state] += 1
    return Breakers(
        open=counts[BreakerState.OPEN], half_open=counts[BreakerState.HALF_OPEN], held=counts[BreakerState.HELD]
    )


def _status(draft: Draft, sessions: tuple[SessionHealth, ...], breakers: Breakers) -> tuple[Status, str]:
    """The status as a table: the first row that holds."""
    wanted = [one for one in sessions if one.expected]
    away = tuple(one.name for one in wanted if one.group != "active")
    rows: tuple[tuple[bool, Status, str], ...] = (
        (is_silent(draft), Status.UNHEALTHY, "the gateway does not answer"),
        (is_unread(draft), Status.UNHEALTHY, f"the list of sessions cannot be read: {_trouble(draft)}"),
        (
            bool(wanted) and not any(one.usable for one in wanted),
            Status.UNHEALTHY,
            f"none of {count(len(wanted), 'expected session')} is active",
        ),
        (bool(away), Status.DEGRADED, f"not active: {first_names(away)}"),
        (draft.incident is not None, Status.DEGRADED, "an incident"),
        (bool(breakers.open or breakers.held), Status.DEGRADED, "a breaker is open or held"),
        (draft.observation.redis_ok is False, Status.DEGRADED, "the gateway's Redis does not answer"),
        (
            bool(draft.observation.not_whole),
            Status.DEGRADED,
            f"credential keys in Redis that are not whole: {first_names(draft.observation.not_whole)}",
        ),
        (not draft.observation.state_writable, Status.DEGRADED, "the state cannot be written"),
    )
    for holds, status, why in rows:
        if holds:
            return status, why
    if not sessions and draft.observation.look.sightings is None:
        return Status.STARTING, "the list of sessions was not read yet"
    if not sessions:
        return Status.HEALTHY, "no session is there to look after"
    return Status.HEALTHY, f"{count(len(wanted), 'expected session')} active" if wanted else "no session is expected up"


def _wants_ready(draft: Draft, sessions: tuple[SessionHealth, ...]) -> tuple[bool, str]:
    """Whether this poll alone would say ready."""
    look = draft.observation.look
    if look.reachable is not True:
        return False, f"the gateway does not answer: {_trouble(draft)}"
    if is_unread(draft) or not (sessions or look.sightings is not None):
        return False, f"the list of sessions cannot be read: {_trouble(draft)}"
    wanted = [one for one in sessions if one.expected]
    usable = sum(1 for one in wanted if one.usable)
    when = draft.policy.ready_when
    return when.holds(
        usable, len(wanted)
    ), f"{usable} of {count(len(wanted), 'expected session')} usable, {when} needed"


def _trouble(draft: Draft) -> str:
    look = draft.observation.look
    return look.detail or str(look.trouble or "nobody knows why")


def _notes(draft: Draft, scene: Scene) -> tuple[str, ...]:
    observation = draft.observation
    notes: list[str] = []
    if draft.wants_process_restart:
        names = first_names(tuple(sorted(set(draft.wants_process_restart))))
        notes.append(f"Only a restart of the gateway process heals {names}. {how_to_restart(observation.process)}")
    if draft.gateway.attempt is not None:
        notes.append(_restarting(draft))
    notes.extend(process_notes(draft))
    if not observation.state_writable:
        notes.append("The state cannot be written: nothing is repaired, only observed, until it can.")
    look = observation.look
    if look.sightings is None and look.detail:
        notes.append(f"The last look at the gateway failed: {look.detail}")
    if draft.gateway.dropped_at is not None:
        ago = span(draft.now - draft.gateway.dropped_at)
        notes.append(f"The gateway dropped the connection {ago} ago, in a restart of a session, and is not back yet.")
    unwell = any(one.bad_since is not None for one in draft.sessions.values())
    if unwell and observation.uplink.state is UplinkState.DOWN and draft.policy.uplink_watched:
        told = observation.uplink.detail or "no answer"
        doubt = ""
        if scene.working:
            doubt = " Sessions work all the same, so it is taken as unknown; uplink: null ends the question."
        notes.append(f"WhatsApp cannot be reached from here ({told}): nothing is restarted meanwhile.{doubt}")
    notes.extend(_advice(draft))
    notes.extend(deaf_notes(draft))
    if not draft.policy.act:
        notes.append("recovery.mode is observe: nothing is repaired.")
    return tuple(dict.fromkeys((*notes, *look.notes, *draft.policy.notes)))


def how_to_restart(process: ProcessReading) -> str:
    """What a person types, and the key that lets us do it the next time."""
    unit = (process.keeper or "").removeprefix("systemd ")
    if process.keeper is not None and unit != process.keeper:
        return (
            f"By hand: systemctl restart {unit}. To let it be done from here: recovery.restart_gateway: "
            f"{{by: systemd, unit: {unit}}}"
        )
    return "Do it by hand, or let it be done from here: set recovery.restart_gateway (by is none)."


def _restarting(draft: Draft) -> str:
    attempt = draft.gateway.attempt
    assert attempt is not None
    if attempt.back_at is None:
        return f"The gateway process is being restarted, since {span(draft.now - attempt.at)}."
    return f"The gateway process was restarted {span(draft.now - attempt.at)} ago; it is observed whether it helps."


def _advice(draft: Draft) -> list[str]:
    needing = [told for name, one in sorted(draft.sessions.items()) if (told := _advice_for(draft, name, one))]
    if len(needing) <= MOST_ADVICE:
        return needing
    return [*needing[:MOST_ADVICE], f"{len(needing) - MOST_ADVICE} more sessions need a person."]


def _advice_for(draft: Draft, name: str, session: SessionMemory) -> str:
    row = TABLE[session.cause]
    advice, parking = advice_for(session.cause, name), offer(name, session, draft.policy, draft.now)
    if session.condition in (Condition.NEEDS_HUMAN, Condition.FATAL, Condition.MISSING) and advice:
        return f"{name}: {row.sentence}. {advice}"
    if session.condition is Condition.FAILING and session.breaker.trips:
        vain = count(session.failures, "remedy", "remedies")
        return f"{name}: {vain} in vain, and it is tried ever more rarely: {row.sentence}. {advice} {parking}".rstrip()
    return f"{name}: {row.sentence}. {parking}" if parking else ""
