"""Opens what outlives the process: the lock, the memory, the journal, the timeline."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anyio import to_thread

from wasupervisor import __version__
from wasupervisor.config.schema import Settings
from wasupervisor.decide.memory import Memory, load
from wasupervisor.host.moments import boot_id
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.store.store import Store
from wasupervisor.store.timeline import Timeline

NAMES_KEY = "names.key"
KEY_BYTES = 32


@dataclass(frozen=True)
class OpenState:
    """The state of one run."""

    store: Store
    timeline: Timeline
    memory: Memory
    written: Memory | None
    """What is in the state already; None when it is to be written at once."""
    names_key: bytes | None
    """What makes hashed session names unguessable; the same for as long as the state lives. None: they are plain."""
    entries: tuple[Entry, ...] = ()
    """For the journal."""


async def open_state(settings: Settings, clock: Callable[[], float]) -> OpenState:
    """Take the state directory, and read what an earlier run left there.

    Raises:
        StoreError: another daemon has it, it cannot be used, or a later release wrote it.
    """
    limits = settings.state.journal
    store = await Store.open(
        settings.state.directory,
        keep=limits.keep,
        max_bytes=limits.max,
        wall_clock=time.time,
        boottime=clock,
        boot_id=boot_id(),
        decodes=load,
    )
    opened = store.opened
    memory = Memory() if opened.memory is None else load(opened.memory)
    key = None
    if settings.health.names == "hashed":
        try:
            key = await to_thread.run_sync(names_key, settings.state.directory, abandon_on_cancel=True)
        except BaseException:
            await store.close()
            raise
    started = Entry(kind=EntryKind.SUPERVISOR, text=f"started, version {__version__}")
    return OpenState(
        store=store,
        timeline=store.timeline,
        memory=memory,
        written=None if opened.memory is None else memory,
        names_key=key,
        entries=(started,),
    )


def names_key(directory: Path) -> bytes:
    """Read the key from the state directory, or make one; where it cannot be kept it holds for this run."""
    path = directory / NAMES_KEY
    with contextlib.suppress(OSError):
        key = path.read_bytes()
        if len(key) == KEY_BYTES:
            return key
    key = os.urandom(KEY_BYTES)
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
    return key
