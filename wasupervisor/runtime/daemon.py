"""Lives from start to SIGTERM: opens the doors, turns the cycle, and ends in order."""

from __future__ import annotations

import functools
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, closing, suppress
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from wasupervisor import __version__
from wasupervisor.config.schema import Settings
from wasupervisor.host.moments import boottime
from wasupervisor.model.journal import Entry, EntryKind, Recorded
from wasupervisor.runtime.activation import Passed, address_of
from wasupervisor.runtime.doors import Doors, open_doors, serve_doors, tell_where
from wasupervisor.runtime.health_port import HealthPort
from wasupervisor.runtime.parts import Parts
from wasupervisor.runtime.qr import fetch_qr, qr_entry
from wasupervisor.runtime.reload import Reloaded, Reloader
from wasupervisor.runtime.startup import StartError
from wasupervisor.runtime.state import OpenState, open_state
from wasupervisor.runtime.systemd import Notifier
from wasupervisor.runtime.tending import Mishaps, attempt, tend
from wasupervisor.runtime.watch import Watch
from wasupervisor.runtime.wiring import open_watch
from wasupervisor.store.errors import StoreError

if TYPE_CHECKING:
    from wasupervisor.gateways.operator import QrAnswer
    from wasupervisor.runtime.queues import Ordered
    from wasupervisor.runtime.redis_orders import RedisOrders

log = logging.getLogger(__name__)

FINISH_WITHIN = 20.0
"""Seconds from SIGTERM on for remedies that are under way; with a disk that hangs, all else takes 9 s more."""

PRUNE_EVERY = 60.0
"""Seconds between two looks at the journal's age and size."""


class Opened(NamedTuple):
    """What was taken at the start and is given back at the end."""

    watch: Watch
    state: OpenState
    doors: Doors


class Daemon:
    """One supervisor beside one gateway."""

    def __init__(
        self,
        settings: Settings,
        *,
        read_again: Callable[[], Settings] | None = None,
        on_level: Callable[[str], None] | None = None,
        environ: Mapping[str, str] = os.environ,
        passed: Sequence[Passed] = (),
        clock: Callable[[], float] = boottime,
        dice: Random | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            settings: the configuration, with its secrets.
            read_again: reads it anew for a reload and raises ConfigError; None: there is no file.
            on_level: told the log level of a new configuration.
            environ: where systemd's variables are.
            passed: what systemd has opened for us; taken over.
            clock: the one monotonic clock.
            dice: for jitter.
        """
        self._begun_with = settings
        self._read_again = read_again
        self._on_level = on_level
        self._clock = clock
        self._dice = dice or Random()  # noqa: S311 - jitter
        self._notifier = Notifier(environ)
        self._passed = passed
        self._stopping = anyio.Event()
        self._stop_asked = 0.0
        self._forced_by = 0
        self._break_off: Callable[[], None] = lambda: None
        """Lets go what a stop need not wait for: the start, the look of a turn, or the time between two."""
        self._ask_reload: Callable[[], None] = lambda: None
        self._parts: Parts
        self._reloader: Reloader
        self._port: HealthPort

    async def run(self, *, task_status: TaskStatus[tuple[str, int]] = anyio.TASK_STATUS_IGNORED) -> int:
        """Run until a signal, or `stop`, says otherwise. `task_status` is told the health port's address.

        Returns:
            The exit status.

        Raises:
            StartError, StoreError: when it cannot start; nothing is held any more then.
        """
        refusal: StartError | StoreError | None = None
        heeded = anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        with closing(self._notifier), heeded as signals:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._heed_signals, signals, tasks.cancel_scope, name="signals")
                try:
                    async with AsyncExitStack() as stack:
                        opened = await self._open(stack)
                        if opened is not None:
                            await self._live(opened, task_status)
                except (StartError, StoreError) as error:
                    refusal = error
                tasks.cancel_scope.cancel()
        if refusal is not None:
            raise refusal
        return 128 + self._forced_by if self._forced_by else 0

    def stop(self) -> None:
        """Ask it to stop, as SIGTERM does."""
        if not self._stopping.is_set():
            self._stop_asked = self._clock()
            self._stopping.set()
            self._break_off()

    async def wait_stopping(self) -> None:
        """Wait until it is asked to stop."""
        await self._stopping.wait()

    def document(self) -> dict[str, object]:
        """The health document as it is now, with plain names."""
        document: dict[str, object] = msgspec.to_builtins(self._parts.publisher.document)
        return document

    async def reload(self) -> Reloaded:
        """Read the configuration again and swap it in, or keep the running one and say why."""
        return await self._reloader.reload()

    async def show_qr(self, session: str, by: str) -> QrAnswer:
        """Fetch the QR code of a session for somebody, and say in the journal to whom it was shown."""
        answer = await fetch_qr(self._reloader.settings.gateway, session, self._clock)
        self._parts.cycle.note(qr_entry(session, by, answer))
        return answer

    async def retry_failed(self, queue: str | None, limit: int | None, by: str) -> Ordered:
        """Put failed jobs of the queues back for somebody; the journal says for whom, and what came of it."""
        # Loaded for the first who asks: most daemons never are.
        from wasupervisor.runtime.queues import order_retry  # noqa: PLC0415

        return await order_retry(self._reloader.settings, queue, limit, by, self._parts.cycle.note)

    def redis_orders(self, by: str) -> RedisOrders:
        """The keys of the gateway's Redis, for somebody; what is done is journaled."""
        from wasupervisor.runtime.redis_orders import RedisOrders  # noqa: PLC0415 - as above

        return RedisOrders(self._parts.cycle.watch.keys, self._parts.cycle.note, by)

    async def history(
        self,
        session: str | None,
        since: float | None,
        kinds: tuple[EntryKind, ...],
        limit: int,
        until: float | None = None,
        shared: bool = False,
    ) -> list[Recorded]:
        """Entries of the journal, the newest last."""
        store = self._parts.state.store
        return await store.history(
            session=session, shared=shared, since=since, until=until, kinds=kinds or None, limit=limit
        )

    async def _open(self, stack: AsyncExitStack) -> Opened | None:
        """Take what may be refused, and leave its return to the stack. None: a stop came meanwhile."""
        settings = self._begun_with
        with anyio.CancelScope() as opening:
            self._break_off = opening.cancel
            if self._stopping.is_set():
                return None
            try:
                watch = open_watch(settings, self._clock)
            except ValueError as error:
                raise StartError(str(error)) from error
            state = await open_state(settings, self._clock)
            stack.push_async_callback(state.store.close)
            doors = open_doors(settings, self._passed, stack.enter_context(ExitStack()))
            return Opened(watch, state, doors)
        return None

    async def _live(self, opened: Opened, task_status: TaskStatus[tuple[str, int]]) -> None:
        """From the first turn to the last word."""
        async with anyio.create_task_group() as tasks:
            parts = self._wire(opened, tasks)
            try:
                self._serve(opened.doors, tasks)
                self._notifier.ready()
                parts.cycle.note(*opened.doors.health.entries)
                self._say_hello(opened.doors)
                task_status.started(address_of(opened.doors.health.sockets[0]))
                await self._turn_until_stopped(parts)
                await self._finish(parts)
            finally:
                await parts.cycle.watch.aclose()
            tasks.cancel_scope.cancel()

    def _wire(self, opened: Opened, tasks: TaskGroup) -> Parts:
        settings = self._begun_with
        parts = self._parts = Parts.wire(
            settings,
            opened.state,
            opened.watch,
            clock=self._clock,
            notifier=self._notifier,
            dice=self._dice,
            tasks=tasks,
        )
        self._reloader = Reloader(settings, parts, tasks, read=self._read_again, on_level=self._on_level)

        def break_off() -> None:
            parts.cycle.stop()
            parts.pulse.wake()

        self._break_off, self._ask_reload = break_off, self._reloader.ask
        return parts

    def _serve(self, doors: Doors, tasks: TaskGroup) -> None:
        parts, reloader = self._parts, self._reloader
        self._port, answering = serve_doors(
            doors, self, parts.inbox, parts.publisher, settings=lambda: reloader.settings, clock=self._clock
        )
        side_work: dict[str, Callable[[], Awaitable[None]]] = {
            **answering,
            "reloading": reloader.run,
            "pruning the journal": self._prune,
            "recording for replay": parts.recording.run,
            "telling people": parts.telling.run,
            "the dead man's switch": parts.dead_man.run,
        }
        for name, work in side_work.items():
            tasks.start_soon(functools.partial(tend, name, work), name=name)

    def _say_hello(self, doors: Doors) -> None:
        gateway = self._begun_with.gateway
        log.info("wasupervisor %s watches %s %s", __version__, gateway.kind, gateway.url)
        tell_where(doors, self._begun_with)

    async def _turn_until_stopped(self, parts: Parts) -> None:
        mishaps = Mishaps("a turn")
        while not self._stopping.is_set():
            try:
                await parts.cycle.turn()
            except Exception as error:
                # No sign of life: when it lasts, systemd replaces us, and the probes say that nobody looks.
                if mishaps.failed(error):
                    text = f"a turn failed ({type(error).__name__}): a fault of wasupervisor's own, see its log"
                    parts.cycle.note(Entry(kind=EntryKind.SUPERVISOR, text=text, warn=True))
            else:
                mishaps.went_well()
                self._notifier.watchdog()
                parts.dead_man.beat()
                self._port.looked()
            if not self._stopping.is_set():
                await parts.pulse.wait()

    async def _finish(self, parts: Parts) -> None:
        """The order of a stop: not ready, no new action, those under way get their time, flush, say stopped.

        Where systemd holds the health port's socket, probes wait for the next daemon from now on; but those that come
        while remedies get their time are answered that it stops, for that may take longer than a probe waits.
        """
        performer = parts.performer
        self._notifier.stopping()
        parts.inbox.close("the daemon is stopping")
        if not performer.under_way:
            await self._port.leave()
        await attempt("saying that it stops", parts.publisher.stopping())
        if performer.under_way:
            left = max(0.0, self._stop_asked + FINISH_WITHIN - self._clock())
            log.info("stopping: %d under way, for which there are %.0f s", performer.under_way, left)
            with anyio.move_on_after(left):
                await performer.wait_idle()
            await performer.cut_off()
            await self._port.leave()
        parts.cycle.note(Entry(kind=EntryKind.SUPERVISOR, text="stopped"))
        await attempt("writing down the last of it", parts.cycle.finish())
        await attempt("keeping the last of the recording", parts.recording.close())
        await attempt("saying that it has stopped", parts.publisher.stopped())
        log.debug("the stop took %.2f s", self._clock() - self._stop_asked)

    async def _prune(self) -> None:
        while True:
            more = False
            with suppress(StoreError):
                more = await self._parts.state.store.prune()
            await anyio.sleep(0 if more else PRUNE_EVERY)

    async def _heed_signals(self, signals: AsyncIterator[signal.Signals], everything: anyio.CancelScope) -> None:
        """Nothing is waited for in here: each signal is heeded at once, whatever hangs."""
        async for number in signals:
            if number == signal.SIGHUP:
                self._ask_reload()
            elif self._stopping.is_set():
                self._forced_by = number
                log.warning("%s, the second signal: stopping at once", signal.Signals(number).name)
                everything.cancel()
            else:
                log.info("%s: stopping", signal.Signals(number).name)
                self.stop()
