"""Sessions that work and hear nothing, though they should by now. Only told, never cured on suspicion."""

from __future__ import annotations

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.scene import Scene


def track_activity(draft: Draft, scene: Scene) -> None:
    """Learn when each session usually hears something, and say which are silent beyond that."""
