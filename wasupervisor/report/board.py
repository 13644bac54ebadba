"""Where the last finished cycle hangs for everybody to read, in constant time and whatever else hangs."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from wasupervisor.model.health import Status
from wasupervisor.report.counts import Counts
from wasupervisor.report.document import NOT_YET, Document, SessionPart


class Snapshot(msgspec.Struct, frozen=True):
    """What one cycle found, ready to be handed out. Moments in seconds on the board's clock."""

    document: Document
    body: bytes
    """The document, encoded once for the port and the file."""
    taken: float
    expires: float
    retry_after: int
    """Seconds until the next cycle has probably finished."""
    sessions: dict[str, SessionPart]
    usable: int
    """Of the expected ones."""
    expected: int
    counts: Counts = Counts()

    @classmethod
    def of(
        cls,
        document: Document,
        *,
        taken: float,
        expires_after: float,
        poll_every: float,
        counts: Counts = Counts(),  # noqa: B008 - frozen
    ) -> Snapshot:
        """Count and encode what the probes will ask for. All times in seconds."""
        expected = [one for one in document.sessions if one.expected]
        return cls(
            document=document,
            body=document.encode(),
            taken=taken,
            expires=taken + expires_after,
            retry_after=max(1, math.ceil(poll_every)),
            sessions={one.name: one for one in document.sessions},
            usable=sum(one.usable for one in expected),
            expected=len(expected),
            counts=counts,
        )


class Board:
    """The last snapshot, and what the time since then makes of it."""

    def __init__(self, first: Snapshot, *, clock: Callable[[], float]) -> None:
        """`first` is shown until a cycle has finished: `BEFORE_FIRST_LOOK`, taken when the daemon started."""
        self._snapshot = first
        self._clock = clock
        self._started = False
        self._ending: tuple[Status, str] | None = None
        self._held: str | None = None
        self._shown = first.document
        self._made: dict[Callable[[Document], bytes], tuple[Document, bytes]] = {}

    def publish(self, snapshot: Snapshot) -> None:
        """A cycle has finished, and this is what it found."""
        self._snapshot = snapshot
        self._started = True

    def set_stopping(self) -> None:
        """Not ready from now on."""
        self._ending = (Status.STOPPING, "the supervisor is stopping")

    def set_stopped(self) -> None:
        """Nobody looks any more."""
        self._ending = (Status.STOPPED, "the supervisor has stopped")

    def hold(self, why: str | None) -> None:
        """Not ready for this reason, whatever a cycle finds; None: as the cycles find it, again."""
        self._held = why

    @property
    def held(self) -> str | None:
        """Why it is not ready, whatever a cycle finds."""
        return self._held

    @property
    def snapshot(self) -> Snapshot:
        """Of the last finished cycle."""
        return self._snapshot

    @property
    def started(self) -> bool:
        """Whether any cycle has finished."""
        return self._started

    @property
    def ending(self) -> bool:
        """Whether the supervisor stops or has stopped."""
        return self._ending is not None

    @property
    def age_seconds(self) -> float:
        """How long ago the last cycle finished; before the first one, the start."""
        return self._clock() - self._snapshot.taken

    def age(self) -> str:
        """The same as a sentence."""
        seconds = self.age_seconds
        return f"the last look is {seconds:.0f} s old" if self._started else f"{NOT_YET}, after {seconds:.0f} s"

    def is_stale(self) -> bool:
        """Whether no cycle finished in time."""
        return self._clock() > self._snapshot.expires

    def shown(self) -> Document:
        """The document as it holds now.

        It is the published one, but when the supervisor ends, its last look is too old, or readiness is held back.
        """
        published = self._snapshot.document
        override = self._ending or ((Status.UNHEALTHY, self.age()) if self.is_stale() else None)
        if override is None and self._held is None:
            return published
        status, why = override or (published.status, published.why)
        ready_why = why if self._held is None or override is not None else self._held
        made, shown = (status, why, ready_why, published.written_at), self._shown
        if (shown.status, shown.why, shown.ready_why, shown.written_at) != made:
            shown = msgspec.structs.replace(published, status=status, why=why, ready=False, ready_why=ready_why)
            self._shown = shown
        return shown

    def body(self) -> bytes:
        """The shown document, encoded: what the port answers, and what belongs into the file."""
        shown = self.shown()
        return self._snapshot.body if shown is self._snapshot.document else self.encoded(Document.encode)

    def encoded(self, form: Callable[[Document], bytes]) -> bytes:
        """The shown document in this form; made once, however often it is asked for."""
        shown = self.shown()
        made = self._made.get(form)
        if made is None or made[0] is not shown:
            made = self._made[form] = (shown, form(shown))
        return made[1]
