"""What Evolution's database says: asked rarely, kept meanwhile."""

from __future__ import annotations

import math

from msgspec.structs import replace

from wasupervisor.gateways.answers import usable
from wasupervisor.gateways.evolution_answers import Rows, read_rows
from wasupervisor.gateways.evolution_truths import BAILEYS, Row
from wasupervisor.gateways.http import LIST_LIMIT, Clock, Failure, Progress, Reply, Turn
from wasupervisor.model.observation import Trouble

ROWS = "/instance/fetchInstances"

ROWS_EVERY = 60.0
"""Seconds. `fetchInstances` counts the messages of each instance, which takes long in a full database."""

ROWS_PAUSE = 10.0
"""Seconds between two of them when memory says something else than the database, or the last one failed."""

KEY_HINT = "look at gateway.api_key (AUTHENTICATION_API_KEY of Evolution)"
KEY_HINT_LATER = f"{KEY_HINT}; it was accepted before: an instance's own token is refused while PostgreSQL is down"

HINTS = (
    (b"Can't reach database server", "Evolution cannot reach its database"),
    (b"does not exist", "Evolution has not loaded the instance"),
)


class Database:
    """What the database says of all instances: asked rarely, kept meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked_at = self._read_at = -math.inf
        self._pause = ROWS_PAUSE
        self.rows: dict[str, Row] | None = None
        """By name; None: never read. Once they are too old to count, they are but names."""
        self.failure: Failure | None = None
        """Of the last call."""
        self.ok: bool | None = None
        """Whether the database answered the last call; None when that is not known."""
        self.unreadable = 0

    def forget(self) -> None:
        """The gateway fell silent: ask as soon as it is back."""
        self._asked_at, self.ok = -math.inf, None

    def read_anew(self) -> None:
        """Ask in the next look, whatever was answered a moment ago."""
        self._asked_at = -math.inf

    async def refresh(self, turn: Turn, memory: dict[str, str], *, all_loaded: bool) -> None:
        """Ask again when it is time, or when memory says something else.

        Args:
            turn: the calls of this look.
            memory: what memory says, by name.
            all_loaded: whether those are all that are loaded.
        """
        now = self._clock()
        if self._is_due(now, memory, all_loaded):
            self._asked_at = now
            await self._ask(turn)
            took = self._clock() - now
            # Never more than a tenth of the database's time: the query counts messages.
            self._pause = min(max(ROWS_PAUSE, took * 10), ROWS_EVERY)
        if self.failure is not None and self.rows is not None and now - self._read_at > ROWS_EVERY:
            # A count that stands still because nobody reads it is no silence.
            self._keep({n: replace(row, database=None, code=None, activity=None) for n, row in self.rows.items()})

    def _is_due(self, now: float, memory: dict[str, str], all_loaded: bool) -> bool:
        since = now - self._asked_at
        if self.rows is None or self.failure is not None or self._differs(memory, all_loaded):
            return since >= self._pause
        return since >= ROWS_EVERY

    def _differs(self, memory: dict[str, str], all_loaded: bool) -> bool:
        rows = self.rows or {}
        if all_loaded and memory.keys() != rows.keys():
            return True
        return any(
            row.integration in BAILEYS and name in memory and row.database != memory[name] for name, row in rows.items()
        )

    async def _ask(self, turn: Turn) -> None:
        read_before = self.rows is not None
        at_most = turn.left / 2 if read_before else math.inf
        answer = await turn.ask("GET", ROWS, at_most=at_most, limit=LIST_LIMIT)
        rows = rows_of(answer, KEY_HINT_LATER if read_before else KEY_HINT)
        self.ok = store_ok(answer, rows)
        if isinstance(rows, Failure):
            self.failure = rows
            return
        self.failure, self._read_at, self.unreadable = None, self._clock(), rows.unreadable
        self._keep(rows.by_name)

    def _keep(self, rows: dict[str, Row]) -> None:
        if rows != self.rows:
            self.rows = rows


def rows_of(answer: Reply | Failure, key_hint: str) -> Rows | Failure:
    """The rows that `fetchInstances` gave, or why there are none."""
    answer = usable(answer, "fetchInstances", key_hint, HINTS)
    if isinstance(answer, Failure):
        return answer
    rows = read_rows(answer.body)
    if rows is not None:
        return rows
    return Failure(Trouble.BAD_BODY, "fetchInstances: answered with no list of instances", Progress.ANSWERED)


def store_ok(answer: Reply | Failure, rows: Rows | Failure) -> bool | None:
    """Whether the database behind `fetchInstances` is well: 200 with rows, or 5xx; all else tells nothing."""
    if isinstance(rows, Rows):
        return True
    return False if isinstance(answer, Reply) and answer.status >= 500 else None
