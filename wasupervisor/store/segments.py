"""A recording on the disk: files of an hour each, every one readable by itself, the oldest going first.

A file is a line that names the format, and then chunks: length and checksum (CRC-32), and a piece of one zlib stream
that ends on a whole step. The first text in the stream is the file's head, the others are steps, each with its length.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from wasupervisor.model.value import Value
from wasupervisor.store.recording import Decoder, Encoder, Step

FOLDER = "recording"
"""Within the state directory."""

FORMAT = 1
MOST_BYTES = 200_000_000
"""What all files together may take, also when they are younger than they need to be."""
KEEP_FREE = 256 << 20
"""Bytes that are left free on the disk: it is the state's too, and that is worth more."""
SEGMENT_SECONDS = 3600.0
SEGMENT_BYTES = 16 << 20

_MAGIC = b"wasupervisor recording "
_CHUNK = struct.Struct("<II")
_LONGEST = 256 << 20
"""More than any chunk has: whatever waits for a disk fits into it."""
_LENGTH = struct.Struct("<I")
_NAME = re.compile(r"[0-9]{8}\.steps")


class Head(Value, frozen=True):
    """What stands at the head of a file."""

    run: str
    """Names the run of the recorder: within it the numbers of the steps have no gap."""
    wall: float
    """When its first step was taken, in seconds since the epoch."""
    version: str = ""
    """The release that decided."""


class TooFull(OSError):  # noqa: N818 - reads as what it says
    """There is hardly room on the disk, and the recording is not to take the rest."""


class Writer:
    """Writes steps; for one thread at a time. After an error it goes on with a new file, which a memory must begin."""

    def __init__(
        self,
        state_directory: Path,
        *,
        run: str,
        version: str = "",
        most_bytes: int = MOST_BYTES,
        keep_free: int = KEEP_FREE,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.folder = state_directory / FOLDER
        self._run = run
        self._version = version
        self._most_bytes = most_bytes
        self._keep_free = keep_free
        self._wall = wall
        self._path: Path | None = None
        self._began = 0.0
        self._size = 0
        self._pending: list[bytes] = []
        self._encoder = Encoder()
        self._stream = zlib.compressobj()

    def wants_memory(self, wall: float) -> bool:
        """Whether the next step begins a file, and so needs the memory before it."""
        return self._path is None or self._size >= SEGMENT_BYTES or not 0 <= wall - self._began < SEGMENT_SECONDS

    def add(self, step: Step) -> None:
        """Take a step; it is on its way to the disk with the next `flush`.

        Raises:
            OSError: what came before could not be written.
            ValueError, OverflowError: it holds what cannot be written.
        """
        if self.wants_memory(step.wall):
            self.flush()
            self._begin(step.wall)
        self._pending.append(self._encoder.encode(step))

    def flush(self) -> None:
        """Write all that was taken.

        Raises:
            OSError: it cannot be written.
        """
        if self._path is None or not self._pending:
            return
        if _free(self.folder) < self._keep_free:
            raise TooFull(f"less than {self._keep_free >> 20} MiB are free on its disk")
        texts = b"".join(_LENGTH.pack(len(text)) + text for text in self._pending)
        piece = self._stream.compress(texts) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        start = b"" if self._size else _MAGIC + b"%d\n" % FORMAT
        chunk = start + _CHUNK.pack(len(piece), zlib.crc32(piece)) + piece
        _append(self._path, chunk, self._size)
        self._size += len(chunk)
        self._pending.clear()

    def forget(self) -> None:
        """Give up what was not written, after an error: the next step begins a new file."""
        self._path = None
        self._pending.clear()

    def prune(self, keep: float) -> None:
        """Remove files whose last step is older than `keep` seconds, and the oldest while all are too large.

        Raises:
            OSError: the folder cannot be read, or a file not removed.
        """
        found = [(path, path.stat()) for path in files_in(self.folder)]
        total = sum(about.st_size for _path, about in found)
        for path, about in found:
            if path == self._path or (about.st_mtime >= self._wall() - keep and total <= self._most_bytes):
                continue
            path.unlink()
            total -= about.st_size

    def _begin(self, wall: float) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        last = max((int(path.stem) for path in files_in(self.folder)), default=0)
        self._path = self.folder / f"{last + 1:08}.steps"
        self._began, self._size = wall, 0
        self._encoder, self._stream = Encoder(), zlib.compressobj()
        self._pending = [msgspec.msgpack.encode(Head(self._run, wall, self._version))]


def _append(path: Path, chunk: bytes, size: int) -> None:
    """Write behind the `size` bytes that are there; what is written in part is taken back."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if size else os.O_EXCL), 0o600)
    with os.fdopen(descriptor, "ab", buffering=0) as file:
        try:
            rest = memoryview(chunk)
            while rest:
                rest = rest[file.write(rest) or 0 :]
        except OSError:
            with contextlib.suppress(OSError):
                if size:
                    file.truncate(size)
                else:
                    path.unlink()
            raise


def _free(folder: Path) -> int:
    about = os.statvfs(folder)
    return about.f_bavail * about.f_frsize


def files_in(folder: Path) -> list[Path]:
    """The files of a recording, the oldest first.

    Raises:
        OSError: the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    except FileNotFoundError:
        return []


class Reader:
    """Reads a recording, while it may be written; of what cannot be read it says so in `skipped`."""

    def __init__(self, state_directory: Path) -> None:
        self.folder = state_directory / FOLDER
        self.skipped: list[str] = []
        """A sentence for each file of which something was left out."""
        self.versions: list[str] = []
        """The releases that decided what was read, in order."""
        self._last: tuple[str, int] | None = None

    def steps(self, since: float) -> Iterator[Step]:
        """The steps from the memory on that stands last before `since` (seconds since the epoch), the oldest first.

        `anew` is set too where something that cannot be read lies between a step and the one before.

        Raises:
            OSError: the folder cannot be read.
        """
        for path in self._from(files_in(self.folder), since):
            try:
                yield from self._of_file(path)
            except FileNotFoundError:
                continue  # it was too old just now
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else error
                self.skipped.append(f"{path} is left out from here on: {why}")

    def _from(self, paths: list[Path], since: float) -> list[Path]:
        for index in range(len(paths) - 1, 0, -1):
            with contextlib.suppress(OSError, ValueError), paths[index].open("rb") as file:
                if _head(next(_texts(file), b"")).wall <= since:
                    return paths[index:]
        return paths

    def _of_file(self, path: Path) -> Iterator[Step]:
        with path.open("rb") as file:
            texts = _texts(file)
            first = next(texts, None)
            if first is None:
                return
            head, decoder = _head(first), Decoder()
            if head.version not in self.versions:
                self.versions.append(head.version)
            for text in texts:
                step = decoder.decode(text)
                if step.memory is not None and self._last != (head.run, step.number - 1):
                    step = msgspec.structs.replace(step, anew=True)
                self._last = head.run, step.number
                yield step


def _head(text: bytes) -> Head:
    try:
        return msgspec.msgpack.decode(text, type=Head)
    except msgspec.MsgspecError as error:
        raise ValueError(f"its head cannot be read: {error}") from error


def _texts(file: BinaryIO) -> Iterator[bytes]:
    """The head and the steps; the end that is not wholly written is left out.

    Raises:
        ValueError: it is no recording, or is damaged.
    """
    line = file.readline(64)
    if not _MAGIC.startswith(line[: len(_MAGIC)]):
        raise ValueError("it is no recording")
    if not line.endswith(b"\n"):
        return
    if line != _MAGIC + b"%d\n" % FORMAT:
        raise ValueError("a later release of wasupervisor wrote it")
    stream = zlib.decompressobj()
    while len(start := file.read(_CHUNK.size)) == _CHUNK.size:
        length, checksum = _CHUNK.unpack(start)
        if length > _LONGEST:
            raise ValueError("it is damaged")
        piece = file.read(length)
        if len(piece) < length:
            return
        if zlib.crc32(piece) != checksum:
            raise ValueError("it is damaged")
        yield from _split(stream.decompress(piece))


def _split(texts: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(texts):
        (length,) = _LENGTH.unpack_from(texts, at)
        at += _LENGTH.size
        yield texts[at : at + length]
        at += length
