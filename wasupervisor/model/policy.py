"""The rules that the decider follows: the operator's settings, with the floors of the gateway applied.

All durations are seconds.
"""

from __future__ import annotations

import math

from wasupervisor.model.alerts import AlertKind
from wasupervisor.model.value import Value


class ReadyWhen(Value, frozen=True):
    """How many of the expected sessions must be usable: `any`, `all`, or a share of them."""

    share: float | None = None
    """0 to 1; None: any one of them."""

    @classmethod
    def parse(cls, text: str) -> ReadyWhen:
        """Read `any`, `all`, `80%`, `80%25` or `80`.

        Raises:
            ValueError: when it is none of these, or not between 0 and 100.
        """
        word = text.strip().lower()
        if word == "any":
            return cls()
        if word == "all":
            return cls(share=1.0)
        digits = word.removesuffix("%25").removesuffix("%")
        if not (digits.isascii() and digits.isdigit()) or int(digits) > 100:
            raise ValueError(f"{text!r} is none of: any, all, a share such as 80%")
        return cls(share=int(digits) / 100)

    def holds(self, usable: int, expected: int) -> bool:
        """Whether so many usable sessions are enough. No expected session is enough by itself."""
        if expected == 0:
            return True
        needed = 1 if self.share is None else math.ceil(self.share * expected - 1e-9)
        return usable >= needed

    def __str__(self) -> str:
        if self.share is None:
            return "any"
        return "all" if self.share == 1.0 else f"{self.share:.0%}"


class Backoff(Value, frozen=True):
    """The wait between two attempts at one session."""

    first: float = 5.0
    factor: float = 2.0
    max: float = 600.0


class BreakerRule(Value, frozen=True):
    """When a session's breaker opens, and for how long."""

    failures: int = 5
    within: float = 1800.0
    open_for: float = 60.0
    open_max: float = 3600.0


class Budget(Value, frozen=True):
    """How many remedies at the most, in sliding windows."""

    per_session_per_hour: int = 6
    sessions_per_hour: int = 60
    gateway_per_hour: int = 2
    gateway_per_day: int = 6
    concurrent: int = 1
    spacing: float = 2.0


class IncidentRule(Value, frozen=True):
    """When many failing sessions are one incident."""

    share: float = 0.5
    at_least: int = 3
    within: float = 120.0


class ProbeRule(Value, frozen=True):
    """How sessions that claim to work are probed."""

    every: float = 300.0
    """Seconds between two probes of one session."""
    misses: int = 3
    """So many in a row count."""


class LimitRule(Value, frozen=True):
    """From where on memory (bytes) or CPU (per cent) is told of, and from where on the gateway is restarted for it."""

    warn: float | None = None
    restart: float | None = None
    lasts: float = 60.0
    """Seconds for which it must be exceeded."""


class Policy(Value, frozen=True):
    """Everything that the decider has to know of the configuration."""

    gateway_kind: str = "waha"
    act: bool = True
    """False: `mode: observe`."""
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    expect: tuple[str, ...] | None = None
    """Names that should be up; None: those that were seen healthy once."""
    expect_all: bool = False
    poll_every: float = 5.0
    failing_samples: int = 3
    failing_after: float = 15.0
    starting_timeout: float = 60.0
    startup_grace: float = 30.0
    stable_for: float = 30.0
    hung_after: float = 60.0
    gone_after: float = 10.0
    action_timeout: float = 30.0
    backoff: Backoff = Backoff()
    breaker: BreakerRule = BreakerRule()
    budget: Budget = Budget()
    incident: IncidentRule = IncidentRule()
    uplink_watched: bool = True
    """False: not watched, taken as up."""
    restarter: str = "none"
    """`recovery.restart_gateway.by`."""
    drain: float = 5.0
    """Seconds for which readiness says no before the gateway is restarted."""
    park: str = "ask"
    """`recovery.park`: auto, ask or never."""
    qr_interval: float = 60.0
    """Seconds between two QR codes that are asked for, for each session."""
    probe: ProbeRule | None = None
    """`sessions.probe`; None: nobody is probed."""
    memory: LimitRule | None = None
    """`process.memory`, in bytes; None: no limit."""
    cpu: LimitRule | None = None
    """`process.cpu`, in per cent of what the gateway may use; None: no limit."""
    maintenance: float | None = None
    """Seconds from the begin of one window of `recovery.maintenance` to the end of the next, at the most; None: there
    is no window."""
    ready_when: ReadyWhen = ReadyWhen()
    rise: int = 2
    fall: int = 3
    tell: tuple[AlertKind, ...] = ()
    """Of what somebody wants to be told."""
    remind: float | None = None
    """Seconds after which a person is told again of what lasts; None: never."""
    restart_spacing: float = 0.0
    """The gateway's own floor between two restarts of one session (Evolution: 60 s)."""
    notes: tuple[str, ...] = ()
    """What the configuration asks for and this version does not do, told in the health document."""
