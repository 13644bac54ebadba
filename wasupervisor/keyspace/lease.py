"""Of several daemons that share a Redis one repairs: who holds the lease in it."""

from __future__ import annotations

import os
from collections.abc import Callable

from wasupervisor.keyspace.connection import Script, Servers
from wasupervisor.keyspace.keys import LEASE
from wasupervisor.keyspace.trouble import KeyspaceError

LASTS = 30.0
"""Seconds. Who holds it takes it anew each third of that."""

_TAKE = Script(
    "take the lease",
    """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
if holder then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
return 1
""",
)
_RELEASE = Script(
    "release the lease",
    """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
""",
)


class Lease:
    """One for each database and prefix; it stands in that database.

    The script that repairs compares the key with the token, so that who lost the lease without knowing it, frozen or
    after a failover, changes nothing any more. In a cluster it cannot: a script sees only the slot of its own keys, and
    the lease is on the node of `key`. There two may repair for up to `LASTS` seconds, which does no harm, since the
    second finds nothing left to repair.
    """

    def __init__(
        self,
        servers: Servers,
        prefix: str,
        clock: Callable[[], float],
        *,
        lasts: float = LASTS,
        token: bytes | None = None,
    ) -> None:
        """Not ours yet.

        Args:
            servers: where it stands.
            prefix: of the keys that its holder repairs.
            clock: seconds that never go back.
            lasts: seconds without `take` after which it is anybody's.
            token: who we are; by default one that nobody else has.
        """
        self._servers = servers
        self._clock = clock
        self._lasts = lasts
        self._until: float | None = None
        self.key = LEASE + prefix.encode()
        self.token = token or os.urandom(16).hex().encode()

    async def take(self) -> bool:
        """Take it if it is nobody's, renew it if it is ours.

        Returns:
            whether it is ours now.

        Raises:
            KeyspaceError: Redis did not say. What was ours is so until it expires.
        """
        asked = self._clock()
        taken = await self._servers.node_of(self.key).run(_TAKE, [self.key], [self.token, round(self._lasts * 1000)])
        self._until = asked + self._lasts if taken == 1 else None
        return self.is_ours

    @property
    def is_ours(self) -> bool:
        """Whether it was ours at the last `take` and cannot have expired since."""
        return self._until is not None and self._clock() < self._until

    async def release(self) -> None:
        """Let another take it at once. Never raises: where Redis is gone it expires."""
        if self._until is None:
            return
        self._until = None
        try:
            await self._servers.node_of(self.key).run(_RELEASE, [self.key], [self.token])
        except KeyspaceError:
            return
