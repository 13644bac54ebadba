"""Speaks to the daemon through its control socket."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NoReturn
from urllib.parse import quote, urlencode

import click
import httpcore

from wasupervisor.config.loading import DEFAULT_FILE, places_of, read
from wasupervisor.config.places import Places
from wasupervisor.config.problems import ConfigError

EXIT_UNWELL = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3

ANSWER_WITHIN = 60.0

IS_IT_RUNNING = "Is it running? (systemctl status wasupervisor)"
WHO_MAY = "permission denied; root and members of the group wasupervisor may connect"


class Refusal(click.ClickException):
    """What cannot be done, with the exit status of the command."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.exit_code = status  # type: ignore[misc]  # click reads it from instances

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it, each line with the program's name."""
        for line in self.message.splitlines():
            click.echo(f"wasupervisor: {line}", file=file, err=file is None)


def refuse(text: str, status: int) -> NoReturn:
    """Say what cannot be done, and end the command."""
    raise Refusal(text, status)


class Client:
    """Requests to the daemon; each failure ends the command with its own exit status."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._http = httpcore.ConnectionPool(uds=os.fspath(socket))

    @classmethod
    def for_command(cls, ctx: click.Context, config: Path | None) -> Client:
        """The client for the daemon that the configuration, or the default places, point to."""
        client = cls(find_socket(config or (ctx.obj or {}).get("config"), os.environ))
        ctx.call_on_close(client.close)
        return client

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, **query: str | list[str]) -> Any:
        """The JSON answer to a GET; of any status."""
        return self._call("GET", f"{path}?{urlencode(query, doseq=True, errors='replace')}" if query else path)[1]

    def post(self, path: str, body: dict[str, object] | None = None) -> tuple[int, Any]:
        """Status and JSON answer of a changing request."""
        return self._call("POST", path, json.dumps(body or {}).encode())

    def _call(self, method: str, path: str, content: bytes | None = None) -> tuple[int, Any]:
        limits = {"timeout": dict.fromkeys(("connect", "write", "read"), ANSWER_WITHIN)}
        try:
            answer = self._http.request(method, f"http://wasupervisor{path}", content=content, extensions=limits)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            refuse(f"the daemon cannot be reached at {self._socket}: {_why(self._socket, error)}", EXIT_UNREACHABLE)
        try:
            return answer.status, json.loads(answer.content)
        except ValueError:
            text = answer.content[:200].decode(errors="replace").strip()
            refuse(f"the daemon could not answer ({answer.status}): {text}", EXIT_UNWELL)


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


def _why(socket: Path, error: Exception) -> str:
    """What stands in the way, found out after the fact: the library does not tell."""
    try:
        if not stat.S_ISSOCK(socket.stat().st_mode):
            return "that is no socket"
    except FileNotFoundError:
        return f"there is no socket. {IS_IT_RUNNING}"
    except PermissionError:
        return WHO_MAY
    except OSError as trouble:
        return trouble.strerror or str(trouble)
    if isinstance(error, httpcore.TimeoutException):
        return f"no answer within {ANSWER_WITHIN:g} s"
    if not os.access(socket, os.W_OK):
        return WHO_MAY
    if isinstance(error, httpcore.ConnectError):
        return f"nobody listens. {IS_IT_RUNNING}"
    return f"the connection broke. {IS_IT_RUNNING}"
