"""Clients that nobody wants, as a process of their own: python hostile_clients.py PORT KIND. Ends when it is killed."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

HALF = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Never-Ending: "
GARBAGE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n\r\n"
GUESS = b"POST /pause HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"f" * 64 + b"\r\n\r\n"
HELD = 3000
TICK = 0.01


class Clients:
    """One kind of them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._held: deque[socket.socket] = deque()

    def connect(self, first: bytes = b"", *, keep: int = HELD) -> None:
        """One more, and no more than so many: the oldest goes."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", self._port))
        with contextlib.suppress(OSError):
            client.send(first)
        self._held.append(client)
        while len(self._held) > keep:
            self._held.popleft().close()

    def half_open(self) -> None:
        """Five hundred heads that never end, a byte each now and then, and again when they are sent away."""
        while len(self._held) < 500:
            self.connect(HALF)
        for _ in range(10):
            client = self._held.popleft()
            try:
                client.send(b"x")
                self._held.append(client)
            except OSError:
                client.close()

    def flood(self, rate: int) -> None:
        """So many new connections a second, which are kept."""
        for _ in range(round(rate * TICK)):
            self.connect(HALF)

    def come_and_go(self, first: bytes, rate: int) -> None:
        """So many a second, of which fifty are kept for their answer."""
        for _ in range(round(rate * TICK)):
            self.connect(first, keep=50)

    def deaf(self) -> None:
        """Twenty that ask for much and read nothing."""
        while len(self._held) < 20:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", self._port))
            client.setblocking(False)
            self._held.append(client)
        client = self._held.popleft()
        try:
            client.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            self._held.append(client)
        except BlockingIOError:
            self._held.append(client)
        except OSError:
            client.close()


def kinds(port: int) -> dict[str, Callable[[], None]]:
    """What each kind does every hundredth of a second."""
    clients = Clients(port)
    return {
        "half-open": clients.half_open,
        "deaf": clients.deaf,
        "garbage": lambda: clients.come_and_go(GARBAGE, 500),
        "guesses": lambda: clients.come_and_go(GUESS, 500),
        "flood-500": lambda: clients.flood(500),
        "flood-1000": lambda: clients.flood(1000),
    }


def main() -> None:
    """Do it until killed."""
    port, kind = sys.argv[1:]
    work = kinds(int(port))[kind]
    due = time.monotonic()
    while True:
        work()
        due = max(due + TICK, time.monotonic() - 10 * TICK)
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
