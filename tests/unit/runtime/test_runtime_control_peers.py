"""Who may use the control socket: judged by what the kernel says, tested as other users."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from control_scenes import Answer, exchange

from wasupervisor.report.connection import Credentials, Request, Response
from wasupervisor.report.http import Server
from wasupervisor.runtime.control_peers import Peers, SocketDoor

pytestmark = pytest.mark.anyio

NOBODY, STRANGERS, OPERATORS = 65534, 65534, 64123


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own is closed."""
    folder = Path(tempfile.mkdtemp(prefix="wasupervisor-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@asynccontextmanager
async def door(path: Path, *, mode: int, group: int | None = None, later: int | None = None) -> AsyncIterator[None]:
    """A socket of this mode and group; `later`: a mode that it gets once it is served."""

    def whom(request: Request) -> Response:
        assert request.peer is not None
        return Response.json(200, {"uid": request.peer.uid, "groups": request.peer.groups})

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        os.chmod(path, mode)  # noqa: PTH101
        if group is not None:
            os.chown(path, -1, group)
        listening.listen()
        peers = Peers.of(listening)
        if later is not None:
            os.chmod(path, later)  # noqa: PTH101
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Server(SocketDoor(whom, peers)).serve, listening)
            yield
            tasks.cancel_scope.cancel()


# Started as ourselves, for nobody else may reach our Python; then its rights are given away for good.
CLIENT = """
import os, socket, sys
path, uid, gid, *groups = sys.argv[1:]
os.setgroups([int(one) for one in groups])
os.setresgid(*[int(gid)] * 3)
os.setresuid(*[int(uid)] * 3)
client = socket.socket(socket.AF_UNIX)
client.settimeout(30)
try:
    client.connect(path)
except PermissionError:
    sys.exit(13)
client.sendall(b"POST /pause HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
while told := client.recv(65536):
    sys.stdout.buffer.write(told)
"""


async def asked_by(path: Path, uid: int, gid: int, *groups: int) -> Answer | None:
    """What this user is told; None: the kernel did not even let him connect."""
    words = [sys.executable, "-I", "-c", CLIENT, str(path), *map(str, (uid, gid, *groups))]
    ran = await anyio.run_process(words, check=False)
    assert ran.returncode in (0, errno.EACCES), ran.stderr.decode()
    return Answer(ran.stdout) if ran.returncode == 0 else None


def ask(path: Path) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        return exchange(client, "POST", "/pause").status


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")


@pytest.mark.root
@needs_root
async def test_another_user_is_refused_in_words_though_the_file_would_let_him(place: Path) -> None:
    async with door(place / "s", mode=0o666):
        answer = await asked_by(place / "s", NOBODY, STRANGERS)
    assert answer is not None
    assert answer.status == 403
    assert answer.json["error"].startswith("permission denied; root, the daemon's own user and members of")


@pytest.mark.root
@needs_root
async def test_another_user_is_stopped_by_the_file_already(place: Path) -> None:
    async with door(place / "s", mode=0o660, group=OPERATORS):
        assert await asked_by(place / "s", NOBODY, STRANGERS) is None


@pytest.mark.root
@needs_root
async def test_a_member_of_the_sockets_group_is_let_in_by_either_kind_of_group(place: Path) -> None:
    async with door(place / "s", mode=0o660, group=OPERATORS):
        first = await asked_by(place / "s", NOBODY, OPERATORS)
        second = await asked_by(place / "s", NOBODY, STRANGERS, 4711, OPERATORS)
    assert first is not None
    assert second is not None
    assert (first.status, first.json) == (200, {"uid": NOBODY, "groups": []})
    assert (second.status, second.json) == (200, {"uid": NOBODY, "groups": [4711, OPERATORS]})


@pytest.mark.root
@needs_root
async def test_a_group_that_may_not_write_to_the_file_is_not_let_in_when_the_mode_changes(place: Path) -> None:
    async with door(place / "s", mode=0o600, group=OPERATORS, later=0o666):
        answer = await asked_by(place / "s", NOBODY, OPERATORS)
    assert answer is not None
    assert answer.status == 403


async def test_the_daemons_own_user_is_let_in(place: Path) -> None:
    async with door(place / "s", mode=0o600):
        assert await to_thread.run_sync(ask, place / "s") == 200


@pytest.mark.parametrize(
    ("peer", "may"),
    [
        (Credentials(1, 0, 0), True),
        (Credentials(1, 500, 1), True),
        (Credentials(1, 501, 1), False),
        (Credentials(1, 501, 7), True),
        (Credentials(1, 501, 1, (8, 7)), True),
        (Credentials(1, 501, 1, (8, 9)), False),
        (None, False),
    ],
)
def test_root_the_own_user_and_the_group_may(peer: Credentials | None, may: bool) -> None:
    assert Peers(500, 7).may(peer) is may


def test_group_0_is_a_group_like_others() -> None:
    assert not Peers(500, None).may(Credentials(1, 501, 0))
    assert Peers(500, 0).may(Credentials(1, 501, 0))


def test_a_socket_whose_file_is_gone_is_for_its_own_user(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place / "s"))
        (place / "s").unlink()
        assert Peers.of(listening) == Peers(os.geteuid(), None)
