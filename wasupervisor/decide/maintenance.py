"""The maintenance window: a restart that a leak will force is made in it, before it is forced."""

from __future__ import annotations

from msgspec.structs import replace

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.scene import DAY


def track_window(draft: Draft) -> None:
    """Since when the window is open. That it is not known neither opens nor closes it."""
    is_open, since = draft.observation.in_maintenance, draft.gateway.window_since
    if is_open is True and since is None:
        draft.gateway = replace(draft.gateway, window_since=draft.now)
    elif is_open is False and since is not None:
        draft.gateway = replace(draft.gateway, window_since=None)


def is_due(draft: Draft) -> bool:
    """Whether the window is open, a leak was forecast, and nothing was restarted by us in this window."""
    since, leak = draft.gateway.window_since, draft.gateway.resources.leak
    if since is None or leak is None or draft.observation.in_maintenance is not True:
        return False
    # No window is longer than a day: what is older was made in one that closed while nobody looked.
    return not any(at >= since and draft.now - at < DAY for at in draft.gateway.restarts)
