"""Reads the configuration anew while the daemon runs: all of it is taken, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from msgspec.structs import replace

from wasupervisor.config.policy import policy_of
from wasupervisor.config.problems import ConfigError
from wasupervisor.config.schema import Settings
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.runtime.parts import Parts
from wasupervisor.runtime.watch import Watch
from wasupervisor.runtime.wiring import open_watch

READ_WITHIN = 10.0
"""Seconds for which the file and the files of its secrets are waited for."""

SPACING = 0.2
"""Seconds between two reloads by signal, so that a storm of them is one."""

EYES = ("gateway", "process", "uplink", "redis", "queue")
"""The sections whose change needs new connections."""

AT_START = (
    "health.listen",
    "health.file",
    "health.names",
    "health.haproxy_agent",
    "control.socket",
    "state.directory",
    "log.format",
)
"""What counts only from the next start on."""


class Reloaded(NamedTuple):
    """What became of a reload."""

    taken: bool
    text: str
    problems: tuple[str, ...] = ()
    """What is wrong with the new configuration, a line each."""

    def entry(self) -> Entry:
        """For the journal, in one line."""
        text = f"{self.text}: {'; '.join(self.problems)}" if self.problems else self.text
        return Entry(kind=EntryKind.SUPERVISOR, text=text, warn=not self.taken)


class NotTakenError(Exception):
    """The new configuration is not taken; `reloaded` says why."""

    def __init__(self, why: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(why)
        self.reloaded = Reloaded(False, f"the configuration is kept as it was: {why}", problems)


class Reloader:
    """Holds the settings in force, and swaps them."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        tasks: TaskGroup,
        *,
        read: Callable[[], Settings] | None,
        on_level: Callable[[str], None] | None,
    ) -> None:
        """`read` gives the file's settings and raises ConfigError; None: there is no file."""
        self.settings = settings
        self._parts = parts
        self._tasks = tasks
        self._read = read
        self._on_level = on_level
        self._asked = anyio.Event()
        self._one = anyio.Lock()

    def ask(self) -> None:
        """Have it done soon."""
        self._asked.set()

    async def run(self) -> None:
        """Do it whenever it was asked for."""
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            await self.reload()
            await anyio.sleep(SPACING)

    async def reload(self) -> Reloaded:
        """Read the configuration again and swap it in, or keep the running one and say why."""
        parts = self._parts
        async with self._one:
            parts.notifier.reloading()
            try:
                settings, kept = merge(self.settings, await read_again(self._read))
                await self._swap(settings)
                reloaded = told(kept)
            except NotTakenError as error:
                reloaded = error.reloaded
            finally:
                parts.notifier.ready()
        parts.cycle.note(reloaded.entry())
        parts.pulse.wake()
        return reloaded

    async def _swap(self, settings: Settings) -> None:
        parts, before = self._parts, self._parts.cycle.watch
        watch = before
        if any(getattr(settings, one) != getattr(self.settings, one) for one in EYES):
            try:
                watch = open_watch(settings, parts.clock)
            except ValueError as error:
                raise NotTakenError(f"gateway.url: {error}") from error
        await parts.cycle.use(watch, policy_of(settings, watch.gateway.restart_spacing))
        parts.use(settings)
        if self._on_level is not None:
            self._on_level(settings.log.level)
        self.settings = settings
        if before is not watch:
            parts.look_after_keys(watch, self._tasks)
            self._tasks.start_soon(self._close_unused, before, name="close the old connections")

    async def _close_unused(self, watch: Watch) -> None:
        try:
            await self._parts.performer.wait_idle()
        finally:
            await watch.aclose()


async def read_again(read: Callable[[], Settings] | None) -> Settings:
    """The configuration as it is in the file now; a disk that hangs does not hold up the loop.

    Raises:
        NotTakenError: it cannot be used.
    """
    if read is None:
        raise NotTakenError("there is no file to read again, it came from the command line")
    try:
        with anyio.fail_after(READ_WITHIN):
            return await to_thread.run_sync(read, abandon_on_cancel=True)
    except ConfigError as error:
        raise NotTakenError("the new one cannot be used", tuple(map(str, error.problems))) from error
    except TimeoutError as error:
        raise NotTakenError(f"the file has not answered for {READ_WITHIN:g} s") from error


def merge(running: Settings, new: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The new settings with what cannot change while we run, and the keys that had to stay."""
    kept: list[str] = []
    if new.gateway.kind != running.gateway.kind:  # its address and its key belong to it
        kept.append("gateway")
        new = replace(new, gateway=running.gateway)
    for path in AT_START:
        section, key = path.split(".")
        before, after = getattr(running, section), getattr(new, section)
        if getattr(before, key) != getattr(after, key):
            kept.append(path)
            new = replace(new, **{section: replace(after, **{key: getattr(before, key)})})
    return new, tuple(kept)


def told(kept: tuple[str, ...]) -> Reloaded:
    """A configuration was taken, but for these keys."""
    text = "the configuration was read again"
    if kept:
        text += f"; but {', '.join(kept)} changed too, and that counts only from the next start on"
    return Reloaded(True, text)
