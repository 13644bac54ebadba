"""Episodes that a person is told of: when one begins, and when it ends."""

from __future__ import annotations

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.scene import Scene


def track_episodes(draft: Draft, scene: Scene) -> None:
    """Compare what a person should know now with what was told, and put the difference into `draft.alerts`."""
