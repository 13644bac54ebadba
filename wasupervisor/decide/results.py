"""Takes the ends of calls into the draft, before anything is looked at."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.attempts import take_result
from wasupervisor.decide.draft import Draft
from wasupervisor.decide.restarts import take_gateway_result
from wasupervisor.decide.scene import DAY
from wasupervisor.model.remedies import Outcome, RemedyKind


def take_results(draft: Draft) -> None:
    """Book how calls ended. What was not made is taken off the books again; a broken connection is a restart."""
    for result in draft.observation.results:
        if result.kind is RemedyKind.RESTART_GATEWAY:
            take_gateway_result(draft, result)
            continue
        if result.outcome is Outcome.DROPPED:
            _take_dropped(draft)
        known = draft.sessions.get(result.session)
        if known is None:
            continue
        draft.sessions[result.session], entry = take_result(known, result, draft.now, draft.policy)
        if entry is None:
            continue
        draft.entries.append(entry)
        if known.attempt is not None and not result.outcome.was_made:
            _take_off(draft, known.attempt.at)


def _take_dropped(draft: Draft) -> None:
    recent = tuple(at for at in draft.gateway.restarts if draft.now - at < DAY)
    draft.gateway = replace(
        draft.gateway,
        restarts=(*recent, draft.now),
        dropped_at=draft.now,
        grace_until=draft.now + draft.policy.startup_grace,
    )


def _take_off(draft: Draft, booked_at: float) -> None:
    """One of those that were booked then; the others stay on the books."""
    made = draft.gateway.made
    left = (at for at in made if at != booked_at)
    draft.gateway = replace(draft.gateway, made=tuple(sorted((*left, *[booked_at] * (made.count(booked_at) - 1)))))
