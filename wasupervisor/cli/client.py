"""Speaks to the daemon through its control socket."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import click
import httpx

from wasupervisor.config.loading import DEFAULT_FILE, places_of, read
from wasupervisor.config.places import Places
from wasupervisor.config.problems import ConfigError

EXIT_UNWELL = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3

ANSWER_WITHIN = 60.0


def refuse(text: str, status: int) -> NoReturn:
    """Say what cannot be done, and end."""
    for line in text.splitlines():
        click.echo(f"wasupervisor: {line}", err=True)
    sys.exit(status)


class Client:
    """Requests to the daemon; each failure ends the command with its own exit status."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)),
            base_url="http://wasupervisor",
            timeout=ANSWER_WITHIN,
            trust_env=False,
        )

    @classmethod
    def for_command(cls, ctx: click.Context, config: Path | None) -> Client:
        """The client for the daemon that the configuration, or the default places, point to."""
        return cls(find_socket(config or (ctx.obj or {}).get("config"), os.environ))

    def get(self, path: str, **query: str) -> Any:
        """The JSON answer to a GET; of any status."""
        return self._call("GET", path, params=query)[1]

    def post(self, path: str, body: dict[str, object] | None = None) -> tuple[int, Any]:
        """Status and JSON answer of a changing request."""
        return self._call("POST", path, json=body or {})

    def _call(self, method: str, path: str, **what: Any) -> tuple[int, Any]:
        try:
            answer = self._http.request(method, path, **what)
            return answer.status_code, answer.json()
        except httpx.TransportError as error:
            refuse(f"the daemon cannot be reached at {self._socket}: {_why(self._socket, error)}", EXIT_UNREACHABLE)
        except ValueError:
            refuse(f"what answers at {self._socket} is not wasupervisor", EXIT_UNREACHABLE)


def session_path(name: str, verb: str) -> str:
    """The path of a verb on a session."""
    return f"/sessions/{quote(name, safe='')}/{verb}"


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
    return next((one for one in candidates if one.exists()), candidates[0])


def _why(socket: Path, error: httpx.TransportError) -> str:
    try:
        if not stat.S_ISSOCK(socket.stat().st_mode):
            return "that is no socket"
    except FileNotFoundError:
        return "there is no socket. Is it running? (systemctl status wasupervisor)"
    except PermissionError:
        return "permission denied; members of the group wasupervisor may connect"
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {ANSWER_WITHIN:g} s"
    if not os.access(socket, os.W_OK):
        return "permission denied; members of the group wasupervisor may connect"
    return "nobody listens. Is it running? (systemctl status wasupervisor)"
