"""Restarts the gateway's container through the engine's API on its Unix socket (Docker, or Podman's compatible one)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote

import anyio
import httpcore
import msgspec

from wasupervisor.host.restarter import Restarted
from wasupervisor.host.running import one_line
from wasupervisor.model.remedies import Outcome

STOP = 30
"""Seconds from TERM to KILL: WAHA takes 3 to stop, and 20 in a handshake (2024.10.8)."""

DEADLINE = 120.0
"""Seconds for the engine's answer, which comes when the container is started again."""

SOCKET = "/var/run/docker.sock"
KEY = "recovery.restart_gateway.container"


class _Said(NamedTuple):
    """The engine's answer."""

    status: int
    message: str


class _Message(msgspec.Struct):
    """What the engine says of an error (Docker Engine API, ErrorResponse)."""

    message: str = ""


class DockerRestarter:
    """Asks the engine, which signals the container's processes itself and starts it in every case."""

    by: str = "docker"
    wanted_for: float = 0.0

    def __init__(self, container: str, *, deadline: float = DEADLINE, environ: Mapping[str, str] = os.environ) -> None:
        self._container = container
        self._deadline = deadline
        self._host = environ.get("DOCKER_HOST") or f"unix://{SOCKET}"

    async def restart(self) -> Restarted:
        """Call `POST /containers/NAME/restart` and wait until the container was started again."""
        socket = self._host.removeprefix("unix://")
        if not self._host.startswith("unix:///"):
            text = "DOCKER_HOST is not the path of a Unix socket (unix:///...); by: command with the docker program may"
            return Restarted(Outcome.REFUSED, f"{text} be the way")
        try:
            with anyio.fail_after(self._deadline):
                return self._judged(await self._call(socket))
        except TimeoutError:
            text = f"the engine has not restarted {self._container} within {self._deadline:g} s; it may go on with it"
            return Restarted(Outcome.TIMED_OUT, text)
        except Exception as error:  # whatever it is, it is told and ends nothing
            return self._blamed(socket, error)

    async def settle(self) -> None:
        """Nothing is left behind."""

    async def _call(self, socket: str) -> _Said:
        url = httpcore.URL(
            scheme="http",
            host="docker",
            port=None,
            # Without a version: that of the engine itself.
            target=f"/containers/{quote(self._container, safe='')}/restart?t={STOP}",
        )
        headers = [("Host", "docker"), ("Content-Length", "0")]
        async with httpcore.AsyncConnectionPool(uds=socket) as pool:
            response = await pool.request("POST", url, headers=headers)
            return _Said(response.status, _message(response.content))

    def _judged(self, said: _Said) -> Restarted:
        name = self._container
        if said.status == 204:
            return Restarted(Outcome.ACCEPTED, f"the engine restarted the container {name}")
        advice = {
            403: "; allow this call where the socket is filtered",
            404: f"; correct {KEY}",
        }.get(said.status, "")
        message = f": {said.message}" if said.message else ""
        text = f"the engine did not restart the container {name} ({said.status}{message})"
        return Restarted(Outcome.REFUSED, f"{text}{advice}")

    def _blamed(self, socket: str, error: Exception) -> Restarted:
        number = next((one.errno for one in _causes(error) if isinstance(one, OSError) and one.errno), None)
        where = f"the engine's socket {socket}"
        if number in (errno.EACCES, errno.EPERM):
            text = f"{where} is not permitted to our user: put the user into the socket's group (docker)"
            return Restarted(Outcome.REFUSED, text)
        if isinstance(error, httpcore.ConnectError):
            why = os.strerror(number) if number else "it cannot be connected to"
            return Restarted(Outcome.UNREACHABLE, f"{where}: {why}; is the engine running, and DOCKER_HOST right?")
        # Sent or not: nobody knows, so it counts as made.
        return Restarted(Outcome.TIMED_OUT, f"the engine broke off the call ({type(error).__name__})")


def _message(body: bytes) -> str:
    try:
        return one_line(msgspec.json.decode(body, type=_Message).message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it comes from; httpcore raises its own 'from None'."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
