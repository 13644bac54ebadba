"""Chooses the remedies of this step, and says of every other session what happens next."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.asked import Block, Kind
from wasupervisor.decide.conditions import WORKED, is_judged_now, is_patient, patience_left
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.gates import first_block, only_gateway_restart_heals
from wasupervisor.decide.ladder import remedy_for, rung_for
from wasupervisor.decide.memory import SessionMemory
from wasupervisor.decide.parking import is_to_be_parked
from wasupervisor.decide.reasons import TABLE, advice_for
from wasupervisor.decide.scene import Scene
from wasupervisor.decide.words import count, span
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.model.sessions import Condition, Reason, State

ITS_OWN = frozenset({"lone", "killing", "diagnosed", "mistyped", "breaker", "session_budget"})
"""What stands against one session and not against another: as the canary it would keep all of them waiting."""

TOLD_AGAIN_AFTER = 300.0
"""Seconds: a reason that comes and goes, as in a fight, is told no more often."""


def plan(draft: Draft, scene: Scene) -> None:
    """Ask for the remedy of every session that needs one, the least tried first."""
    waiting = [name for name, one in draft.sessions.items() if one.condition is not Condition.HEALTHY or one.attempt]
    for name in sorted(waiting, key=lambda name: _rank(draft.sessions[name], name)):
        if name not in draft.next:
            _plan_one(draft, scene, name)


def _rank(session: SessionMemory, name: str) -> tuple[int, float, str]:
    return session.failures, session.since if session.bad_since is None else session.bad_since, name


def _plan_one(draft: Draft, scene: Scene, name: str) -> None:
    session = draft.sessions[name]
    rung = rung_for(scene.policy.gateway_kind, session.cause)
    kind = remedy_for(scene.policy, session.cause)
    if is_to_be_parked(session, scene, in_incident=draft.incident is not None):
        kind = RemedyKind.PARK_SESSION
    if session.attempt is not None:
        draft.next[name] = _verifying(session, scene)
    elif session.condition is Condition.FAILING and kind is not None:
        _try_remedy(draft, scene, name, kind)
    else:
        draft.next[name] = _waiting(name, session, scene, rung.why)


def _try_remedy(draft: Draft, scene: Scene, name: str, kind: RemedyKind) -> None:
    session = draft.sessions[name]
    if not is_judged_now(name, session, scene):
        draft.next[name] = f"watched: {session.claim or session.state} is not seen for long enough to be judged"
        return
    asked = draft.ask(name, kind, scene)
    block = first_block(asked)
    if is_patient(session, scene) and (block is None or block.kind is Kind.TURN):
        draft.next[name] = f"{kind} in {span(patience_left(session, scene))} if it does not come back by itself"
        return
    if block is None:
        draft.book(asked)
        return
    if block.code == "killing" or (only_gateway_restart_heals(asked) and block.code == "lone"):
        draft.wants_process_restart.append(name)
    draft.next[name] = _withheld_text(session, kind, block, scene)
    if block.kind is not Kind.TURN:
        _tell_withheld(draft, name, kind, block)
    if block.code in ITS_OWN and draft.incident is not None and draft.incident.canary == name:
        draft.incident = replace(draft.incident, canary=None)


def _tell_withheld(draft: Draft, name: str, kind: RemedyKind, block: Block) -> None:
    """Journal a withheld remedy once for each reason, and in an incident once for all its sessions.

    There one reason may hold one session back and another reason the others, at the same time.
    Waiting for a turn is no withholding.
    """
    session, incident = draft.sessions[name], draft.incident
    until = "" if block.until is None else f", for {span(block.until - draft.now)}"
    entry = Entry(
        kind=EntryKind.WITHHELD,
        text=f"{kind} is withheld{until}: {block.text}",
        session=name,
        reason=session.cause,
        remedy=kind,
        outcome=block.code,
    )
    for_all = block.code == "sessions_budget" or (block.kind is Kind.GATE and incident and not incident.proven)
    if for_all and incident is not None and name in incident.sessions:
        if block.code not in incident.told:
            draft.incident = replace(incident, told=(*incident.told, block.code))
            text = f"{kind} of {count(len(incident.sessions), 'session')} is withheld{until}: {block.text}"
            draft.entries.append(replace(entry, text=text, session=None))
    elif session.withheld != block.code:
        told_at = {code: at for code, at in session.told_at.items() if draft.now - at < TOLD_AGAIN_AFTER}
        if block.code not in told_at:
            told_at[block.code] = draft.now
            draft.entries.append(entry)
        draft.sessions[name] = replace(session, withheld=block.code, told_at=told_at)


def _withheld_text(session: SessionMemory, kind: RemedyKind, block: Block, scene: Scene) -> str:
    most, number = scene.policy.breaker.failures, session.failures + 1
    attempt = f"attempt {number} of {most}" if number <= most else f"attempt {number}"
    if block.until is not None:
        return f"{kind} in {span(block.until - scene.now)} ({attempt}): {block.text}"
    return f"{kind} is withheld: {block.text}"


def _verifying(session: SessionMemory, scene: Scene) -> str:
    attempt = session.attempt
    assert attempt is not None
    if attempt.outcome is None:
        return f"{attempt.kind} is under way"
    if session.state is State.WORKING and session.working_since is not None:
        left = scene.policy.stable_for - (scene.now - max(attempt.ended, session.working_since))
        return f"healed by {attempt.kind} if it stays so for {span(left)} more"
    return f"{attempt.kind} was made {span(scene.now - attempt.ended)} ago; it is observed whether it helps"


def _waiting(name: str, session: SessionMemory, scene: Scene, why: str) -> str:
    row, condition = TABLE[session.cause], session.condition
    if condition is Condition.SETTLING and session.working_since is not None:
        return f"healthy if it stays so for {span(scene.policy.stable_for - (scene.now - session.working_since))} more"
    judging = condition in WORKED or condition is Condition.UNKNOWN
    if session.cause is Reason.RECONNECTING or (judging and session.state is State.STARTING):
        more = "" if session.patience_from is None else f" for {span(patience_left(session, scene))} more"
        return f"left alone{more}: the gateway is at it"
    if judging and not (condition is Condition.UNKNOWN and session.cause is Reason.UNREADABLE):
        return "watched: it is not bad for long enough to be judged"
    if why:
        return f"nothing is done: {why}"
    if condition in (Condition.NEEDS_HUMAN, Condition.FATAL, Condition.MISSING):
        return advice_for(session.cause, name)
    return f"nothing is done: {row.sentence}"
