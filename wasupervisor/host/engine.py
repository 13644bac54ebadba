"""Asks a container engine on its Unix socket (Docker Engine API 1.24 and later, or Podman's compatible one)."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import anyio
import httpcore
import msgspec

SOCKET = "/var/run/docker.sock"
LABEL = "label="
KEY = "process.find.docker"

_LARGEST = 1 << 20
"""Bytes of an answer that are read; a container's is 10 kB, with its health log 30."""

T = TypeVar("T")


class Trouble(NamedTuple):
    """No answer that can be used, and why, for a person."""

    text: str
    nothing_there: bool = False
    """The engine answered that there is no such container."""


class Policy(msgspec.Struct, frozen=True, rename="pascal"):
    """What the engine does when a container ends."""

    name: str | None = None
    maximum_retry_count: int | None = None


class HostConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """What a container may use; 0 is no limit."""

    memory: int | None = None
    nano_cpus: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    restart_policy: Policy | None = None


class Health(msgspec.Struct, frozen=True, rename="pascal"):
    """Of its health check, without the log, which may hold anything."""

    status: str = ""


class State(msgspec.Struct, frozen=True, rename="pascal"):
    """How a container is."""

    status: str = ""
    running: bool = False
    pid: int = 0
    exit_code: int | None = None
    started_at: str = ""
    oom_killed: bool | None = msgspec.field(name="OOMKilled", default=None)
    health: Health | None = None


class Inspected(msgspec.Struct, frozen=True, rename="pascal"):
    """One container: of its answer, what is used. Its environment, which holds API keys, is not read."""

    id: str
    state: State
    name: str = ""
    restart_count: int | None = None
    host_config: HostConfig = HostConfig()


class Listed(msgspec.Struct, frozen=True, rename="pascal"):
    """One row of the list of containers."""

    id: str
    names: tuple[str, ...] | None = None
    state: str = ""

    @property
    def called(self) -> str:
        """Its name, for a person."""
        return (self.names or (self.id[:12],))[0].removeprefix("/")


class Engine:
    """One question, one connection: it is asked about once a minute."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._host = environ.get("DOCKER_HOST") or f"unix://{SOCKET}"

    async def inspect(self, container: str, *, seconds: float) -> Inspected | Trouble:
        """The container of this name, or the only one with this label (`label=KEY=VALUE`). Never raises."""
        try:
            with anyio.fail_after(seconds):
                if container.startswith(LABEL):
                    return await self._labelled(container.removeprefix(LABEL))
                return await self._named(container, container)
        except TimeoutError:
            return Trouble(f"the container engine has not answered within {seconds:g} s")
        except Exception as error:  # whatever it is, it says nothing about the gateway
            return Trouble(self._blamed(error))

    async def _labelled(self, label: str) -> Inspected | Trouble:
        rows = await self._get(with_label(label), tuple[Listed, ...], f"label {label}")
        if isinstance(rows, Trouble):
            return rows
        one = the_one(rows, label, KEY)
        return one if isinstance(one, Trouble) else await self._named(one.id, one.called)

    async def _named(self, container: str, called: str) -> Inspected | Trouble:
        return await self._get(f"/containers/{quote(container, safe='')}/json", Inspected, f"container {called}")

    async def _get(self, target: str, shape: type[T], what: str) -> T | Trouble:
        if not self._host.startswith("unix:///"):
            return Trouble("DOCKER_HOST is not the path of a Unix socket (unix:///...), and no other way is taken")
        # Without a version: that of the engine itself.
        url = httpcore.URL(scheme="http", host="docker", port=None, target=target)
        async with (
            httpcore.AsyncConnectionPool(uds=self._host.removeprefix("unix://")) as pool,
            pool.stream("GET", url, headers=[("Host", "docker")]) as response,
        ):
            body = await read(response)
        if response.status == 404:
            return Trouble(f"the engine knows no {what}; correct {KEY}", nothing_there=True)
        if response.status == 403:
            return Trouble("the engine does not allow GET /containers; allow it where the socket is filtered")
        try:
            if response.status == 200:
                return msgspec.json.decode(body, type=shape)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return Trouble(f"the engine's answer about the {what} is not what its API promises")
        return Trouble(f"the engine answered {response.status} when it was asked about the {what}")

    def _blamed(self, error: Exception) -> str:
        number = next((one.errno for one in causes(error) if isinstance(one, OSError) and one.errno), None)
        where = f"the engine's socket {self._host.removeprefix('unix://')}"
        if number in (errno.EACCES, errno.EPERM):
            return f"{where} is not permitted to our user: put the user into the socket's group (docker)"
        if isinstance(error, httpcore.ConnectError):
            why = os.strerror(number) if number else "it cannot be connected to"
            return f"{where}: {why}; is the engine running, and DOCKER_HOST right?"
        return f"the engine broke off the call ({type(error).__name__})"


async def read(response: httpcore.Response) -> bytes:
    """The body; empty where it is too large to be one of these."""
    body = b""
    async for piece in response.aiter_stream():
        body += piece
        if len(body) > _LARGEST:
            return b""
    return body


def with_label(label: str) -> str:
    """What is asked for the containers with this label, `KEY=VALUE` or `KEY`; those that do not run as well."""
    filters = quote(json.dumps({"label": [label]}, separators=(",", ":")), safe="")
    return f"/containers/json?all=true&filters={filters}"


def the_one(rows: Sequence[Listed], label: str, key: str) -> Listed | Trouble:
    """The only container that the label means; `key` is where a person corrects it.

    What an earlier deployment left behind does not count beside the one that runs.
    """
    those = [one for one in rows if one.state == "running"] or list(rows)
    if not those:
        return Trouble(f"no container has the label {label}; correct {key}", nothing_there=True)
    if len(those) > 1:
        names = ", ".join(sorted(one.called for one in those)[:8])
        return Trouble(f"{len(those)} containers have the label {label} ({names}); name one in {key}")
    return those[0]


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it comes from; httpcore raises its own 'from None'."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
