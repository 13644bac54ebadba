"""The gateway's memory, CPU and deaths as sentences, for the notes and for alerts."""

from __future__ import annotations

from wasupervisor.decide.crashes import loop_told, was_killed
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.engine import engine_told
from wasupervisor.decide.leak import forecast
from wasupervisor.decide.limits import held, too_much
from wasupervisor.decide.words import span


def process_notes(draft: Draft) -> list[str]:
    """What a person should know of the process, a sentence each."""
    leak = draft.gateway.resources.leak
    told = [*over_told(draft), *([] if leak is None else [forecast(leak, draft.now)]), *deaths_told(draft)]
    return [f"{text[:1].upper()}{text[1:]}." for text in told]


def over_told(draft: Draft) -> list[str]:
    """The limits that are exceeded."""
    return [too_much(draft, gauge, level) for gauge, level, _over in held(draft)]


def deaths_told(draft: Draft) -> list[str]:
    """A loop of deaths, a kill by the kernel, and the end of the engine alone."""
    crashes, told = draft.gateway.crashes, [loop_told(draft)] if draft.gateway.crashes.looping else []
    if crashes.killed_at is not None and was_killed(draft):
        what = "the gateway" if crashes.killed_whole else "a process of the gateway"
        told.append(f"the kernel killed {what} for want of memory (OOM) {span(draft.now - crashes.killed_at)} ago")
    if draft.gateway.engine.told:
        told.append(engine_told(draft.gateway.engine, draft.now))
    return told
