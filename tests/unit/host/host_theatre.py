"""Real processes for the tests of the host's room. Whatever a test starts is ended by its id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from wasupervisor.host import proc
from wasupervisor.host.moments import boottime

# Obeys one command a line, and answers each with one line of JSON.
_PUPPET = """
import ctypes, json, os, signal, socket, subprocess, sys, time
children, sockets, ballast = [], [], []
class Verbs:
    def listen(port=0, address="127.0.0.1", shared=False):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind((address, port))
        one.listen()
        sockets.append(one)
        return one.getsockname()[1]
    def leave_network():
        return ctypes.CDLL(None, use_errno=True).unshare(0x40000000)  # CLONE_NEWNET
    def hush():
        while sockets:
            sockets.pop().close()
    def call_yourself(name):
        open("/proc/self/comm", "w").write(name)
    def spawn(argv, inherit=False, own_session=False, title=None):
        fds = [one.fileno() for one in sockets] if inherit else []
        env = dict(os.environ, PYTHONHOME=sys.base_prefix) if title else None
        one = subprocess.Popen([title, *argv[1:]] if title else argv, executable=argv[0], pass_fds=fds, env=env,
                               start_new_session=own_session, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        children.append(one)
        return one.pid
    def tell(index, line):
        children[index].stdin.write(line.encode() + b"\\n")
        children[index].stdin.flush()
        return json.loads(children[index].stdout.readline())
    def hear():
        return json.loads(children[-1].stdout.readline())
    def burn(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        return time.process_time()
    def burn_in_child(seconds):
        pid = os.fork()
        if pid == 0:
            Verbs.burn(seconds)
            os._exit(0)
        with_status = os.waitpid(pid, 0) if signal.getsignal(signal.SIGCHLD) is not signal.SIG_IGN else None
        return with_status is not None
    def fork_fat(megabytes):
        ballast.append(bytearray(os.urandom(1 << 20) * megabytes))
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)  # until the parent is gone
            os._exit(0)
        os.close(reading)
        return pid
    def ignore_children():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    def reap(index):
        return children[index].wait()
    def leave(code):
        os._exit(code)
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    verb, arguments = json.loads(line)
    print(json.dumps(getattr(Verbs, verb)(**arguments)), flush=True)
"""


class Puppet:
    """A process that does what a test says."""

    def __init__(self, process: subprocess.Popen[str], keep: Callable[[int], None]) -> None:
        self._process = process
        self._keep = keep
        self.pid = process.pid

    def do(self, verb: str, **arguments: object) -> object:
        """Make it do something, and wait for what it says of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([verb, arguments]), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def listen(self, port: int = 0, *, address: str = "127.0.0.1", shared: bool = False) -> int:
        """Its port."""
        told = self.do("listen", port=port, address=address, shared=shared)
        assert isinstance(told, int)
        return told

    def spawn(self, *argv: str, inherit: bool = False, own_session: bool = False) -> int:
        """A child of its own; its pid."""
        pid = self.do("spawn", argv=argv or ("sleep", "600"), inherit=inherit, own_session=own_session)
        assert isinstance(pid, int)
        self._keep(pid)
        return pid

    def spawn_puppet(self, title: str | None = None, *, inherit: bool = False) -> int:
        """A child that obeys too, through `tell`; its pid."""
        argv = (sys.executable, "-c", _PUPPET)
        pid = self.do("spawn", argv=argv, title=title, inherit=inherit)
        assert isinstance(pid, int)
        self._keep(pid)
        assert self.do("hear") == "ready"
        return pid

    def tell(self, index: int, verb: str, **arguments: object) -> object:
        """Pass a command to the nth child, a puppet."""
        answer = self.do("tell", index=index, line=json.dumps([verb, arguments]))
        if verb == "spawn" and isinstance(answer, int):
            self._keep(answer)
        return answer

    def kill(self) -> None:
        """SIGKILL, and no zombie stays."""
        self._process.kill()
        self.wait()

    def kill_unreaped(self) -> None:
        """SIGKILL, and a zombie stays."""
        self._process.kill()
        until(lambda: (found := proc.stat(self.pid)) is not None and found.dead)

    def wait(self) -> None:
        """Until it has ended."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


class Theatre:
    """Starts puppets."""

    def __init__(self) -> None:
        self._started: list[Puppet] = []
        self._others: list[tuple[int, float]] = []

    def puppet(self, *words: str, title: str | None = None, folder: Path | None = None, program: str = "") -> Puppet:
        """A new one: `words` stand at the end of its command line, `title` in place of its program."""
        env = dict(os.environ, PYTHONHOME=sys.base_prefix)
        argv = [title or program or sys.executable, "-c", _PUPPET, *words]
        process = subprocess.Popen(
            argv,
            executable=program or sys.executable,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=folder,
            env=env,
            text=True,
        )
        puppet = Puppet(process, self.keep)
        self._started.append(puppet)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == "ready"
        return puppet

    def keep(self, pid: int) -> None:
        """A process of a puppet's making, to be ended as well."""
        if (found := proc.stat(pid)) is not None:
            self._others.append(found.identity)

    def end(self) -> None:
        """All of them."""
        for pid, born in self._others:
            if (found := proc.stat(pid)) is not None and found.born == born:
                os.kill(pid, signal.SIGKILL)
        for puppet in self._started:
            puppet.kill()


class SteppedClock:
    """The kernel's clock, which a test may push forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return boottime() + self.ahead


def until(holds: Callable[[], bool]) -> None:
    """Wait for another process; the test's own time-out is the limit."""
    while not holds():
        time.sleep(0.002)


@contextmanager
def staged() -> Iterator[Theatre]:
    """A theatre whose puppets end with the test."""
    theatre = Theatre()
    try:
        yield theatre
    finally:
        theatre.end()


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody for a while, or skip the test."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become nobody")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
