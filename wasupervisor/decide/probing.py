"""Which sessions that claim to work are probed now, and what their answers mean."""

from __future__ import annotations

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.scene import Scene


def take_probes(draft: Draft, scene: Scene) -> None:
    """Take the answers of probes into the memory of their sessions."""


def plan_probes(draft: Draft, scene: Scene) -> None:
    """Choose who is probed in this step: put names into `draft.probes`."""
