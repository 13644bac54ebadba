"""What every gateway's adapter offers to the loop, and nothing more: look, probe, start, restart, stop.

No adapter here logs a session out, removes it, makes one, or asks for a QR: a test reads the sources to be sure.
"""

from __future__ import annotations

import re
from typing import Protocol

from wasupervisor.gateways.http import Clock
from wasupervisor.model.observation import CloseLook, Look, ProbeResult
from wasupervisor.model.remedies import Outcome
from wasupervisor.model.value import Value


class Answer(Value, frozen=True):
    """What the gateway made of an action. None of its outcomes means that the session is healed."""

    outcome: Outcome
    detail: str = ""
    """One line for a person; no secret in it."""


class Gateway(Protocol):
    """One WAHA or Evolution API, seen from outside. No method raises, whatever the gateway answers."""

    kind: str
    """`waha` or `evolution`."""
    restart_spacing: float
    """Seconds that must lie between two restarts of one session, because the gateway demands it."""

    async def look(self) -> Look:
        """See all sessions. Takes no longer than the time-out that the gateway was opened with."""
        ...

    def read_anew(self) -> None:
        """Have the next look read everything, also what it would take from a moment ago."""
        ...

    async def look_closely(self, session: str) -> CloseLook:
        """Read one session again, right before a remedy. Takes no longer than `look`."""
        ...

    async def start_session(self, session: str) -> Answer:
        """Start a stopped session; its credentials are kept."""
        ...

    async def restart_session(self, session: str) -> Answer:
        """Restart a session; its credentials are kept."""
        ...

    async def park_session(self, session: str) -> Answer:
        """Stop a session; its credentials are kept. Refused where the gateway has no such verb (Evolution)."""
        ...

    async def probe(self, session: str, timeout: float) -> ProbeResult:
        """Ask a session that claims to work for a sign of life, within `timeout` seconds."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


def open_gateway(
    kind: str,
    url: str,
    api_key: str | None,
    *,
    timeout: float,
    action_timeout: float,
    metrics_auth: str | None = None,
    clock: Clock,
) -> Gateway:
    """Give the adapter for a gateway; nothing is called yet.

    Args:
        kind: `waha` or `evolution`.
        url: its address, http or https.
        api_key: sent with each call; None where the gateway asks for none.
        timeout: seconds of one whole look.
        action_timeout: seconds of one action.
        metrics_auth: Evolution's `user:password` for `/metrics`.
        clock: seconds, monotonic.

    Raises:
        ValueError: when the kind is unknown or the address cannot be used.
    """
    # Only the adapter that is configured is loaded.
    if kind == "waha":
        from wasupervisor.gateways.waha import WahaGateway  # noqa: PLC0415

        return WahaGateway(url, api_key, timeout=timeout, action_timeout=action_timeout, clock=clock)
    if kind == "evolution":
        from wasupervisor.gateways.evolution import EvolutionGateway  # noqa: PLC0415

        return EvolutionGateway(
            url, api_key, timeout=timeout, action_timeout=action_timeout, metrics_auth=metrics_auth, clock=clock
        )
    raise ValueError(f"cannot use gateway.kind {kind!r}: it is none of waha, evolution")


NAME_LIMIT = 256
"""Characters of a session's name that we take."""

_BREAKS_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def fits(name: object) -> bool:
    """Whether a name can be that of a session: fit to be shown, and to stand in a path.

    `.` and `..` are not: an HTTP client takes them out of a path, so that `/sessions/../restart` is another call.
    """
    return (
        isinstance(name, str)
        and 0 < len(name) <= NAME_LIMIT
        and name not in (".", "..")
        and _BREAKS_A_LINE.search(name) is None
    )
