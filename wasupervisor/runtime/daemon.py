"""Wires the rooms together, and lives from start to SIGTERM."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from random import Random

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from wasupervisor import __version__
from wasupervisor.config.policy import policy_of
from wasupervisor.config.problems import ConfigError
from wasupervisor.config.schema import Settings
from wasupervisor.host.moments import boottime
from wasupervisor.model.journal import Entry, EntryKind, Recorded
from wasupervisor.report.http import Server
from wasupervisor.runtime.control import Control
from wasupervisor.runtime.cycle import Cycle
from wasupervisor.runtime.inbox import Inbox
from wasupervisor.runtime.performing import Performer
from wasupervisor.runtime.publishing import Publisher
from wasupervisor.runtime.pulse import Pulse
from wasupervisor.runtime.recorder import StoreRecorder
from wasupervisor.runtime.startup import listen_tcp, listen_unix
from wasupervisor.runtime.state import OpenState, open_state
from wasupervisor.runtime.systemd import Notifier
from wasupervisor.runtime.watch import Watch
from wasupervisor.runtime.wiring import only_at_start, open_watch
from wasupervisor.store.errors import StoreError

log = logging.getLogger(__name__)

FINISH_WITHIN = 25.0
"""Seconds for remedies that are under way at SIGTERM; with the flush that follows, the stop stays under 30 s."""

PRUNE_EVERY = 3600.0
"""Seconds between two looks at the journal's age and size."""

ORDER_MARGIN = 5.0
"""Seconds beyond a whole look after which an order that no step has taken is given up."""


class Daemon:
    """One supervisor beside one gateway."""

    def __init__(
        self,
        settings: Settings,
        *,
        read_again: Callable[[], Settings] | None = None,
        on_level: Callable[[str], None] | None = None,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = boottime,
        dice: Random | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            settings: the configuration, with its secrets.
            read_again: reads it anew for a reload and raises ConfigError; None: there is no file.
            on_level: told the log level of a new configuration.
            environ: where systemd's variables are.
            clock: the one monotonic clock.
            dice: for jitter.
        """
        self.settings = settings
        self._read_again = read_again
        self._on_level = on_level
        self._clock = clock
        self._dice = dice or Random()  # noqa: S311 - jitter
        self._notifier = Notifier(environ)
        self._pulse = Pulse(settings.gateway.poll_every, clock)
        self._inbox = Inbox(self._pulse.wake)
        self._stop_signal = 0
        self._stopping = anyio.Event()
        self._turn_scope: anyio.CancelScope | None = None
        self._between_turns = anyio.Lock()
        self._tasks: TaskGroup
        self._state: OpenState
        self._cycle: Cycle
        self._performer: Performer
        self._publisher: Publisher

    async def run(self, *, task_status: TaskStatus[tuple[str, int]] = anyio.TASK_STATUS_IGNORED) -> int:
        """Run until a signal, or `stop`, says otherwise. `task_status` is told the health port's address.

        Returns:
            The exit status.

        Raises:
            StartError, StoreError: when it cannot start; nothing is left behind then.
        """
        async with AsyncExitStack() as stack:
            settings = self.settings
            signals = stack.enter_context(anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
            self._state = await open_state(settings, self._clock)
            stack.push_async_callback(self._state.store.close)
            health = stack.enter_context(listen_tcp(*settings.health.listen, "health.listen"))
            control = stack.enter_context(listen_unix(settings.control.socket, "control.socket"))
            stack.callback(functools.partial(settings.control.socket.unlink, missing_ok=True))
            async with anyio.create_task_group() as tasks:
                self._wire(tasks)
                tasks.start_soon(self._heed_signals, signals, tasks.cancel_scope, name="signals")
                self._serve(tasks, health, control)
                self._notifier.ready()
                host, port = health.getsockname()[:2]
                log.info("wasupervisor %s watches %s %s", __version__, settings.gateway.kind, settings.gateway.url)
                log.info("health: http://%s:%d/health", host, port)
                task_status.started((host, port))
                tasks.start_soon(self._prune, name="prune")
                await self._turn_until_stopped()
                await self._finish()
                tasks.cancel_scope.cancel()
            await self._cycle.watch.aclose()
        return self._exit_status()

    def stop(self) -> None:
        """Ask it to stop, as SIGTERM does."""
        self._stopping.set()
        self._pulse.wake()

    async def wait_stopping(self) -> None:
        """Wait until it is asked to stop."""
        await self._stopping.wait()

    def document(self) -> dict[str, object]:
        """The health document as it is now, with plain names."""
        document: dict[str, object] = msgspec.to_builtins(self._publisher.document)
        return document

    async def reload(self) -> tuple[bool, str]:
        """Read the configuration again and swap it in, or keep the running one and say why."""
        if self._read_again is None:
            return False, "there is no configuration file to read again"
        self._notifier.reloading()
        try:
            settings = self._read_again()
        except ConfigError as error:
            text = f"the configuration is kept as it was, for the new one cannot be used: {error}"
            self._cycle.note(Entry(kind=EntryKind.SUPERVISOR, text=text, warn=True))
            return False, text
        finally:
            self._notifier.ready()
        kept = only_at_start(self.settings, settings)
        await self._swap(settings)
        text = "the configuration was read again"
        if kept:
            text += f"; {', '.join(kept)} changed too, which counts only from the next start on"
        self._cycle.note(Entry(kind=EntryKind.SUPERVISOR, text=text))
        self._pulse.wake()
        return True, text

    async def history(
        self, session: str | None, since: float | None, kinds: tuple[str, ...], limit: int
    ) -> list[Recorded]:
        """Entries of the journal, the newest last."""
        wanted = [kind for kind in EntryKind if kind in kinds] if kinds else None
        return await self._state.store.history(session=session, since=since, kinds=wanted, limit=limit)

    def _wire(self, tasks: TaskGroup) -> None:
        settings, state = self.settings, self._state
        self._tasks = tasks
        watch = open_watch(settings, self._clock)
        policy = policy_of(settings, watch.gateway.restart_spacing)
        self._performer = Performer(tasks, watch, policy, self._pulse.wake)
        self._publisher = Publisher(settings, state, self._notifier, self._clock)
        self._cycle = Cycle(
            state.memory,
            watch=watch,
            policy=policy,
            performer=self._performer,
            inbox=self._inbox,
            recorder=StoreRecorder(state.store, state.written, state.timeline.now),
            publish=self._publisher.publish,
            now=state.timeline.now,
            dice=self._dice,
            tasks=tasks,
        )
        self._cycle.note(*state.entries)

    def _serve(self, tasks: TaskGroup, health: socket.socket, control: socket.socket) -> None:
        probes, answers = self._publisher.probes, self._publisher.operator_probes
        within = self.settings.gateway.timeout + ORDER_MARGIN
        tasks.start_soon(Server(probes).serve, health, name="health port")
        verbs = Control(self, self._inbox, read_only=answers, answer_within=within)
        tasks.start_soon(Server(verbs).serve, control, name="control socket")

    async def _turn_until_stopped(self) -> None:
        while not self._stopping.is_set():
            async with self._between_turns:
                with anyio.CancelScope() as self._turn_scope:
                    await self._cycle.turn()
                    self._notifier.watchdog()
            if not self._stopping.is_set():
                await self._pulse.wait()

    async def _finish(self) -> None:
        """The order of a stop: not ready, no new action, those under way get their time, flush, say stopped."""
        begun = time.monotonic()
        self._notifier.stopping()
        await self._publisher.stopping()
        if self._performer.under_way:
            log.info("stopping: %d remedies under way get up to %g s", self._performer.under_way, FINISH_WITHIN)
            with anyio.move_on_after(FINISH_WITHIN):
                await self._performer.wait_idle()
        self._cycle.note(Entry(kind=EntryKind.SUPERVISOR, text="stopped"))
        await self._cycle.finish()
        await self._publisher.stopped()
        log.debug("the stop took %.2f s", time.monotonic() - begun)

    async def _swap(self, settings: Settings) -> None:
        """Between two turns, so that nobody looks through eyes that are being closed."""
        watch = open_watch(settings, self._clock)
        policy = policy_of(settings, watch.gateway.restart_spacing)
        async with self._between_turns:
            before, self._cycle.watch = self._cycle.watch, watch
            self._cycle.policy = self._performer.policy = policy
            self._performer.watch = watch
            self._pulse.every = settings.gateway.poll_every
            self._publisher.use(settings)
            self.settings = settings
        if self._on_level is not None:
            self._on_level(settings.log.level)
        self._tasks.start_soon(self._close_unused, before, name="close the old connections")

    async def _close_unused(self, watch: Watch) -> None:
        await self._performer.wait_idle()
        await watch.aclose()

    async def _prune(self) -> None:
        while True:
            more = False
            with contextlib.suppress(StoreError):
                more = await self._state.store.prune()
            await anyio.sleep(1.0 if more else PRUNE_EVERY)

    async def _heed_signals(self, signals: AsyncIterator[signal.Signals], everything: anyio.CancelScope) -> None:
        async for number in signals:
            if number == signal.SIGHUP:
                taken, text = await self.reload()
                log.log(logging.INFO if taken else logging.WARNING, "reload: %s", text)
            elif self._stopping.is_set():
                self._stop_signal = number
                log.warning("a second signal: stopping at once")
                everything.cancel()
            else:
                log.info("%s: stopping", signal.Signals(number).name)
                self.stop()
                if self._turn_scope is not None:
                    self._turn_scope.cancel()

    def _exit_status(self) -> int:
        return 128 + self._stop_signal if self._stop_signal else 0
