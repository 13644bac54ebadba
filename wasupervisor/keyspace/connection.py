"""The way to Redis: one server, or the primaries of a cluster. The only file that knows redis-py."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

Word = bytes | str | int | float
"""One word of a command."""


class Script(NamedTuple):
    """A Lua script and what it is for."""

    name: str
    text: str


class Node:
    """One server. All its calls have a deadline and raise `KeyspaceError`, and nothing of redis-py."""

    name: str
    """`127.0.0.1:6379`, `/run/redis.sock`: no secret in it."""

    async def call(self, *words: Word) -> Any:
        """One command; replies as redis-py gives them without decoding (bytes)."""
        raise NotImplementedError

    async def calls(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """Several in one pipeline, not as a transaction. A reply that is an error stands in it as `KeyspaceError`.

        Raises:
            KeyspaceError: the connection failed, so that there are no replies at all.
        """
        raise NotImplementedError

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Word]) -> Any:
        """A script: EVALSHA, and EVAL where the server does not know it yet."""
        raise NotImplementedError


class Servers:
    """Where the keys are."""

    nodes: tuple[Node, ...]

    def node_of(self, key: bytes) -> Node:
        """Who holds this key."""
        raise NotImplementedError

    @property
    def is_cluster(self) -> bool:
        """Whether the keys of one command must share a slot."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the connections; never raises, never waits for long."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
