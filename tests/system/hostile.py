"""Clients that nobody wants, on bare sockets, and one that asks as a load balancer does all the while."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from stage import PATIENCE, Gateway, Supervisor, wait_until

HALF = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Never-Ending: "
ESTABLISHED = "01"
"""In /proc/net/tcp."""
RESET_AT_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER: a close is a reset."""


def get(path: str) -> bytes:
    """A request, after which the connection is kept."""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


class Siege:
    """A daemon beside a healthy gateway, and what it is put through."""

    def __init__(self, supervisor: Supervisor, gateway: Gateway) -> None:
        self.supervisor = supervisor
        self.gateway = gateway
        self.port = int(supervisor.url.rpartition(":")[2])

    def connect(self) -> socket.socket:
        """A connection, with patience."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def connect_soon(self) -> socket.socket:
        """A connection that is under way; nothing of it is waited for."""
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", self.port))
        return client

    def say(self, data: bytes, *, more_to_come: bool = True) -> bytes:
        """All that is answered until the daemon closes. Without `more_to_come` our side is closed after the data."""
        with self.connect() as client, contextlib.suppress(ConnectionError):
            client.sendall(data)
            if not more_to_come:
                client.shutdown(socket.SHUT_WR)
            return rest_of(client)
        return b""

    def ask(self, path: str, method: str = "GET", *headers: str) -> tuple[int, str]:
        """Status and body of one request."""
        head = "".join(f"{one}\r\n" for one in ("Host: x", "Connection: close", *headers))
        answer = self.say(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
        head_, _, body = answer.decode().partition("\r\n\r\n")
        return int(head_.split()[1]), body

    @property
    def sockets(self) -> int:
        """How many sockets the daemon holds, its own few included."""
        assert self.supervisor.process is not None
        found = 0
        for link in Path(f"/proc/{self.supervisor.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found += str(link.readlink()).startswith("socket:")
        return found

    def keeps(self, clients: list[socket.socket]) -> int:
        """How many of these connections the daemon has not closed."""
        ports = {client.getsockname()[1] for client in clients}
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ends = [[int(end.partition(":")[2], 16) for end in row[1:3]] for row in rows if row[3] == ESTABLISHED]
        return sum(ours == self.port and theirs in ports for ours, theirs in ends)

    @property
    def written_at(self) -> str:
        """Of the health document: each cycle writes a new one."""
        return str(json.loads(self.ask("/health")[1])["written_at"])

    def cycles_go_on(self) -> None:
        """Wait for the next one."""
        before = self.written_at
        wait_until("the next cycle finished", lambda: self.written_at != before)
        assert self.ask("/livez")[0] == 200

    @contextlib.contextmanager
    def probed(self, at_least: int = 100) -> Iterator[Probes]:
        """Probes in a thread of their own while the block runs, and for `at_least` of them; each must be right."""
        probes = Probes(self)
        probes.start()
        try:
            yield probes
            wait_until("enough probes were answered", lambda: probes.count >= at_least or probes.wrong)
        finally:
            probes.end()
        assert probes.wrong == []


class Probes(threading.Thread):
    """A hundred questions a second, each over a connection of its own."""

    def __init__(self, siege: Siege) -> None:
        super().__init__(daemon=True)
        self._siege = siege
        self._over = threading.Event()
        self.count = 0
        self.most_sockets = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        """Ask, until told to end."""
        while not self._over.wait(0.01) and not self.wrong:
            for path, answer in (("/livez", "ok: "), ("/readyz", "ready: "), ("/health", '{"status":"healthy"')):
                self._ask(path, answer)
            self.most_sockets = max(self.most_sockets, self._siege.sockets)

    def _ask(self, path: str, answer: str) -> None:
        try:
            status, body = self._siege.ask(path)
        except (OSError, ValueError, IndexError) as error:
            self.wrong.append(f"{path}: {error!r}")
            return
        self.count += 1
        if status != 200 or not body.startswith(answer) or not body.endswith("\n"):
            self.wrong.append(f"{path}: {status} {body[:200]}")

    def end(self) -> None:
        """No more questions."""
        self._over.set()
        self.join(PATIENCE)


def rest_of(client: socket.socket) -> bytes:
    """Everything until the other side closes."""
    told = b""
    while chunk := client.recv(65536):
        told += chunk
    return told


@contextlib.contextmanager
def descriptors(wanted: int) -> Iterator[None]:
    """Room for so many open files in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class DrippingClients(threading.Thread):
    """Each sends a byte of a head a second, and keeps what it is told."""

    def __init__(self, siege: Siege, number: int) -> None:
        super().__init__(daemon=True)
        self._clients = [siege.connect() for _ in range(number)]
        self.answers: list[bytes] = []

    def run(self) -> None:
        """Drip until each was sent away."""
        for byte in HALF + b"x" * 60:
            for client in self._clients:
                with contextlib.suppress(OSError):
                    client.sendall(bytes([byte]))
            time.sleep(1)  # what makes them slow
            for client in list(self._clients):
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    self.answers.append(_received(client))
                    self._clients.remove(client)
                    client.close()
            if not self._clients:
                return


def _received(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except ConnectionError:
        return b""


def deaf_client(siege: Siege, requests: int) -> socket.socket:
    """Asks for much at once and never reads an answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", siege.port))
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(requests // 100):
            client.send(get("/health") * 100)
    return client
