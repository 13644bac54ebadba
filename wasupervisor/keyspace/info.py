"""What a server says of itself: INFO, in which any field may be missing."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from wasupervisor.keyspace.connection import Node
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble
from wasupervisor.model.value import Value


class Info(Value, frozen=True):
    """Fields by name, as text. What the server left out is None, never a guess."""

    fields: dict[str, str] = msgspec.field(default_factory=dict)
    sections: frozenset[str] = frozenset()
    """Those that were given, in lower case; also the empty ones."""
    withheld: str = ""
    """Why at least one section that was asked for was not given; empty: none was refused."""

    def text(self, name: str) -> str | None:
        """A field that is there and not empty."""
        return self.fields.get(name) or None

    def number(self, name: str) -> int | None:
        """A whole number; None when it is missing or none."""
        return _whole(self.fields.get(name, ""))

    def flag(self, name: str) -> bool | None:
        """0 or 1."""
        return {"0": False, "1": True}.get(self.fields.get(name, ""))

    def count(self, name: str) -> int | None:
        """N of a field such as `errorstat_WRONGTYPE:count=N`, whatever else stands there."""
        for part in self.fields.get(name, "").split(","):
            key, _, value = part.partition("=")
            if key == "count":
                return _whole(value)
        return None

    @property
    def version(self) -> tuple[int, int, int] | None:
        """Of the Redis that it claims to be, which is what Valkey, KeyDB and Dragonfly say for their clients' sake."""
        found = re.match(r"(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?", self.fields.get("redis_version", ""))
        return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None

    @property
    def server(self) -> str:
        """As a person knows it: `Redis 7.0.15`, `Valkey 8.0.1 (as Redis 7.2.4)`."""
        redis = f"Redis {self.fields.get('redis_version') or 'of unknown version'}"
        for field, name in (("valkey_version", "Valkey"), ("dragonfly_version", "Dragonfly")):
            if own := self.fields.get(field):
                return f"{name} {own.removeprefix('df-v')} (as {redis})"
        return redis


def parse_info(text: bytes | str) -> Info:
    """One section or many, in the order in which they come.

    A line without a colon says nothing; of two fields with one name the later counts. Values are kept as they are, with
    their commas, colons and blanks.
    """
    fields: dict[str, str] = {}
    sections = set()
    for line in (text.decode("utf-8", "replace") if isinstance(text, bytes) else text).split("\n"):
        bare = line.rstrip("\r")
        if bare.startswith("#"):
            sections.add(bare.lstrip("# ").strip().lower())
        elif ":" in bare:
            name, _, value = bare.partition(":")
            fields[name] = value
    return Info(fields=fields, sections=frozenset(sections))


async def read_info(node: Node, *sections: str) -> Info:
    """These sections, in one exchange: a command for each, since `INFO` takes several only from Redis 7.0 on.

    Raises:
        KeyspaceError: the server cannot be asked at all. That INFO is refused is no error, see `withheld`.
    """
    replies = await node.calls([("INFO", section) for section in sections])
    return _joined(_given(reply) for reply in replies)


def is_withheld(error: KeyspaceError) -> bool:
    """Whether the server works, but does not do this for us: not allowed (NOPERM), or no such command there (ERR)."""
    return error.trouble is RedisTrouble.FORBIDDEN or (error.trouble is RedisTrouble.OTHER and error.code == "ERR")


def _given(reply: object) -> Info:
    if isinstance(reply, KeyspaceError):
        if not is_withheld(reply):
            raise reply
        return Info(withheld=str(reply))
    if isinstance(reply, bytes | str):
        return parse_info(reply)
    return Info(withheld=f"INFO was answered with {type(reply).__name__}")


def _joined(parts: Iterable[Info]) -> Info:
    fields: dict[str, str] = {}
    sections: frozenset[str] = frozenset()
    withheld = ""
    for part in parts:
        fields |= part.fields
        sections |= part.sections
        withheld = withheld or part.withheld
    return Info(fields=fields, sections=sections, withheld=withheld)


def _whole(text: str) -> int | None:
    bare = text.strip()
    return int(bare) if bare.isascii() and bare.removeprefix("-").isdigit() and len(bare) < 25 else None
