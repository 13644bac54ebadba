"""Where Redis is and how it is spoken to, as this room needs it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from wasupervisor.config.redis_url import Login, Place, RedisAddress, redis_address
from wasupervisor.config.rules import RefusedError
from wasupervisor.keyspace.trouble import KeyspaceError, RedisTrouble

__all__ = ["NO_TLS_FILES", "Login", "Place", "RedisAddress", "Tls", "parse"]


class Tls(NamedTuple):
    """Whom we trust, and who we are."""

    ca_file: Path | None = None
    """None: the authorities that the system trusts."""
    cert_file: Path | None = None
    key_file: Path | None = None
    """None: it stands in `cert_file` too."""


NO_TLS_FILES = Tls()


def parse(url: str) -> RedisAddress:
    """Take a URL apart.

    Raises:
        KeyspaceError: it is none of ours. The text shows no part of it.
    """
    try:
        return redis_address(url)
    except RefusedError as refusal:
        raise KeyspaceError(RedisTrouble.OTHER, f"redis.url cannot {refusal}") from None
