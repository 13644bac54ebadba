"""What may stand against a remedy, as a table: every row has its sentence, and the first that holds withholds it.

A gate is a precondition. A breaker or a budget ends by itself at a time that is told. A turn only waits for others.
"""

from __future__ import annotations

from wasupervisor.decide.asked import FITTING, Asked, Block, Found, Kind, Row, first_holding, spent, told_pause
from wasupervisor.decide.memory import BreakerState
from wasupervisor.decide.reasons import FOR_A_PERSON, TABLE, advice_for
from wasupervisor.decide.scene import DAY, HOUR
from wasupervisor.decide.words import count, span
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.model.sessions import Reason, State


def _in_flight(asked: Asked) -> Found:
    attempt = asked.session.attempt
    if attempt is None:
        return None
    if attempt.outcome is None:
        return f"{attempt.kind} is under way", None
    return None if asked.ordered else (f"{attempt.kind} is being verified", None)


def _read_only(asked: Asked) -> Found:
    return (
        None if asked.state_writable else ("the state cannot be written, so that nothing would be on the books", None)
    )


def _observe(asked: Asked) -> Found:
    return None if asked.scene.policy.act else ("recovery.mode is observe", None)


def _paused(asked: Asked) -> Found:
    return told_pause(asked.paused)


def _unread(asked: Asked) -> Found:
    return None if asked.listed else ("the gateway did not tell its state in this look", None)


def _misfit(asked: Asked) -> Found:
    state, fitting = asked.session.state, FITTING[asked.remedy]
    if state is State.WORKING and asked.session.cause is Reason.FALSE_WORKING:
        return None
    return None if state in fitting else (f"{asked.remedy} is not for a session that is {state}", None)


def _grace(asked: Asked) -> Found:
    until = asked.gateway.grace_until
    return None if asked.scene.now >= until else ("the grace after a start is not over", until)


def _fatal(asked: Asked) -> Found:
    if asked.session.condition not in FOR_A_PERSON:
        return None
    row = TABLE[asked.session.cause]
    return f"{row.sentence}. {advice_for(row.reason, asked.name)}".strip(), None


def _gateway_restart(asked: Asked) -> Found:
    attempt = asked.gateway.attempt
    if attempt is None or attempt.back_at is not None:
        return None
    return "the gateway process is being restarted", None


def _disk(asked: Asked) -> Found:
    return ("the disk is nearly full, and what cannot be written is lost", None) if asked.disk_low else None


def _mistyped(asked: Asked) -> Found:
    if not asked.mistyped:
        return None
    return "its credential key in Redis is not whole: a restart would throw its identity away", None


def _killing(asked: Asked) -> Found:
    """The one case in which a restart of the session surely ends the process (measured: 4 of 4, WAHA 2024.10.8)."""
    if asked.remedy is not RemedyKind.RESTART_SESSION or asked.session.cause is not Reason.UPGRADE_REFUSED:
        return None
    if not asked.can_kill_gateway or asked.is_lone:
        return None
    return "a restart of the session would end the gateway's process, and with it the sessions that work", None


def _diagnosed(asked: Asked) -> Found:
    """In an incident a second failure does not tell that the account is unlinked, and a third would not either.

    When every one of them had its restart, canaries go on at their pace, so that none is given up.
    """
    if not asked.session.diagnosed or asked.session.cause is not Reason.UNEXPLAINED or asked.all_diagnosed:
        return None
    return "its one diagnosing restart was made; the others of the incident tell whether it was the account", None


def _store(asked: Asked) -> Found:
    if asked.scene.store_well:
        return None
    if asked.scene.redis_ok is False:
        return "the gateway's Redis does not answer: a restart now would throw identities away", None
    if asked.scene.store_ok is False:
        return "the gateway's database does not answer: a restart now would do harm", None
    return "it is not known whether the gateway's database is well", None


def _uplink(asked: Asked) -> Found:
    harmless = asked.remedy is RemedyKind.PARK_SESSION and asked.session.state is not State.STARTING
    if asked.scene.uplink_up or harmless:
        return None
    if asked.scene.uplink is UplinkState.DOWN:
        return "WhatsApp cannot be reached from here: a restart now would not help and could do harm", None
    return "it is not known whether WhatsApp can be reached from here", None


def _lone(asked: Asked) -> Found:
    if not asked.is_lone:
        return None
    if asked.keeper is None and asked.can_kill_gateway and asked.scene.policy.restarter == "none":
        return "no other session works, and nothing is known that would start the gateway again if it died of it", None
    return None


def _instead(asked: Asked) -> Found:
    restarter = asked.scene.policy.restarter != "none"
    if not (asked.is_lone and asked.can_kill_gateway and restarter) or asked.session.gateway_tried is not None:
        return None
    return "no other session works, so that the gateway process is restarted instead", None


def _lone_turn(asked: Asked) -> Found:
    if not asked.is_lone or asked.canary in (None, asked.name):
        return None
    return f"no other session works, and {asked.canary} is the canary and is tried first", None


def _lone_wait(asked: Asked) -> Found:
    if not asked.is_lone or asked.scene.now >= asked.gateway.canary_not_before:
        return None
    return "no other session works, and the last canary was not healed", asked.gateway.canary_not_before


def _gateway_budget(asked: Asked) -> Found:
    budget, now = asked.scene.policy.budget, asked.scene.now
    if asked.session.state is not State.STARTING:
        return None
    for length, most, word in ((HOUR, budget.gateway_per_hour, "an hour"), (DAY, budget.gateway_per_day, "a day")):
        made, until = spent(asked.gateway.restarts, most, length, now)
        if made >= most:
            return f"the gateway restarted {count(made, 'time')} within {word} because of us", until
    return None


def _incident(asked: Asked) -> Found:
    incident = asked.incident
    if incident is None or incident.proven or asked.name not in incident.sessions:
        return None
    if incident.canary not in (None, asked.name):
        return f"one incident: {incident.canary} is the canary and is tried first", None
    if asked.scene.now < asked.gateway.canary_not_before:
        return "one incident: the last canary was not healed", asked.gateway.canary_not_before
    return None


def _breaker(asked: Asked) -> Found:
    breaker = asked.session.breaker
    if breaker.state is BreakerState.HELD:
        return "its breaker is held: a person must act", None
    if breaker.state is BreakerState.OPEN and asked.scene.now < breaker.until:
        return "its breaker is open", breaker.until
    return None


def _spacing(asked: Asked) -> Found:
    last, floor = asked.session.last_restart, asked.scene.policy.restart_spacing
    if last is None or asked.scene.now >= last + floor:
        return None
    return f"this gateway wants {span(floor)} between two restarts of a session", last + floor


def _backoff(asked: Asked) -> Found:
    until = asked.session.not_before
    return None if asked.scene.now >= until else ("back-off", until)


def _session_budget(asked: Asked) -> Found:
    most = asked.scene.policy.budget.per_session_per_hour
    made, until = spent(asked.session.made, most, HOUR, asked.scene.now)
    return None if made < most else (f"its budget of {most} remedies per hour is spent", until)


def _sessions_budget(asked: Asked) -> Found:
    most = asked.scene.policy.budget.sessions_per_hour
    made, until = spent(asked.gateway.made, most, HOUR, asked.scene.now)
    return None if made < most else (f"the budget of {most} remedies per hour for all sessions is spent", until)


def _concurrent(asked: Asked) -> Found:
    most = asked.scene.policy.budget.concurrent
    return None if asked.in_flight < most else ("another remedy is under way", None)


def _spread(asked: Asked) -> Found:
    last, spacing = asked.gateway.last_remedy, asked.scene.policy.budget.spacing
    return None if last is None or asked.scene.now >= last + spacing else ("remedies keep a distance", last + spacing)


ROWS: tuple[Row, ...] = (
    Row("under_way", Kind.TURN, "a remedy of the session is under way or being verified", _in_flight, True, True),
    Row("gateway_restart", Kind.TURN, "the gateway process is being restarted by us", _gateway_restart, True, True),
    Row(
        "state_unwritable",
        Kind.GATE,
        "the state cannot be written, so that an attempt would not be on the books",
        _read_only,
        True,
        True,
    ),
    Row(
        "mistyped",
        Kind.GATE,
        "the session's credential key in Redis is mistyped, gone or set aside",
        _mistyped,
        True,
        True,
        parks=False,
    ),
    Row("observe", Kind.GATE, "recovery.mode is observe", _observe),
    Row("paused", Kind.GATE, "an operator has paused the recovery", _paused),
    Row("unread", Kind.TURN, "this look did not tell the session's state", _unread, True),
    Row("misfit", Kind.TURN, "the remedy is not for the state that the session is in", _misfit),
    Row("grace", Kind.GATE, "the grace after a start, of ours or of the gateway, is not over", _grace),
    Row("person", Kind.GATE, "only a person can do something about the reason", _fatal, parks=False),
    Row(
        "diagnosed", Kind.GATE, "the one diagnosing restart of an unexplained failure was made", _diagnosed, parks=False
    ),
    Row("store", Kind.GATE, "the gateway's database or Redis is not known to be well", _store, True, parks=False),
    Row("disk", Kind.GATE, "the disk is nearly full", _disk, parks=False),
    Row("uplink", Kind.GATE, "WhatsApp is not known to be reachable from here", _uplink, True),
    Row("killing", Kind.GATE, "a restart of the session would end the gateway's process", _killing),
    Row("lone", Kind.GATE, "no session works, and nothing is known that brings the gateway back", _lone),
    Row("instead", Kind.TURN, "no session works, and the gateway process is restarted instead", _instead, parks=False),
    Row("lone_turn", Kind.TURN, "no session works, and another one is the canary", _lone_turn, parks=False),
    Row("gateway_budget", Kind.LIMIT, "the gateway restarted too often because of us", _gateway_budget),
    Row("incident", Kind.TURN, "one incident: another session is the canary", _incident, parks=False),
    Row("lone_wait", Kind.LIMIT, "no session works, and the last canary was not healed", _lone_wait, parks=False),
    Row("breaker", Kind.LIMIT, "the session's breaker is open or held", _breaker, parks=False),
    Row(
        "restart_spacing",
        Kind.LIMIT,
        "the gateway wants a distance between two restarts of a session",
        _spacing,
        True,
        True,
        parks=False,
    ),
    Row("backoff", Kind.TURN, "the wait after the last remedy is not over", _backoff),
    Row("session_budget", Kind.LIMIT, "the session's budget for the hour is spent", _session_budget, parks=False),
    Row(
        "sessions_budget", Kind.LIMIT, "the budget of all sessions for the hour is spent", _sessions_budget, parks=False
    ),
    Row("concurrent", Kind.TURN, "as many remedies are under way as are allowed at once", _concurrent),
    Row("spread", Kind.TURN, "remedies keep a distance from each other", _spread),
)


def first_block(asked: Asked) -> Block | None:
    """The first hindrance that holds, or None when the remedy may be performed."""
    rows = ROWS if asked.remedy is not RemedyKind.PARK_SESSION else tuple(row for row in ROWS if row.parks)
    return first_holding(rows, asked, ordered=asked.ordered, forced=asked.forced)


def only_gateway_restart_heals(asked: Asked) -> bool:
    """Whether the lone gate is shut for want of a keeper: then a person has to restart the gateway."""
    return (
        asked.is_lone
        and asked.can_kill_gateway
        and asked.keeper is None
        and asked.scene.policy.restarter == "none"
        and asked.session.cause in (Reason.STUCK_STARTING, Reason.UPGRADE_REFUSED)
    )
