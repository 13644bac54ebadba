"""What one step gives back."""

from __future__ import annotations

from wasupervisor.decide.memory import Memory
from wasupervisor.model.alerts import Alert
from wasupervisor.model.health import Health
from wasupervisor.model.journal import Entry
from wasupervisor.model.remedies import Remedy, Reply
from wasupervisor.model.value import Value


class Decision(Value, frozen=True):
    """The result of one step. The memory is made durable before any of the remedies is performed."""

    memory: Memory
    health: Health
    remedies: tuple[Remedy, ...] = ()
    journal: tuple[Entry, ...] = ()
    replies: tuple[Reply, ...] = ()
    ask_uplink: bool = False
    """Something is not well, so that the uplink is worth a question."""
    probes: tuple[str, ...] = ()
    """Sessions that are probed now."""
    alerts: tuple[Alert, ...] = ()
    """What a person is to be told, written down together with the memory."""
