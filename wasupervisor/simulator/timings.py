"""How long the gateways take for things, in seconds, as measured on loopback beside a stand-in for WhatsApp."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Timings:
    """How long the gateway takes for things, in seconds."""

    boot: float = 1.7
    """From exec to the open port; refused before."""

    def faster(self, factor: float) -> Self:
        """The same gateway with everything `factor` times as fast."""
        if factor <= 0:
            raise ValueError(f"the speed must be above 0, not {factor}")
        scaled = {f.name: getattr(self, f.name) / factor for f in dataclasses.fields(self) if f.type == "float"}
        return dataclasses.replace(self, **scaled)


@dataclass(frozen=True)
class WahaTimings(Timings):
    """WAHA 2024.10.8 on loopback."""

    login: float = 0.1
    stop: float = 3.0
    """Each stop of a running session, and so each restart."""
    end_wait: float = 10.0
    """How long a stop waits for a socket to leave CONNECTING; then the process crashes."""
    connect_timeout: float = 20.0
    retry: float = 2.0
    notice_reset: float = 2.1
    """WORKING is shown for so long after the socket was reset."""
    notice_silence: float = 58.7
    """WORKING is shown for so long after the peer fell silent."""
    keep_alive: float = 35.0
    """A process that was frozen for longer finds its sockets dead."""
    scan: float = 2.0
    """SCAN_QR_CODE is shown for so long after the scan."""
    qr: float = 160.0
    """All QR codes of one socket; then a new socket, for ever."""
    status_wait: float = 5.0
    """Before a 422 because of the session's status."""
    query: float = 120.0
    """A query to WhatsApp that nobody answers."""
    sigterm: float = 3.05
    server_stop: float = 11.05
    server_stop_forced: float = 1.0


@dataclass(frozen=True)
class EvolutionTimings(Timings):
    """Evolution API 2.3.6 on loopback."""

    load: float = 0.2
    """After the port is open, before the instances are in memory."""
    login: float = 0.2
    reconnect: float = 1.0
    """The gap after a drop before the next login."""
    refused: float = 0.05
    retry: float = 0.4
    """Between two attempts when WhatsApp cannot be reached; there is no back-off."""
    handshake_timeout: float = 30.0
    notice_silence: float = 43.0
    keep_alive: float = 35.0
    connect_wait: float = 2.0
    """`GET connect` of a closed instance."""
    create_wait: float = 5.0
    """`POST create` with a QR."""
    first_qr: float = 60.0
    next_qr: float = 20.0
    fight: float = 0.2
    """Between two logins of two clients that kick each other."""
    query: float = 60.0
    """A query to WhatsApp that nobody answers."""
