"""The last rung: what calls for a restart of the gateway process, as a table."""

from __future__ import annotations

from collections.abc import Callable

from wasupervisor.decide.conditions import is_judged_now, is_patient
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.engine import is_gone
from wasupervisor.decide.ladder import WAHA, remedy_for, wants_gateway_restart
from wasupervisor.decide.limits import CPU, MEMORY, RESTART, is_over, key
from wasupervisor.decide.maintenance import is_due
from wasupervisor.decide.memory import SessionMemory
from wasupervisor.decide.scene import DAY, Scene, expected
from wasupervisor.model.observation import Trouble
from wasupervisor.model.sessions import Condition, Reason, State
from wasupervisor.model.value import Value

LOST_FOR = 300.0
"""Seconds of a good uplink and a good store. Evolution tries twice a second and is back within 8 s (2.3.6)."""


class Need(Value, frozen=True):
    """Why the gateway process is to be restarted, and for whom."""

    reason: Reason
    sessions: tuple[str, ...] = ()
    """Empty: for the gateway itself."""


class Row(Value, frozen=True):
    """One reason for a restart. The first that holds counts."""

    code: str
    sentence: str
    find: Callable[[Draft, Scene], Need | None]


def need(draft: Draft, scene: Scene) -> Need | None:
    """What calls for a restart of the gateway process now; None: nothing."""
    return next((found for row in ROWS if (found := row.find(draft, scene)) is not None), None)


def _gone(draft: Draft, scene: Scene) -> Need | None:
    since = draft.gateway.gone_since
    silent = draft.gateway.silent_since is not None
    patience = scene.policy.gone_after
    if draft.observation.process.by_port:
        patience = max(patience, scene.policy.hung_after)
    if since is None or not silent or scene.now - since < patience:
        return None
    return Need(Reason.GATEWAY_GONE)


def _hung(draft: Draft, scene: Scene) -> Need | None:
    since = draft.gateway.silent_since
    there = draft.observation.process.exists is True
    unasked = draft.observation.look.trouble is Trouble.UNRESOLVED
    if since is None or not there or unasked or scene.now - since < scene.policy.hung_after:
        return None
    return Need(Reason.GATEWAY_HUNG)


def _sessions(draft: Draft, scene: Scene) -> Need | None:
    """Sessions that nothing else heals: all with the reason of the one that is first in the alphabet."""
    wanting = {name: one.cause for name, one in _seen(draft) if _wants(name, one, scene) and _is_sure(draft, one)}
    if not wanting:
        return None
    reason = next(iter(wanting.values()))
    return Need(reason, tuple(name for name, cause in wanting.items() if cause is reason))


def _seen(draft: Draft) -> list[tuple[str, SessionMemory]]:
    """The sessions that this look has read: in one that read none, nobody is known to work either."""
    return [(name, draft.sessions[name]) for name in sorted(draft.listed)]


def _wants(name: str, session: SessionMemory, scene: Scene) -> bool:
    if not wants_gateway_restart(scene.policy, session.cause) or not expected(name, session, scene.policy):
        return False
    milder = remedy_for(scene.policy, session.cause) is not None
    if milder or _in_vain(session, scene) or session.attempt is not None:
        return False
    if session.condition is Condition.MISSING:
        return session.state is State.NOT_LOADED
    return is_judged_now(name, session, scene) and not is_patient(session, scene) and _is_lost(session, scene)


def _is_sure(draft: Draft, session: SessionMemory) -> bool:
    """Whether the engine of those that wait for it is gone for good."""
    return session.cause is not Reason.ENGINE_GONE or is_gone(draft)


def _is_lost(session: SessionMemory, scene: Scene) -> bool:
    """Whether what tries again by itself has had the time for it, with all that it needs."""
    if session.cause is not Reason.CONNECTION_LOST:
        return True
    return session.patience_from is not None and scene.now - session.patience_from >= LOST_FOR


def _in_vain(session: SessionMemory, scene: Scene) -> bool:
    """Whether a restart was made for it in vain. Where others work it is not asked again of them for a day."""
    tried = session.gateway_tried
    return tried is not None and bool(scene.working) and scene.now - tried < DAY


def _stuck_together(draft: Draft, scene: Scene) -> Need | None:
    """WAHA: restarting one of them could end the process all the same, and that less gracefully."""
    if scene.policy.gateway_kind != WAHA or scene.policy.restarter == "none" or scene.working:
        return None
    stuck = tuple(name for name, one in _seen(draft) if _is_stuck(name, one, scene))
    return Need(Reason.STUCK_STARTING, stuck) if stuck else None


def _is_stuck(name: str, session: SessionMemory, scene: Scene) -> bool:
    if session.cause is not Reason.STUCK_STARTING or session.attempt is not None or session.gateway_tried is not None:
        return False
    judged = expected(name, session, scene.policy) and is_judged_now(name, session, scene)
    return judged and not is_patient(session, scene)


def _memory(draft: Draft, _scene: Scene) -> Need | None:
    return Need(Reason.MEMORY_HIGH) if is_over(draft, MEMORY) else None


def _cpu(draft: Draft, _scene: Scene) -> Need | None:
    return Need(Reason.CPU_HIGH) if is_over(draft, CPU) else None


def may_want_restart(draft: Draft) -> bool:
    """Whether a restart may be due soon though all sessions work: then the uplink has to be known."""
    over = draft.gateway.resources.over
    wanted = any(key(gauge, RESTART) in over for gauge in (MEMORY, CPU)) or is_due(draft)
    return wanted and draft.policy.restarter != "none"


def _maintenance(draft: Draft, scene: Scene) -> Need | None:
    return Need(Reason.MEMORY_LEAK) if scene.policy.restarter != "none" and is_due(draft) else None


ROWS: tuple[Row, ...] = (
    Row(
        "gone",
        "its process is not there for `recovery.gateway.gone_after` and nothing brought it back (looked for by its "
        "port: for `hung_after`, for one that is starting does not listen yet)",
        _gone,
    ),
    Row("hung", "its process is there and its API does not answer for `recovery.gateway.hung_after`", _hung),
    Row("sessions", "sessions have a reason that nothing else heals", _sessions),
    Row("stuck", "WAHA: no session works, and those that start have outlived their patience", _stuck_together),
    Row("memory", "its memory is over `process.memory.restart` for its time, in at least 3 readings in a row", _memory),
    Row("cpu", "its CPU is over `process.cpu.restart` for its time, in at least 3 readings in a row", _cpu),
    Row(
        "maintenance",
        "a window of `recovery.maintenance` is open, and its memory will reach its limit within a day or before the "
        "next window ends; once in each window",
        _maintenance,
    ),
)
