"""A stand-in for the daemon on a real control socket, and the command line as an operator types it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
from click.testing import CliRunner, Result

from wasupervisor.cli.main import cli
from wasupervisor.report.connection import Request, Response
from wasupervisor.report.http import Server


def session(name: str, condition: str = "healthy", reason: str = "none", **rest: Any) -> dict[str, Any]:
    """One session of the health document."""
    return {
        "name": name,
        "state": "working",
        "condition": condition,
        "reason": reason,
        "since": "2025-01-31T12:00:00Z",
        "next": None,
        "needs_qr": False,
        "claim": "WORKING",
        "advice": "",
        "expected": True,
        "usable": True,
        **rest,
    }


def document(*sessions: dict[str, Any], status: str = "healthy", **rest: Any) -> dict[str, Any]:
    """The health document."""
    return {
        "status": status,
        "uptime": 12.0,
        "connections": {"total": 2, "active": 1, "failed": 1, "recovering": 0, "needs_human": 0, "stopped": 0},
        "resources": {"cpu": 12.3, "memory": {"percentage": 10.0, "rss_bytes": 650_000_000, "limit_bytes": None}},
        "ready": True,
        "paused": None,
        "gateway": {"kind": "waha", "reachable": True, "latency_seconds": 0.1, "version": "2024.10.8", "pid": 4711},
        "incident": None,
        "sessions": list(sessions),
        "notes": [],
        "why": "1 expected session active",
        **rest,
    }


def entry(number: int, text: str, session: str | None = "s1", kind: str = "remedy") -> dict[str, Any]:
    """One entry of the journal."""
    return {
        "id": number,
        "at": 1_700_000_000.0 + number,
        "kind": kind,
        "session": session,
        "remedy": "restart_session" if kind == "remedy" else None,
        "outcome": None,
        "warn": False,
        "text": text,
    }


class Daemon:
    """Answers what it is told to, and notes what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "config.yaml"
        self.socket = folder / "control.sock"
        self.config.write_text(
            f"gateway: {{kind: waha, url: 'http://h:1'}}\ncontrol: {{socket: {self.socket}}}\n", encoding="utf-8"
        )
        self.answers: dict[str, Response] = {}
        self.then: Callable[[Request], Response] | None = None
        self.asked: list[Request] = []
        self._stop = anyio.Event()
        self._portal = anyio.from_thread.start_blocking_portal()
        self._call = self._portal.__enter__()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        self._listener.listen()
        self._serving = self._call.start_task_soon(Server(self._answer).serve, self._listener)

    def close(self) -> None:
        """End it."""
        self._serving.cancel()
        self._portal.__exit__(None, None, None)
        self._listener.close()

    def answer(self, path: str, value: object, status: int = 200) -> None:
        """From now on."""
        self.answers[path] = Response.json(status, value)

    def _answer(self, request: Request) -> Response:
        assert threading.current_thread() is not threading.main_thread()
        self.asked.append(request)
        if self.then is not None:
            return self.then(request)
        return self.answers.get(request.path, Response.text(500, "internal error, see the log"))

    def bodies(self) -> list[Any]:
        """Of the changing requests."""
        return [json.loads(one.body) for one in self.asked if one.method == "POST"]

    def run(self, *arguments: str, before: bool = False, env: dict[str, str | None] | None = None) -> Result:
        """A command; `-c` stands behind it, or before."""
        chosen = ["-c", str(self.config)]
        words = [*chosen, *arguments] if before else [*arguments, *chosen]
        return CliRunner().invoke(cli, words, env={"COLUMNS": "200", **(env or {})}, catch_exceptions=False)


def run(*arguments: str, env: dict[str, str | None] | None = None) -> Result:
    """A command without a daemon."""
    return CliRunner().invoke(cli, list(arguments), env=env, catch_exceptions=False)
