"""Whether the sessions' logins are where the gateway will look for them at its next connect."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from wasupervisor.keyspace.connection import Servers
from wasupervisor.keyspace.credentials import NONE, Credential, Logins, Types, read_logins


class LoginWatch:
    """Remembers which credential keys had a login, and which lost it."""

    def __init__(self, is_aside: Callable[[bytes], bool]) -> None:
        """Nothing was asked yet. `is_aside`: whether a key is in quarantine."""
        self._is_aside = is_aside
        self._in_redis = True
        """Whether logins are kept in Redis, as far as is known."""
        self._had: set[bytes] = set()
        """Credential keys in which a login was seen."""
        self._lost: tuple[bytes, ...] = ()

    async def in_redis(self, servers: Servers, known: Mapping[bytes, Credential], *, is_sure: bool) -> bool:
        """Whether any credential key holds a login, and not just what goes with one; not known: yes.

        Args:
            servers: where the keys are.
            known: the credential keys.
            is_sure: whether it is known what is in quarantine, so that the answer may be relied on.

        Raises:
            KeyspaceError: a server cannot be asked.
        """
        logins = await self._read(servers, known)
        # What came in the place of a hash that was set aside tells nothing: its login was in the other.
        told = [whole for key, whole in logins.of.items() if key not in self._lost and not self._is_aside(key)]
        if not told:
            return self._in_redis
        if any(told) or is_sure:
            self._in_redis = any(told)
        return any(told)

    async def lost(
        self, servers: Servers, known: Mapping[bytes, Credential], types: Types, remembered: Collection[str]
    ) -> tuple[tuple[bytes, ...], str]:
        """Credential keys that are not there, or not whole, while the gateway has their login in memory.

        It goes on to write what goes with a login, and so makes a hash that looks well until the login is in it.

        Args:
            servers: where the keys are.
            known: the credential keys.
            types: of them, as read just now.
            remembered: the sessions whose login the gateway has in memory.

        Returns:
            Beside the keys, why some could not be asked.

        Raises:
            KeyspaceError: a server cannot be asked.
        """
        if not self._in_redis:
            self._lost = ()
            return (), ""
        aside = {key for key in known if self._is_aside(key)}
        doubted = {key: known[key] for key in (*aside, *self._lost) if key in known}
        logins = await self._read(servers, doubted) if doubted else Logins()
        gone = {key for key in self._had if key in known and known[key].session in remembered} | aside
        missing = [key for key in known if key in gone and types.of.get(key) == NONE]
        self._lost = (*missing, *(key for key in doubted if logins.of.get(key) is False))
        return self._lost, logins.unread

    async def _read(self, servers: Servers, known: Mapping[bytes, Credential]) -> Logins:
        logins = await read_logins(servers, known)
        self._had |= {key for key, whole in logins.of.items() if whole}
        return logins
