"""Speaks to the daemon through its control socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import quote, urlencode

import click

from wasupervisor.config.loading import DEFAULT_FILE, places_of, read
from wasupervisor.config.places import Places
from wasupervisor.config.problems import ConfigError

EXIT_UNWELL = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
HTTP_FORBIDDEN = 403

ANSWER_WITHIN = 60.0

IS_IT_RUNNING = "Is it running? (systemctl status wasupervisor)"

WHY: tuple[tuple[type[Exception], str], ...] = (
    (FileNotFoundError, f"there is no socket. {IS_IT_RUNNING}"),
    (PermissionError, "permission denied; root and members of the group wasupervisor may connect"),
    (ConnectionRefusedError, f"nobody listens. {IS_IT_RUNNING}"),
    (TimeoutError, f"no answer within {ANSWER_WITHIN:g} s"),
    (ConnectionError, f"the connection broke. {IS_IT_RUNNING}"),
    (http.client.HTTPException, f"the connection broke. {IS_IT_RUNNING}"),
)


class Refusal(click.ClickException):
    """What cannot be done, with the exit status of the command."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.exit_code = status  # type: ignore[misc]  # click reads it from instances

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it, each line with the program's name."""
        for line in self.message.splitlines():
            click.echo(f"wasupervisor: {line}", file=file, err=file is None)


class AbsentError(Refusal):
    """There is no daemon. Of one that hangs, or that we may not speak to, this cannot be said."""


def refuse(text: str, status: int) -> NoReturn:
    """Say what cannot be done, and end the command."""
    raise Refusal(text, status)


class Client:
    """Requests to the daemon; each failure ends the command with its own exit status."""

    def __init__(self, socket_file: Path) -> None:
        self._file = socket_file

    @classmethod
    def for_command(cls, ctx: click.Context, config: Path | None) -> Client:
        """The client for the daemon that the configuration, or the default places, point to."""
        return cls(find_socket(config or (ctx.obj or {}).get("config"), os.environ))

    def get(self, path: str, **query: str | list[str]) -> Any:
        """The JSON answer to a GET; of any status."""
        return self._call("GET", f"{path}?{urlencode(query, doseq=True, errors='replace')}" if query else path)[1]

    def ask(self, path: str) -> tuple[int, Any]:
        """Status and JSON answer of a GET."""
        return self._call("GET", path)

    def post(self, path: str, body: dict[str, object] | None = None) -> tuple[int, Any]:
        """Status and JSON answer of a changing request."""
        return self._call("POST", path, json.dumps(body or {}).encode())

    def _call(self, method: str, path: str, content: bytes | None = None) -> tuple[int, Any]:
        try:
            with contextlib.closing(_Connection(self._file)) as connection:
                connection.request(method, path, content)
                answer = connection.getresponse()
                body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            text = f"the daemon cannot be reached at {self._file}: {_why(self._file, error)}"
            absent = isinstance(error, FileNotFoundError | ConnectionRefusedError)
            raise (AbsentError if absent else Refusal)(text, EXIT_UNREACHABLE) from None
        try:
            told = json.loads(body)
        except ValueError:
            text = body[:200].decode(errors="replace").strip()
            refuse(f"the daemon could not answer ({answer.status}): {text}", EXIT_UNWELL)
        if answer.status == HTTP_FORBIDDEN:
            refuse(f"the daemon cannot be reached at {self._file}: {told['error']}", EXIT_UNREACHABLE)
        return answer.status, told


class _Connection(http.client.HTTPConnection):
    """HTTP through a file; the standard library leaves errors as they are, so that it can be said what is wrong."""

    def __init__(self, socket_file: Path) -> None:
        super().__init__("wasupervisor", timeout=ANSWER_WITHIN)
        self._file = socket_file

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_WITHIN)
        self.sock.connect(os.fspath(self._file))


def session_path(name: str, verb: str) -> str:
    """The path of a verb on a session."""
    if name in ("", ".", ".."):  # an HTTP client takes these out of a path
        refuse(f"no session {name!r} is known; `wasupervisor status` lists them", EXIT_USAGE)
    return f"/sessions/{quote(name, safe='', errors='replace')}/{verb}"


def find_socket(config: Path | None, environ: Mapping[str, str]) -> Path:
    """The configuration's control socket, else the first that exists of systemd's, root's and the user's own."""
    if config is not None or DEFAULT_FILE.exists():
        try:
            return read(config or DEFAULT_FILE, environ).settings.control.socket
        except ConfigError as error:
            if config is not None:
                refuse(str(error), EXIT_USAGE)
    home = Path(environ.get("HOME") or "/")
    root = Places.of({}, 0, home).runtime
    candidates = [root / "control.sock", places_of(environ).runtime / "control.sock"]
    return next((one for one in candidates if os.path.lexists(one)), candidates[0])


def _why(socket_file: Path, error: Exception) -> str:
    """What stands in the way, and what to do about it."""
    if isinstance(error, ConnectionRefusedError) and not socket_file.is_socket():
        return "that is no socket"
    for kind, text in WHY:
        if isinstance(error, kind):
            return text
    return getattr(error, "strerror", None) or str(error)
