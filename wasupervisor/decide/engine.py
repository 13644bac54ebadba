"""The process in which the engine of a WAHA with GOWS runs, a child of the gateway's: there, and then gone.

Not measured. By its source (2025) WAHA sends itself SIGTERM when that child ends, so that it is gone itself soon
afterwards. What is left is a WAHA that does not end: its API answers, its sessions cannot, and no restart of a session
helps (500, '14 UNAVAILABLE: No connection established', WAHA issue 1421).
"""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.ladder import WAHA
from wasupervisor.decide.memory import Engine
from wasupervisor.decide.words import span
from wasupervisor.model.journal import EntryKind
from wasupervisor.model.observation import ProcessReading

PROGRAM = "gows"
"""As the kernel calls it; one by another name is never missed."""

SEEMS = 2
"""Readings in a row without it after which no session is restarted by itself any more: that would not help."""

ENOUGH = 3
"""Readings in a row without it after which it is gone."""

GONE_FOR = 30.0
"""Seconds as well: a WAHA that ends because of it takes 3 s, and 20 s in a handshake (SIGTERM, 2024.10.8)."""


def track_engine(draft: Draft) -> None:
    """Take this look's reading into what is known of the engine's process."""
    if draft.policy.gateway_kind != WAHA:
        return
    before = draft.gateway.engine
    after = _track(draft, before)
    if before.told and not after.told and after.seen_in == before.seen_in:
        draft.say(EntryKind.GATEWAY, f"the process of the gateway's engine ({PROGRAM}) is there again")
    elif not after.told and _lasts(after, draft.now):
        after = replace(after, told=True)
        draft.say(EntryKind.GATEWAY, engine_told(after, draft.now), warn=True)
    if after != before:
        draft.gateway = replace(draft.gateway, engine=after)


def is_there(process: ProcessReading) -> bool | None:
    """Whether the engine's process lives; None: not known, for nothing was measured."""
    if process.exists is not True or process.run is None or process.processes is None:
        return None
    return PROGRAM in process.programs


def seems_gone(draft: Draft) -> bool:
    """Whether it is away, perhaps for a moment."""
    return draft.gateway.engine.samples >= SEEMS


def is_gone(draft: Draft) -> bool:
    """Whether it is away for long enough, and in this very look."""
    return _lasts(draft.gateway.engine, draft.now) and is_there(draft.observation.process) is False


def engine_told(engine: Engine, now: float) -> str:
    """That it is gone, as a sentence."""
    lasts = span(now - engine.gone_since)
    return f"the process of the gateway's engine ({PROGRAM}) is gone for {lasts}, and the gateway lives on"


def _track(draft: Draft, known: Engine) -> Engine:
    process, now = draft.observation.process, draft.now
    there = is_there(process)
    if there:
        return Engine(seen_in=process.run, run=draft.gateway.run)
    if known.run != draft.gateway.run or (there is False and known.seen_in != process.run):
        return Engine()
    if there is None:
        return _unseen(known, now)
    if known.samples == 0 or _was_blind(draft, known):
        return replace(known, gone_since=now, samples=max(1, min(known.samples, SEEMS)), unseen_since=None)
    return replace(known, samples=min(known.samples + 1, ENOUGH), unseen_since=None)


def _unseen(known: Engine, now: float) -> Engine:
    """An unknown reading counts neither for nor against it. What was gone is not restarted by the gateway itself."""
    return known if known.samples == 0 or known.unseen_since is not None else replace(known, unseen_since=now)


def _was_blind(draft: Draft, known: Engine) -> bool:
    """Whether nobody could look for so long that it has to last anew."""
    blind = 0.0 if known.unseen_since is None else draft.now - known.unseen_since
    return draft.observation.first or blind >= max(draft.policy.failing_after, draft.policy.poll_every)


def _lasts(engine: Engine, now: float) -> bool:
    return engine.samples == ENOUGH and now - engine.gone_since >= GONE_FOR
