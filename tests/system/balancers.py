"""Real load balancers, with the examples of docs/load-balancers.md, before simulated gateways and real daemons."""

from __future__ import annotations

import contextlib
import csv
import os
import random
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx
from skipping import cannot
from stage import PATIENCE, Gateway, Supervisor, wait_until

PAGE = Path(__file__).parents[2] / "docs" / "load-balancers.md"
SBIN = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", os.environ.get("PATH", "")))
KEY = {"X-Api-Key": "secret-key"}

# Of the examples' hosts, whose gateway, health port and agent have free ports on 127.0.0.1 here.
HOSTS = ("10.0.0.11", "10.0.0.12")


def example(name: str) -> str:
    """The block of code that the page calls so."""
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, f"{PAGE.name} has no example {name}"
    return found[1]


def program(name: str) -> str:
    """Where this program of a Debian package is; the test is skipped without it, but never in CI."""
    found = shutil.which(name, path=SBIN)
    if found is None:
        cannot(f"{name} is missing: apt-get install {name}")
    return found


# sd_listen_fds(3): the socket is file 3, and the variables name the process that it is for.
ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="health")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


def kept_port() -> int:
    """A free port that no client is given meanwhile: below those that the kernel hands out (from 32768 on)."""
    while True:
        port = random.randint(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class Site:
    """One gateway, and the supervisor beside it, on ports that they keep."""

    def __init__(self, gateway: Gateway, supervisor: Supervisor) -> None:
        self.gateway = gateway
        self.supervisor = supervisor
        self.health, self.agent = kept_port(), kept_port()
        self._listening: socket.socket | None = None
        text = supervisor.config.read_text()
        listen = f'health: {{haproxy_agent: "127.0.0.1:{self.agent}", listen: "127.0.0.1:{self.health}"'
        supervisor.config.write_text(text.replace('health: {listen: "127.0.0.1:0"', listen))

    def activate(self) -> None:
        """Let the health port be opened once, as systemd does it: it listens on while the supervisor restarts."""
        self._listening = socket.create_server(("127.0.0.1", self.health), backlog=1024)
        self.supervisor._spawn = self._spawn_activated  # type: ignore[method-assign]

    def _spawn_activated(self) -> None:
        supervisor, number = self.supervisor, -1 if self._listening is None else self._listening.fileno()
        with supervisor.log.open("a") as log:
            supervisor.log_from = log.tell()
            argv = [sys.executable, "-c", ACTIVATED, str(number), "-m", "wasupervisor", "run", "-c"]
            supervisor.process = subprocess.Popen(
                [*argv, str(supervisor.config)], stderr=log, text=True, pass_fds=[number]
            )

    def close(self) -> None:
        """Nobody listens there any more."""
        if self._listening is not None:
            self._listening.close()

    @property
    def port(self) -> int:
        """Of the gateway."""
        return httpx.URL(self.gateway.url).port or 0

    def start(self) -> Site:
        """Start the supervisor, and wait until it says that traffic may come."""
        self.supervisor.start()
        wait_until("ready", lambda: self.supervisor.get("/readyz").status_code == 200)
        return self

    def until_held(self) -> None:
        """Wait until a breaker waits for a person."""
        wait_until("it is held", lambda: self.supervisor.document()["breakers"]["held"] == 1)

    def link_again(self, session: str = "s1") -> None:
        """What the person does then."""
        self.gateway.fault("healed", session=session)
        assert self.supervisor.command("recover", session).returncode == 0

    def told(self, line: str = "") -> str:
        """What the agent answers to this line."""
        with socket.create_connection(("127.0.0.1", self.agent), PATIENCE) as client:
            client.sendall(f"{line}\n".encode())
            return client.makefile().read()


def localised(text: str, sites: Sequence[Site], front: int) -> str:
    """An example with the ports of this test."""
    for host, site in zip(HOSTS, sites, strict=False):
        lines = text.splitlines(keepends=True)
        for number, line in enumerate(lines):
            if host in line:
                ours = line.replace(f"{host}:3000", f"127.0.0.1:{site.port}")
                ours = ours.replace("agent-port 8091", f"agent-port {site.agent}")
                lines[number] = ours.replace("check port 8090", f"check port {site.health}")
        text = "".join(lines)
    text = text.replace("127.0.0.1:8090", f"127.0.0.1:{sites[0].health}")
    text = re.sub(r"bind :80\b", f"bind 127.0.0.1:{front}", text)
    text = re.sub(r"listen (80|443)\b", f"listen 127.0.0.1:{front}", text)
    assert not any(host in text for host in HOSTS[: len(sites)])
    return text


class Balancer:
    """A process before the gateways."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.front = kept_port()
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.front}", trust_env=False, timeout=PATIENCE)

    def command(self) -> list[str]:
        """Its command line."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        wait_until("the balancer listens", self._listens)

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.front), 1.0):
            return True
        return False

    def ask(self, path: str = "/api/sessions", method: str = "GET") -> httpx.Response:
        """A client's request, with the gateway's key."""
        return self.client.request(method, path, headers=KEY)

    def close(self) -> None:
        """End it."""
        self.client.close()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)


class HAProxy(Balancer):
    """As Debian has it."""

    def __init__(self, folder: Path, text: str, sites: Sequence[Site], *, hurry: str = "inter 1s") -> None:
        """`hurry`: what it does ten times as often as the example, so that nobody waits (`agent-inter` included)."""
        super().__init__(folder)
        self.socket = folder / "stats.sock"
        self.config = folder / "haproxy.cfg"
        ours = localised(text, sites, self.front).replace("defaults\n", "defaults\n    log global\n")
        ours = ours.replace("    option httpchk\n", "    option httpchk\n    option log-health-checks\n")
        if hurry:
            ours = ours.replace(hurry, hurry.replace("1s", "100ms"))
        logs = "    log stdout format raw local0\n"
        self.config.write_text(f"global\n    stats socket {self.socket} level admin\n{logs}{ours}")

    def _listens(self) -> bool:
        return super()._listens() and self.socket.exists()

    def command(self) -> list[str]:
        return [program("haproxy"), "-db", "-f", str(self.config)]

    def order(self, command: str) -> str:
        """A command on its own socket, as an operator types it."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            client.connect(str(self.socket))
            client.sendall(f"{command}\n".encode())
            return client.makefile().read()

    def server(self, name: str, backend: str = "gateways") -> dict[str, str]:
        """What it knows of one server."""
        rows = csv.DictReader(self.order("show stat").removeprefix("# ").splitlines())
        return next(row for row in rows if (row["pxname"], row["svname"]) == (backend, name))

    def status(self, name: str, backend: str = "gateways") -> str:
        """UP, DOWN, MAINT..., and DRAIN for what its page calls so: up, without weight."""
        server = self.server(name, backend)
        status = re.sub(r" .*", "", server["status"])
        return "DRAIN" if (status, server["weight"]) == ("UP", "0") else status

    def until(self, name: str, status: str, backend: str = "gateways") -> None:
        """Wait until a server has this status."""
        wait_until(f"{name} is {status}", lambda: self.status(name, backend) == status)

    def until_told(self, name: str, text: str, column: str = "last_agt") -> None:
        """Wait until the last word of a server's agent, or of another check, has this in it."""
        # It is empty while a check is under way.
        wait_until(f"{column} of {name}: {text}", lambda: text in self.server(name)[column])

    def served(self, requests: int = 6, path: str = "/api/sessions", backend: str = "gateways") -> Counter[str]:
        """Make so many requests, all of which must go well; who answered how many."""
        before = {name: int(self.server(name, backend)["stot"]) for name in "ab"}
        for _ in range(requests):
            answer = self.ask(path)
            assert answer.status_code == 200, answer.text
        after = {name: int(self.server(name, backend)["stot"]) for name in "ab"}
        return Counter({name: after[name] - before[name] for name in "ab" if after[name] > before[name]})


NGINX = """
{user}
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{text}
}}
"""


class Nginx(Balancer):
    """As Debian has it."""

    def __init__(self, folder: Path, text: str, sites: Sequence[Site]) -> None:
        super().__init__(folder)
        self.config = folder / "nginx.conf"
        ours = localised(text, sites, self.front).replace("/etc/nginx/", f"{folder}/")
        # Its workers leave root, and may not read the test's folder then.
        self.config.write_text(NGINX.format(folder=folder, text=ours, user="" if os.geteuid() else "user root;"))

    def command(self) -> list[str]:
        return [program("nginx"), "-p", str(self.folder), "-c", str(self.config), "-g", "daemon off;"]
