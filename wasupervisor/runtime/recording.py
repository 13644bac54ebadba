"""Keeps what the decider saw and decided, for `replay`: best effort, beside the loop, never in the way of a turn."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio
import msgspec
from anyio import to_thread

from wasupervisor import __version__
from wasupervisor.decide.decision import Decision
from wasupervisor.decide.memory import Memory, dump
from wasupervisor.model.observation import Observation
from wasupervisor.model.policy import Policy

if TYPE_CHECKING:
    from wasupervisor.store.recording import Made
    from wasupervisor.store.segments import Writer

log = logging.getLogger(__name__)

WRITE_EVERY = 30.0
"""Seconds between two writes: what a kill -9 costs the recording at the most."""

WRITE_AT = 20
"""Steps that are worth a write before that."""

MOST_WAITING = 40
"""Steps that wait for a disk; when there are more they are dropped, and a new memory begins what comes after."""

CLOSE_WITHIN = 2.0
"""Seconds for the last of it at a stop."""

HANGS = "its disk does not answer"


class Taken(NamedTuple):
    """One step: all that went in, and what came out."""

    memory: Memory
    observation: Observation
    now: float
    dice: float
    policy: Policy
    decision: Decision


class Recording:
    """Records while `state.record` is set."""

    def __init__(self, state_directory: Path, keep: float | None, *, wall: Callable[[], float] = time.time) -> None:
        self.keep = keep
        """`state.record`, in seconds; None: off."""
        self.trouble = ""
        """Why the last steps are not in the recording."""
        self._directory = state_directory
        self._wall = wall
        self._waiting: list[tuple[float, Taken]] = []
        self._worth_it = anyio.Event()
        self._one = anyio.CapacityLimiter(1)
        self._at_work = threading.Lock()
        """Held by the thread that writes, also when nobody waits for it any more."""
        self._writer: Writer | None = None
        self._number = 0
        self._left: Memory | None = None
        """What the last recorded step left. Another memory before the next one was made outside of any step."""

    def take(self, taken: Taken) -> None:
        """Keep one step; costs nothing but a place in a list."""
        if self.keep is None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.clear()
        self._waiting.append((self._wall(), taken))
        if len(self._waiting) == WRITE_AT:
            self._worth_it.set()

    async def run(self) -> None:
        """Write what waits, every now and then."""
        while True:
            with anyio.move_on_after(WRITE_EVERY):
                await self._worth_it.wait()
            self._worth_it = anyio.Event()
            await self.write()

    async def close(self) -> None:
        """Write the last of it."""
        await self.write(CLOSE_WITHIN)

    async def write(self, within: float = WRITE_EVERY) -> None:
        """Write what waits, or say in `trouble` why it is not written."""
        if self.keep is None:
            self._waiting.clear()
            self._learn("")
            return
        trouble = HANGS
        if not self._at_work.locked():
            steps, self._waiting = self._waiting, []
            with anyio.move_on_after(within):
                trouble = await to_thread.run_sync(
                    self._write, steps, self.keep, abandon_on_cancel=True, limiter=self._one
                )
        self._learn(trouble)

    def _learn(self, trouble: str) -> None:
        if trouble and not self.trouble:
            log.warning("nothing is recorded for `replay` (state.record): %s", trouble)
        elif self.trouble and not trouble and self.keep is not None:
            log.info("recording for `replay` goes on")
        self.trouble = trouble

    def _write(self, steps: list[tuple[float, Taken]], keep: float) -> str:
        """In the thread. Gives the trouble."""
        with self._at_work:
            writer = self._writer or self._open()
            try:
                for wall, taken in steps:
                    self._add(writer, wall, taken)
                writer.flush()
                writer.prune(keep)
            except Exception as error:
                writer.forget()
                if not isinstance(error, OSError | ValueError | OverflowError):
                    raise
                return getattr(error, "strerror", None) or str(error)
            return ""

    def _open(self) -> Writer:
        # Costs memory, which who does not record need not pay.
        from wasupervisor.store.segments import Writer  # noqa: PLC0415

        run = f"{int(self._wall() * 1000):x}-{id(self):x}"
        self._writer = Writer(self._directory, run=run, version=__version__, wall=self._wall)
        return self._writer

    def _add(self, writer: Writer, wall: float, taken: Taken) -> None:
        from wasupervisor.store.recording import Step  # noqa: PLC0415

        decision = taken.decision
        anew = taken.memory is not self._left
        self._number += 1
        writer.add(
            Step(
                number=self._number,
                wall=wall,
                now=taken.now,
                dice=taken.dice,
                observation=taken.observation,
                policy=taken.policy,
                digest=digest(decision),
                made=made_by(decision),
                memory=dump(taken.memory) if anew or writer.wants_memory(wall) else None,
                anew=anew,
            )
        )
        self._left = decision.memory


def made_by(decision: Decision) -> Made:
    """What is kept of it beside its digest."""
    from wasupervisor.store.recording import Made  # noqa: PLC0415

    return Made(decision.remedies, decision.journal, decision.replies, decision.probes, decision.alerts)


def digest(decision: Decision) -> bytes:
    """Names a decision: two that differ in one byte of their JSON have different ones."""
    from hashlib import sha256  # noqa: PLC0415 - 0.8 MB, see report/names.py

    return sha256(msgspec.json.encode(decision)).digest()[:16]
