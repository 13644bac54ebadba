"""The restart of the gateway process: planned, put on the books, and verified."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.asked import Block, Kind
from wasupervisor.decide.attempts import HEARD_NOTHING_AFTER, JITTER, grown, unmade_wait
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.gateway_gates import Asked, first_block
from wasupervisor.decide.ladder import rung_for, wants_gateway_restart
from wasupervisor.decide.last_rung import Need, need
from wasupervisor.decide.limits import GAUGES, exceeds, is_over
from wasupervisor.decide.memory import Breaker, BreakerState, GatewayAttempt, SessionMemory
from wasupervisor.decide.reasons import FOR_RESOURCES, TABLE
from wasupervisor.decide.scene import DAY, Scene
from wasupervisor.decide.words import first_names, span
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.remedies import Outcome, Remedy, RemedyKind, Result
from wasupervisor.model.sessions import Condition, Reason, State

KIND = RemedyKind.RESTART_GATEWAY

ITSELF = "the gateway"

NOT_AWAITED = frozenset({Condition.STOPPED, Condition.NEEDS_HUMAN, Condition.FATAL})
"""How a session may be after a restart that did its work: a person's doing, or for a person to do."""

RESTARTS_WITHIN = 180.0
"""Seconds after which a restart whose end nobody heard, or after which no new process was seen, is judged.

A WAHA with a query in flight takes 118 s to end (2024.10.8)."""

OPEN_FOR = 300.0
"""Seconds for which the gateway's breaker opens at the least: a restart in vain costs all sessions."""


GOOD_AFTER = 1800.0
"""Seconds that a start has to last before it counts as good. One that is over its limit again before was in vain."""


def plan_restart(draft: Draft, scene: Scene) -> None:
    """Ask for a restart of the gateway process, where something calls for it."""
    wanted = need(draft, scene)
    if wanted is None:
        if draft.gateway.told and not _will_be_wanted(draft):
            draft.gateway = replace(draft.gateway, told=())
        return
    asked = Asked(wanted, draft, scene)
    block = first_block(asked)
    if block is None:
        book(draft, asked)
        return
    if block.code == "no_restarter":
        draft.wants_process_restart.extend(wanted.sessions or (ITSELF,))
    for name in wanted.sessions:
        draft.next.setdefault(name, _withheld(block, draft.now))
    told = draft.gateway.told
    if block.kind is not Kind.TURN and block.code not in told:
        draft.gateway = replace(draft.gateway, told=(*told, block.code))
        text = f"{_withheld(block, draft.now)} ({_named(wanted)}: {TABLE[wanted.reason].sentence})"
        draft.entries.append(_entry(EntryKind.WITHHELD, text, wanted.reason, outcome=block.code))


def _will_be_wanted(draft: Draft) -> bool:
    """Whether a session is failing for what only that heals, and just does not show it in this look: in a fight."""
    failing = (one for one in draft.sessions.values() if one.condition is Condition.FAILING)
    return any(wants_gateway_restart(draft.policy, one.cause) for one in failing)


def book(draft: Draft, asked: Asked) -> str:
    """Put a restart of the gateway on the books and among what is to be performed. Returns its id."""
    wanted, known, now = asked.need, draft.gateway, draft.now
    identity = draft.new_id()
    why = _why(draft, asked)
    draft.remedies.append(
        Remedy(
            id=identity,
            kind=KIND,
            session="",
            why=why,
            cause=wanted.reason,
            sessions=wanted.sessions,
            ordered=asked.ordered,
            forced=asked.forced,
        )
    )
    half_open = known.breaker.state is BreakerState.OPEN
    draft.gateway = replace(
        known,
        attempt=GatewayAttempt(
            id=identity,
            at=now,
            cause=wanted.reason,
            sessions=wanted.sessions,
            run=known.run,
            ordered=asked.ordered,
            working=tuple(sorted(asked.scene.working)) if wanted.reason in FOR_RESOURCES else (),
        ),
        restarts=(*(at for at in known.restarts if now - at < DAY), now),
        breaker=replace(known.breaker, state=BreakerState.HALF_OPEN) if half_open else known.breaker,
        told=(),
    )
    for name in wanted.sessions:
        draft.next[name] = f"{KIND} is under way"
    draft.entries.append(_entry(EntryKind.REMEDY, why, wanted.reason))
    return identity


def take_gateway_result(draft: Draft, result: Result) -> None:
    """Book how the restart ended. One that was certainly not made is taken off the books again."""
    known = draft.gateway
    attempt = known.attempt
    if attempt is None or attempt.id != result.remedy_id or attempt.outcome is not None:
        return
    if result.outcome.was_made:
        draft.gateway = replace(known, attempt=replace(attempt, outcome=result.outcome, ended=draft.now), unmade=0)
        odd = result.outcome is not Outcome.ACCEPTED
        draft.entries.append(_entry(EntryKind.RESULT, _told(result), attempt.cause, outcome=result.outcome, warn=odd))
        return
    wait = unmade_wait(known.unmade, draft.policy)
    breaker = known.breaker
    if breaker.state is BreakerState.HALF_OPEN:
        breaker = replace(breaker, state=BreakerState.OPEN)
    draft.gateway = replace(
        known,
        attempt=None,
        restarts=tuple(at for at in known.restarts if at != attempt.at),
        not_before=draft.now + wait,
        unmade=known.unmade + 1,
        breaker=breaker,
    )
    draft.entries.append(_entry(EntryKind.WITHHELD, _told(result), attempt.cause, outcome=result.outcome, warn=True))


def verify_restart(draft: Draft, scene: Scene) -> None:
    """Look whether the restart of the gateway has healed, has failed, or is not yet to be judged."""
    attempt, known = draft.gateway.attempt, draft.gateway
    if attempt is None:
        _judge_relief(draft)
        return
    late = draft.now - attempt.ended >= RESTARTS_WITHIN
    if attempt.outcome is None and draft.now - attempt.at >= draft.policy.drain + RESTARTS_WITHIN + HEARD_NOTHING_AFTER:
        attempt = replace(attempt, outcome=Outcome.TIMED_OUT, ended=draft.now)
        draft.gateway = replace(known, attempt=attempt)
        text = f"the end of {KIND} was never heard; it counts as made"
        draft.entries.append(_entry(EntryKind.RESULT, text, attempt.cause, outcome=Outcome.TIMED_OUT, warn=True))
    elif attempt.outcome is None:
        return
    elif attempt.outcome is Outcome.REFUSED:
        _failed(draft, attempt, "it was refused")
    elif attempt.back_at is None:
        _wait_for_process(draft, scene, attempt, late=late)
    else:
        _wait_for_sessions(draft, scene, attempt, attempt.back_at)


def _wait_for_process(draft: Draft, scene: Scene, attempt: GatewayAttempt, *, late: bool) -> None:
    """Until the new process answers. Where nobody tells the run, the restarter's word has to do for its being new."""
    carried_out = attempt.outcome is Outcome.ACCEPTED and not scene.run_known
    renewed = draft.gateway.run != attempt.run or carried_out
    if renewed and draft.observation.look.sightings is not None and draft.now > attempt.ended:
        draft.gateway = replace(draft.gateway, attempt=replace(attempt, back_at=draft.now))
        for name in attempt.sessions if attempt.cause is Reason.FIGHT else ():
            if name in draft.sessions:  # what falls from now on is no fight of the process that has ended
                draft.sessions[name] = replace(draft.sessions[name], fought=draft.now, fallen=())
    elif late:
        _failed(draft, attempt, "no new process was seen that answers")


def _wait_for_sessions(draft: Draft, scene: Scene, attempt: GatewayAttempt, back_at: float) -> None:
    if not attempt.sessions and draft.gateway.unreadable_since is not None:
        # It was for the gateway itself, which does not answer again: what it did before proves nothing.
        draft.gateway = replace(draft.gateway, attempt=replace(attempt, back_at=None))
        return
    calm = scene.calm and draft.gateway.unreadable_since is None
    if calm is (attempt.calm_since is None):
        attempt = replace(attempt, calm_since=draft.now if calm else None)
        draft.gateway = replace(draft.gateway, attempt=attempt)
    healed = _healed(draft, attempt, back_at)
    if healed:
        _mark_tried(draft, attempt)
        draft.gateway = replace(
            draft.gateway,
            attempt=None,
            breaker=replace(draft.gateway.breaker, state=BreakerState.CLOSED),
            relieved_at=draft.now if attempt.cause in FOR_RESOURCES else None,
        )
        lasted = span(draft.now - attempt.at)
        others = tuple(name for name in attempt.sessions if name not in healed)
        text = f"healed: {_are(healed)} well again {lasted} after {KIND}{f'; {_are(others)} not' if others else ''}"
        draft.entries.append(_entry(EntryKind.VERIFIED, text, attempt.cause, outcome="healed"))
        return
    if attempt.calm_since is None:
        return
    begun = max(attempt.calm_since, draft.gateway.grace_until)
    if draft.now - begun >= scene.policy.starting_timeout + scene.policy.stable_for:
        _failed(draft, attempt, f"not well {span(draft.now - back_at)} after the new process answered")


def _healed(draft: Draft, attempt: GatewayAttempt, back_at: float) -> tuple[str, ...]:
    """Who of those that it was for is well; of the gateway itself, whether it answers and stays so."""
    if not attempt.sessions:
        lasts = draft.now - back_at >= draft.policy.stable_for
        return (ITSELF,) if lasts and _is_relieved(draft, attempt) else ()
    known = ((name, draft.sessions[name]) for name in attempt.sessions if name in draft.sessions)
    return tuple(
        name
        for name, one in known
        if one.condition is Condition.HEALTHY
        and one.state is State.WORKING
        and (attempt.cause is not Reason.FALSE_WORKING or _is_answered(one, back_at))
    )


def _is_relieved(draft: Draft, attempt: GatewayAttempt) -> bool:
    """After a restart for memory or CPU: whether it is below its limits, and who worked before works again."""
    if attempt.cause not in FOR_RESOURCES:
        return True
    if any(exceeds(gauge, draft.observation.process, draft.policy) for gauge in GAUGES):
        return False
    known = (draft.sessions[name] for name in attempt.working if name in draft.sessions)
    return all(one.state is State.WORKING or one.condition in NOT_AWAITED for one in known)


def _judge_relief(draft: Draft) -> None:
    """A start that is soon over its limit again was no good one: the breaker opens, each time for longer."""
    since = draft.gateway.relieved_at
    if since is None:
        return
    if draft.now - since >= GOOD_AFTER:
        draft.gateway = replace(draft.gateway, relieved_at=None)
        return
    over = next((gauge for gauge in GAUGES if is_over(draft, gauge)), None)
    if over is not None:
        draft.gateway = replace(draft.gateway, relieved_at=None)
        wait = _open_breaker(draft)
        text = f"{KIND} did not help for long: {TABLE[over.reason].sentence} again after {span(draft.now - since)}"
        told = f"{text}; the gateway's breaker is open for {span(wait)}, and then it is tried again, ever more rarely"
        draft.entries.append(_entry(EntryKind.VERIFIED, told, over.reason, outcome="not_healed", warn=True))


def _is_answered(session: SessionMemory, since: float) -> bool:
    at = None if session.probe is None else session.probe.answered_at
    return at is not None and at > since


def _failed(draft: Draft, attempt: GatewayAttempt, why: str) -> None:
    """Book a restart that did not heal: the breaker opens at once, for it costs all sessions."""
    wait = _open_breaker(draft)
    draft.gateway = replace(draft.gateway, attempt=None)
    _mark_tried(draft, attempt)
    text = f"{KIND} did not heal: {why}; the gateway's breaker is open for {span(wait)}"
    draft.entries.append(_entry(EntryKind.VERIFIED, text, attempt.cause, outcome="not_healed", warn=True))


def _open_breaker(draft: Draft) -> float:
    """Open the gateway's breaker, each time in a row for twice as long. Returns for how many seconds."""
    rule, known = draft.policy.breaker, draft.gateway
    forgotten = draft.now - known.breaker.until >= rule.open_max
    trips = 1 if forgotten else known.breaker.trips + 1
    wait = grown(max(rule.open_for, OPEN_FOR), 2.0, trips - 1, max(rule.open_max, OPEN_FOR))
    until = draft.now + wait * (1 + JITTER * draft.roll(KIND))
    draft.gateway = replace(known, breaker=Breaker(state=BreakerState.OPEN, until=until, trips=trips))
    return until - draft.now


def _mark_tried(draft: Draft, attempt: GatewayAttempt) -> None:
    """Remember for whom it was in vain: not who is healthy, and nobody where no new process was seen."""
    for name in attempt.sessions if attempt.back_at is not None else ():
        known = draft.sessions.get(name)
        if known is not None and known.condition is not Condition.HEALTHY:
            draft.sessions[name] = replace(known, gateway_tried=draft.now)


def _why(draft: Draft, asked: Asked) -> str:
    if asked.ordered:
        return f"{KIND}: an operator ordered it"
    wanted = asked.need
    rung = rung_for(draft.policy.gateway_kind, wanted.reason)
    told = rung.why if rung.remedy is KIND else "no session works, and a restart of one could kill the gateway anyway"
    return f"{KIND} for {_named(wanted)}: {TABLE[wanted.reason].sentence}; {told}"


def _named(wanted: Need) -> str:
    return first_names(wanted.sessions) if wanted.sessions else ITSELF


def _are(names: tuple[str, ...]) -> str:
    return f"{first_names(names)} {'is' if len(names) == 1 else 'are'}"


def _withheld(block: Block, now: float) -> str:
    until = "" if block.until is None else f" for {span(block.until - now)}"
    return f"{KIND} is withheld{until}: {block.text}"


def _told(result: Result) -> str:
    told = {
        Outcome.ACCEPTED: f"{KIND} was carried out; now it is observed whether it helps",
        Outcome.REFUSED: f"{KIND} was refused",
        Outcome.UNREACHABLE: f"{KIND} was not made",
        Outcome.WITHHELD: f"{KIND} was withheld by the look right before it",
    }.get(result.outcome, f"{KIND} did not end in time; it counts as made")
    return f"{told}: {result.detail}" if result.detail else told


def _entry(kind: EntryKind, text: str, reason: Reason, *, outcome: str | None = None, warn: bool = False) -> Entry:
    return Entry(kind=kind, text=text, reason=reason, remedy=KIND, outcome=outcome, warn=warn)
