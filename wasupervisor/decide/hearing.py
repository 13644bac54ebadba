"""Takes the ends of calls into the memory without a look: the last thing that is done before the daemon stops."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from wasupervisor.decide.draft import Draft
from wasupervisor.decide.memory import Memory
from wasupervisor.decide.results import take_results
from wasupervisor.model.journal import Entry
from wasupervisor.model.observation import Look, Observation
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Result


def hear(memory: Memory, results: Iterable[Result], now: float, policy: Policy) -> tuple[Memory, tuple[Entry, ...]]:
    """Book how calls ended; nothing is judged and nothing new is begun."""
    draft = Draft(memory, Observation(look=Look(), results=tuple(results)), now, 0.0, policy)
    take_results(draft)
    return replace(memory, sessions=draft.sessions, gateway=draft.gateway), tuple(draft.entries)
