"""Restarts the gateway's container through the engine's API on its Unix socket (Docker, or Podman's compatible one)."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

import anyio
import httpcore
import msgspec

from wasupervisor.host.engine import LABEL, SOCKET, Listed, Trouble, causes, read, the_one, with_label
from wasupervisor.host.restarter import Restarted
from wasupervisor.host.running import one_line
from wasupervisor.model.remedies import Outcome

STOP = 30
"""Seconds from TERM to KILL at the least: WAHA takes 3 to stop, and 20 in a handshake (2024.10.8). The engine's own
default is 10."""

LONGEST_STOP = 600
"""Seconds for a container that wants more, or to be waited for without an end: that would be to give up."""

BESIDES = 60.0
"""Seconds for what the engine does beside the stop, before it answers."""

LOOK = 10.0
"""Seconds for the engine to tell of the container."""

KEY = "recovery.restart_gateway.container"


class _Said(NamedTuple):
    """The engine's answer."""

    status: int
    body: bytes


class _Config(msgspec.Struct, rename="pascal"):
    """What a container asks for when it is stopped (Docker Engine API, ContainerConfig)."""

    stop_timeout: int | None = None
    """Seconds; -1: without an end."""
    stop_signal: str | None = None


class _Container(msgspec.Struct, rename="pascal"):
    """Of what the engine tells of a container."""

    config: _Config


class _Which(NamedTuple):
    """The container that is restarted."""

    id: str
    """Its name, or its id where it was found by a label."""
    called: str


class _Stop(NamedTuple):
    """How it is stopped."""

    seconds: int
    told: str
    """For the journal."""


class _Message(msgspec.Struct):
    """What the engine says of an error (Docker Engine API, ErrorResponse)."""

    message: str = ""


class DockerRestarter:
    """Asks the engine, which signals the container's processes itself and starts it in every case."""

    by: str = "docker"
    wanted_for: float = 0.0

    def __init__(
        self, container: str, *, besides: float = BESIDES, look: float = LOOK, environ: Mapping[str, str] = os.environ
    ) -> None:
        """`container`: its name, or `label=KEY=VALUE`, which only one may have."""
        self._container = container
        self._besides = besides
        self._look = look
        self._host = environ.get("DOCKER_HOST") or f"unix://{SOCKET}"

    async def restart(self) -> Restarted:
        """Call `POST /containers/NAME/restart` and wait until the container was started again."""
        socket = self._host.removeprefix("unix://")
        if not self._host.startswith("unix:///"):
            text = "DOCKER_HOST is not the path of a Unix socket (unix:///...); by: command with the docker program may"
            return Restarted(Outcome.REFUSED, f"{text} be the way")
        asked = False
        try:
            which = await self._which(socket)
            if isinstance(which, Restarted):
                return which
            stop = await self._stop(socket, which)
            if isinstance(stop, Restarted):
                return stop
            asked, deadline = True, stop.seconds + self._besides
            with anyio.move_on_after(deadline):
                said = await self._call(socket, "POST", _path(which, f"restart?t={stop.seconds}"))
                return self._judged(which, said, stop)
            text = f"the engine has not restarted {which.called} within {deadline:g} s; it may go on with it"
            return Restarted(Outcome.TIMED_OUT, text)
        except Exception as error:  # whatever it is, it is told and ends nothing
            return self._blamed(socket, error, asked=asked)

    async def settle(self) -> None:
        """Nothing is left behind."""

    async def _which(self, socket: str) -> _Which | Restarted:
        """Looked for anew each time: a container that was made anew has another id."""
        if not self._container.startswith(LABEL):
            return _Which(self._container, self._container)
        label, said = self._container.removeprefix(LABEL), None
        with anyio.move_on_after(self._look):
            said = await self._call(socket, "GET", with_label(label))
        if said is None:
            text = f"the engine has not told within {self._look:g} s which container has the label {label}"
            return Restarted(Outcome.UNREACHABLE, text)
        if said.status != 200:
            advice = "; allow GET /containers/json where the socket is filtered" if said.status == 403 else ""
            text = f"the engine does not tell which container has the label {label} ({_told(said)}){advice}"
            return Restarted(Outcome.REFUSED, text)
        try:
            one = the_one(msgspec.json.decode(said.body, type=tuple[Listed, ...]), label, KEY)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            text = f"the engine's answer about the label {label} is not what its API promises"
            return Restarted(Outcome.REFUSED, text)
        return Restarted(Outcome.REFUSED, one.text) if isinstance(one, Trouble) else _Which(one.id, one.called)

    async def _stop(self, socket: str, which: _Which) -> _Stop | Restarted:
        """How long it may take to stop, from the container itself: `t` overrides what it asks for."""
        said = None
        with anyio.move_on_after(self._look):
            said = await self._call(socket, "GET", _path(which, "json"))
        if said is None:
            return _Stop(STOP, f"with {STOP} s to stop (it could not be asked for its StopTimeout in time)")
        if said.status == 404:
            return self._refused(which, said)
        try:
            config = msgspec.json.decode(said.body, type=_Container).config
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return _Stop(STOP, f"with {STOP} s to stop (its StopTimeout could not be read: {said.status})")
        return _stop_of(config)

    async def _call(self, socket: str, method: str, target: str) -> _Said:
        # Without a version: that of the engine itself.
        url = httpcore.URL(scheme="http", host="docker", port=None, target=target)
        headers = [("Host", "docker"), ("Content-Length", "0")]
        async with (
            httpcore.AsyncConnectionPool(uds=socket) as pool,
            pool.stream(method, url, headers=headers) as response,
        ):
            return _Said(response.status, await read(response))

    def _judged(self, which: _Which, said: _Said, stop: _Stop) -> Restarted:
        if said.status == 204:
            return Restarted(Outcome.ACCEPTED, f"the engine restarted the container {which.called}, {stop.told}")
        return self._refused(which, said)

    def _refused(self, which: _Which, said: _Said) -> Restarted:
        advice = {
            403: "; allow this call where the socket is filtered",
            404: f"; correct {KEY}",
        }.get(said.status, "")
        text = f"the engine did not restart the container {which.called} ({_told(said)})"
        return Restarted(Outcome.REFUSED, f"{text}{advice}")

    def _blamed(self, socket: str, error: Exception, *, asked: bool) -> Restarted:
        number = next((one.errno for one in causes(error) if isinstance(one, OSError) and one.errno), None)
        where = f"the engine's socket {socket}"
        if number in (errno.EACCES, errno.EPERM):
            text = f"{where} is not permitted to our user: put the user into the socket's group (docker)"
            return Restarted(Outcome.REFUSED, text)
        if isinstance(error, httpcore.ConnectError):
            why = os.strerror(number) if number else "it cannot be connected to"
            return Restarted(Outcome.UNREACHABLE, f"{where}: {why}; is the engine running, and DOCKER_HOST right?")
        if not asked:
            text = f"the engine broke off before it was asked to restart {self._container} ({type(error).__name__})"
            return Restarted(Outcome.UNREACHABLE, text)
        # Sent or not: nobody knows, so it counts as made.
        return Restarted(Outcome.TIMED_OUT, f"the engine broke off the call ({type(error).__name__})")


def _stop_of(config: _Config) -> _Stop:
    wanted = config.stop_timeout or 0
    seconds = LONGEST_STOP if wanted < 0 else min(max(STOP, wanted), LONGEST_STOP)
    signal = one_line(config.stop_signal or "")
    told = f"with {seconds} s to stop"
    return _Stop(seconds, told if signal in ("", "SIGTERM", "15") else f"{told} by its own signal {signal}")


def _path(which: _Which, what: str) -> str:
    return f"/containers/{quote(which.id, safe='')}/{what}"


def _told(said: _Said) -> str:
    message = _message(said.body)
    return f"{said.status}: {message}" if message else f"{said.status}"


def _message(body: bytes) -> str:
    try:
        return one_line(msgspec.json.decode(body, type=_Message).message)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
