"""What every alert says, and what keeps every remedy back."""

from __future__ import annotations

from wasupervisor.decide.draft import Draft
from wasupervisor.model.health import Pause
from wasupervisor.model.sessions import Reason
from wasupervisor.model.value import Value


class Told(Value, frozen=True):
    """The words."""

    what: str
    reason: Reason = Reason.NONE
    tried: tuple[str, ...] = ()
    why_no_more: str = ""
    todo: str = ""
    sessions: tuple[str, ...] = ()
    """Whom it is about, where that is not known from the episode."""


def held_back(draft: Draft) -> str:
    """What keeps every remedy back just now, before the session's own reason."""
    rows = (
        (draft.paused is not None, _paused(draft.paused)),
        (not draft.policy.act, "recovery.mode is observe; "),
        (not draft.observation.state_writable, "the state cannot be written, so that nothing is done; "),
    )
    return "".join(text for holds, text in rows if holds)


def _paused(pause: Pause | None) -> str:
    if pause is None:
        return ""
    return f"paused{f' by {pause.by}' if pause.by else ''}{f' ({pause.reason})' if pause.reason else ''}; "
