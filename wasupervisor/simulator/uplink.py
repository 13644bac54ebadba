"""A stand-in for WhatsApp's websocket, without TLS: 101, 503, silence or a closed port, as the world's uplink is."""

from __future__ import annotations

import base64
import hashlib

import anyio
import anyio.abc

from wasupervisor.simulator.httpd import Door
from wasupervisor.simulator.world import UplinkState

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class UplinkStandIn:
    """Answers the upgrade of a websocket."""

    def __init__(self, port: int = 0) -> None:
        self.door = Door(port=port)
        self.state = UplinkState.UP
        self.upgrades = 0
        """How many connections were made."""

    async def handle(self, stream: anyio.abc.ByteStream) -> None:
        """One connection."""
        self.upgrades += 1
        if self.state is UplinkState.BLACK_HOLE:
            await anyio.sleep_forever()
        head = b""
        while b"\r\n\r\n" not in head and len(head) < 8192:
            head += await stream.receive()
        if self.state is UplinkState.UPGRADE_503:
            await stream.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        await stream.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + _accept(head) + b"\r\n\r\n"
        )
        with anyio.move_on_after(30):
            await stream.receive()


def _accept(head: bytes) -> bytes:
    """RFC 6455, section 4.2.2."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"sec-websocket-key":
            return base64.b64encode(hashlib.sha1(value.strip() + MAGIC, usedforsecurity=False).digest())
    return b""
