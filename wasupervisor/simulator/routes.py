"""Finds the handler of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from wasupervisor.simulator.httpd import Reply, Request
from wasupervisor.simulator.virtual import Pending

Result: TypeAlias = Reply | Pending[Reply]


class Routes:
    """A table of method and path; a part in braces is handed to the handler, decoded. The first row that fits wins."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, tuple[str, ...], Callable[..., Result]]] = []

    def add(self, method: str, path: str, handler: Callable[..., Result]) -> None:
        """Add a row."""
        self._rows.append((method, tuple(path.strip("/").split("/")), handler))

    def find(self, request: Request) -> Callable[[Request], Result] | None:
        """The handler with its path parameters bound; None: no such route."""
        parts = request.segments
        for method, pattern, handler in self._rows:
            if method == request.method and len(pattern) == len(parts):
                named = {key[1:-1]: part for key, part in zip(pattern, parts, strict=True) if key[:1] == "{"}
                if all(key[:1] == "{" or key == part for key, part in zip(pattern, parts, strict=True)):
                    return _bound(handler, named)
        return None


def _bound(handler: Callable[..., Result], named: dict[str, Any]) -> Callable[[Request], Result]:
    return lambda request: handler(request, **named)
