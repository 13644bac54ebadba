"""Hands the conclusion of each cycle to those who read it: the probes, the operator's socket, the file, systemd."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from wasupervisor import __version__
from wasupervisor.config.schema import Settings
from wasupervisor.decide.decision import Decision
from wasupervisor.model.health import Health
from wasupervisor.model.observation import ProcessReading
from wasupervisor.model.usage import Usage
from wasupervisor.report.board import Board, Snapshot
from wasupervisor.report.counts import Counts
from wasupervisor.report.document import BEFORE_FIRST_LOOK, Document, Documents, Facts, GatewayPart
from wasupervisor.report.names import HashedNames
from wasupervisor.report.probes import Probes
from wasupervisor.runtime.counting import Tally
from wasupervisor.runtime.filing import FileWriter
from wasupervisor.runtime.recording import Recording
from wasupervisor.runtime.redis_part import notes_of_keys, queue_part, redis_part
from wasupervisor.runtime.state import OpenState
from wasupervisor.runtime.systemd import Notifier
from wasupervisor.runtime.watch import Readings

if TYPE_CHECKING:
    from wasupervisor.report.agent import Agent


class Publisher:
    """Two boards: one for the read-only port and the file, and one with plain names for the operator's socket."""

    def __init__(
        self,
        settings: Settings,
        state: OpenState,
        notifier: Notifier,
        clock: Callable[[], float],
        recording: Recording,
        tally: Tally,
    ) -> None:
        self._state = state
        self._notifier = notifier
        self._clock = clock
        self._recording = recording
        self._tally = tally
        self._started = clock()
        self._file = FileWriter(settings.health.file)
        self._looks_held: int | None = None
        """Looks after which readiness is not held back any more; None: for as long as somebody wants it."""
        self.use(settings)
        self._plain = Documents()
        hashed = state.names_key is not None
        self._documents = self._plain if state.names_key is None else Documents(HashedNames(state.names_key))
        self._board = self._new_board(self._documents)
        self._plain_board = self._new_board(self._plain) if hashed else self._board
        self.probes = Probes(self._board)
        self.operator_probes = Probes(self._plain_board)

    def use(self, settings: Settings) -> None:
        """Report as these settings want it; where the file is and whether names are hashed is decided at the start."""
        self._settings = settings

    def agent(self) -> Agent:
        """What HAProxy's agent-check is answered by."""
        from wasupervisor.report.agent import Agent  # noqa: PLC0415 - most have no HAProxy

        return Agent(self._board)

    @property
    def document(self) -> Document:
        """The health document as it is now, with plain names."""
        return self._plain_board.shown()

    async def publish(self, decision: Decision, readings: Readings) -> None:
        """Show what this cycle found."""
        self._let_go(readings)
        health = decision.health
        facts = self._facts(readings)
        counts = self._tally.counts(None if readings.keys is None else readings.keys.set_aside)
        self._board.publish(self._snapshot(self._documents, health, facts, counts))
        if self._plain_board is not self._board:
            self._plain_board.publish(self._snapshot(self._plain, health, facts, counts))
        self._notifier.status(_status_line(health))
        await self._file.write(self._board.body())

    def hold(self, why: str | None) -> None:
        """Not ready for this reason, whatever the cycles find. The file follows with the next turn.

        None: as the cycles find it, from the first look on in which the gateway answers; at the latest after as many
        looks as they need to find it not ready themselves.
        """
        if why is None:
            self._looks_held = self._settings.health.fall
        else:
            self._looks_held = None
            self._set_held(why)

    def _let_go(self, readings: Readings) -> None:
        if self._looks_held is not None:
            self._looks_held -= 1
            if readings.look.reachable or self._looks_held <= 0:
                self._looks_held = None
                self._set_held(None)

    def _set_held(self, why: str | None) -> None:
        for board in (self._board, self._plain_board):
            board.hold(why)

    async def stopping(self) -> None:
        """Not ready from now on, in every place that says so."""
        for board in (self._board, self._plain_board):
            board.set_stopping()
        await self._file.write(self._board.body())

    async def stopped(self) -> None:
        """The last word."""
        for board in (self._board, self._plain_board):
            board.set_stopped()
        await self._file.write(self._board.body())

    def _new_board(self, documents: Documents) -> Board:
        first = self._snapshot(documents, BEFORE_FIRST_LOOK, self._facts(None), self._tally.counts())
        return Board(first, clock=self._clock)

    def _snapshot(self, documents: Documents, health: Health, facts: Facts, counts: Counts) -> Snapshot:
        gateway = self._settings.gateway
        return Snapshot.of(
            documents.build(health, facts),
            taken=self._clock(),
            expires_after=facts.expires_after,
            poll_every=gateway.poll_every,
            counts=counts,
        )

    def _facts(self, readings: Readings | None) -> Facts:
        gateway = self._settings.gateway
        process = ProcessReading() if readings is None else readings.process
        look = None if readings is None else readings.look
        notes = list(self._state.store.notes)
        if self._state.store.trouble is not None:
            notes.append(f"The state: {self._state.store.trouble}")
        if process.detail:
            notes.append(f"The gateway's process: {process.detail}")
        if readings is not None:
            notes.extend(readings.usage.notes)
        if self._file.trouble:
            notes.append(f"The health file cannot be written: {self._file.trouble}")
        if self._recording.trouble:
            notes.append(f"The recording for `replay` is not written: {self._recording.trouble}")
        if readings is not None:
            notes.extend(notes_of_keys(readings))
        return Facts(
            version=__version__,
            uptime=self._clock() - self._started,
            now=self._state.timeline.now(),
            written_at=time.time(),
            expires_after=3 * (gateway.poll_every + gateway.timeout),
            gateway=GatewayPart(
                kind=gateway.kind,
                reachable=None if look is None else look.reachable,
                latency_seconds=None if look is None else look.latency_seconds,
                version=None if look is None else look.version,
                pid=process.pid,
            ),
            process=process,
            usage=Usage() if readings is None else readings.usage,
            redis=None if readings is None else redis_part(readings),
            queue=None if readings is None else queue_part(readings.backlog),
            notes=tuple(notes),
        )


def _status_line(health: Health) -> str:
    """What `systemctl status` shows."""
    counts = health.connections
    return (
        f"{health.status}: {health.why}; {counts.active} of {counts.total} active, {counts.failed} failed, "
        f"{counts.recovering} recovering, {counts.needs_human} need a person"
    )
