"""Opens what outlives the process: the lock, the memory, the journal, the timeline."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    names_key: bytes
    """What makes hashed session names unguessable; the same for as long as the state lives."""
    entries: tuple[Entry, ...] = ()
    """For the journal."""
    notes: tuple[str, ...] = ()
    """For the health document."""


async def open_state(settings: Settings, clock: Callable[[], float]) -> OpenState:
    """Take the state directory, and read what an earlier run left there.

    Raises:
        StoreError: another daemon has it, it cannot be used, or a later release wrote it.
    """
    limits = settings.state.journal
    store = await Store.open(
        settings.state.directory, keep=limits.keep, max_bytes=limits.max, boot_id=boot_id(), boottime=clock
    )
    entries = [Entry(kind=EntryKind.SUPERVISOR, text="started")]
    notes: list[str] = []
    opened = store.opened
    if opened.moved_aside is not None:
        told = f"the state was damaged ({opened.why}); it was moved to {opened.moved_aside.name} and begun anew"
        entries.append(Entry(kind=EntryKind.SUPERVISOR, text=told, warn=True))
        notes.append(f"At the start {told}: what was remembered of sessions, breakers and budgets may be lost.")
    memory, written = Memory(), None
    if opened.memory is not None:
        try:
            memory = written = load(opened.memory)
        except ValueError as error:
            told = f"the memory in the state could not be read and is begun anew: {error}"
            entries.append(Entry(kind=EntryKind.SUPERVISOR, text=told, warn=True))
            notes.append(f"At the start {told}")
    key = names_key(settings.state.directory)
    return OpenState(store, store.timeline, memory, written, key, tuple(entries), tuple(notes))


def names_key(directory: Path) -> bytes:
    """Read the key from the state directory, or make one; where it cannot be kept it holds for this run."""
    path = directory / NAMES_KEY
    with contextlib.suppress(OSError):
        key = path.read_bytes()
        if len(key) == KEY_BYTES:
            return key
    key = secrets.token_bytes(KEY_BYTES)
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
    return key
