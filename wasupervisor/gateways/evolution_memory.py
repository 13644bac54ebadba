"""What Evolution has in memory: by one call where `/metrics` is switched on, else by a call for each instance."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from urllib.parse import quote

from wasupervisor.gateways.answers import told
from wasupervisor.gateways.evolution_answers import Page, is_no_route, read_connection_state, read_metrics
from wasupervisor.gateways.evolution_truths import ABSENT, OPEN
from wasupervisor.gateways.http import Clock, Failure, Reply, Turn
from wasupervisor.model.value import Value

METRICS = "/metrics"
METRICS_LIMIT = 4 * 1024 * 1024
"""Bytes. 1,000 instances are 230 kB."""

TRY_AGAIN, TRY_AGAIN_SOON = 600.0, 60.0
"""Seconds until `/metrics` is asked again: after a settled no, and after an answer that may pass."""

MISSING = (
    "Evolution's /metrics is switched off: set PROMETHEUS_METRICS=true in Evolution (2.3.4 or later), so that one call "
    "shows all instances instead of one call for each"
)
WANTS_USER = (
    "Evolution's /metrics does not accept gateway.metrics_auth: set it to METRICS_USER and METRICS_PASSWORD of "
    "Evolution, as user:password"
)
WANTS_ADDRESS = "Evolution's /metrics refuses this host: add its address to METRICS_ALLOWED_IPS of Evolution"


class Metrics:
    """`/metrics`: 1-3 ms always, whatever is down. Needs no API key, but may need a user and a password."""

    def __init__(self, clock: Clock, auth: str | None) -> None:
        self._clock = clock
        self._headers = None if auth is None else {"Authorization": _basic(auth)}
        self._retry_at = -math.inf
        self._last: tuple[bytes, Page] | None = None
        self.note: str | None = None
        """What the operator could set to make it answer."""

    async def ask(self, turn: Turn) -> Page | Failure | None:
        """The page; None when there is none; a failure when nobody answered."""
        if self._clock() < self._retry_at:
            return None
        answer = await turn.ask("GET", METRICS, limit=METRICS_LIMIT, headers=self._headers)
        if isinstance(answer, Failure) and not answer.answered:
            return answer
        page = self._read(answer)
        if page is None:
            self._put_off(answer)
        return page

    def forget(self) -> None:
        """The gateway fell silent: what comes back may be another version with other settings."""
        self._retry_at = -math.inf

    def distrust(self) -> None:
        """It does not answer although the gateway does."""
        self._last, self._retry_at = None, self._clock() + TRY_AGAIN_SOON

    def _read(self, answer: Reply | Failure) -> Page | None:
        if isinstance(answer, Failure) or not answer.ok:
            return None
        if self._last is None or self._last[0] != answer.body:
            # As long as nothing changes the page is the same to the byte: read once.
            page = read_metrics(answer.body)
            self._last = None if page is None else (answer.body, page)
        self.note = None
        return None if self._last is None else self._last[1]

    def _put_off(self, answer: Reply | Failure) -> None:
        status = answer.status if isinstance(answer, Reply) else None
        notes = {404: MISSING, 401: WANTS_USER, 403: WANTS_ADDRESS}
        why = "cannot be read" if status is None or 200 <= status < 300 else told(status)
        self._last = None
        self.note = notes.get(status or 0, f"Evolution's /metrics {why}: each instance is asked by itself")
        self._retry_at = self._clock() + (TRY_AGAIN if status in notes else TRY_AGAIN_SOON)


def _basic(auth: str) -> str:
    return f"Basic {base64.b64encode(auth.encode('utf-8', 'surrogateescape')).decode('ascii')}"


AT_ONCE = 8
"""Calls under way."""

ROUND = 25.0
"""Seconds in which each instance that is well is asked once, so that none is older than 30 s."""

STALE_AFTER = 30.0
"""Seconds after which an answer says nothing any more."""

ONE_CALL = 3.0
"""Seconds for one call. It takes 2-10 ms, or hangs: with Redis down for ever (mode A, 2.3.6)."""


class Told(Value, frozen=True):
    """What memory said of one instance."""

    word: str | None
    """None: nothing that could be read."""
    at: float


class Rotation:
    """`connectionState` of each instance: those that are not well each time, the others in turn."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, Told] = {}
        self._asked_at = -math.inf
        self.failure: Failure | None = None
        """Why the last round was broken off."""

    def words(self) -> dict[str, str]:
        """What is known lately enough to count."""
        oldest = self._clock() - STALE_AFTER
        return {name: told.word for name, told in self._told.items() if told.word is not None and told.at >= oldest}

    def forget(self) -> None:
        """The gateway fell silent: what it said is of another run."""
        self._told.clear()

    async def ask(self, turn: Turn, names: Iterable[str], *, store_ok: bool | None) -> dict[str, Told]:
        """Ask those whose turn it is, and give what is known of all names.

        One goes first, alone: when Redis is down every call hangs and waits inside Evolution, so no more are made.
        """
        now = self._clock()
        names = tuple(names)
        self._told = {name: self._told[name] for name in names if name in self._told}
        scout, *others = self._due(names, now) or [""]
        self._asked_at, self.failure = now, None
        if scout:
            await self._ask_one(turn, scout, store_ok)
        queue = iter(others)

        async def work() -> None:
            for name in queue:
                if self.failure is not None or turn.over:
                    return
                await self._ask_one(turn, name, store_ok)

        if others:
            await turn.at_once(work, min(AT_ONCE, len(others)))
        oldest = now - STALE_AFTER
        unknown = Told(None, now)
        return {name: known if (known := self._told.get(name, unknown)).at >= oldest else unknown for name in names}

    def _due(self, names: tuple[str, ...], now: float) -> list[str]:
        """Whose turn it is, the longest unasked first."""
        asked = {name: told.at for name, told in self._told.items()}
        known = self.words()
        well = sorted((name for name in names if known.get(name) == OPEN), key=asked.__getitem__)
        share = min((now - self._asked_at) / ROUND, 1.0)
        resting = set(well[math.ceil(len(well) * share) :])
        return sorted((name for name in names if name not in resting), key=lambda name: asked.get(name, -math.inf))

    async def _ask_one(self, turn: Turn, name: str, store_ok: bool | None) -> None:
        answer = await ask_state(turn, name)
        if isinstance(answer, Failure):
            self._told[name] = Told(None, self._clock())
            if not answer.answered:
                self.failure = answer
            return
        # Without the database a 404 may as well mean that the instance cannot be looked up.
        word = None if answer == ABSENT and store_ok is not True else answer
        self._told[name] = Told(word, self._clock())


async def ask_state(turn: Turn, name: str) -> str | Failure | None:
    """What memory says of one instance; None when the answer cannot be read."""
    path = f"/instance/connectionState/{quote(name, safe='')}"
    answer = await turn.ask("GET", path, at_most=ONE_CALL)
    if isinstance(answer, Failure):
        return answer
    if answer.ok:
        return read_connection_state(answer.body)
    if answer.status == 404 and not is_no_route(answer):
        return ABSENT
    return None
