"""The health document as a file: a reader sees the one before or this one, whole, and never anything between."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


class HealthFile:
    """Replaces one file at a time. It blocks: the runtime calls it in a thread."""

    def __init__(self, path: Path, *, mode: int = 0o644) -> None:
        """Touch nothing yet.

        Args:
            path: where readers look for it. A symbolic link stays, and what it points to is replaced.
            mode: the file's permissions, whatever the umask says.
        """
        self._path = path
        self._mode = mode
        self._swept = False

    def write(self, data: bytes) -> None:
        """Put `data` in the place of what was there.

        Raises:
            OSError: it could not be written; what was there is still there.
        """
        target = Path(os.path.realpath(self._path))
        target.parent.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._sweep(target)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=_SUFFIX)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, self._mode)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.replace(name, target)  # noqa: PTH105 - the name is a str
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108
            raise

    def _sweep(self, target: Path) -> None:
        """Remove what a run that was killed has left half-written."""
        self._swept = True
        # A folder that may be written and not be listed keeps them: no reason to have no file.
        with contextlib.suppress(OSError):
            for left in target.parent.iterdir():
                if left.name.startswith(_prefix(target)) and left.name.endswith(_SUFFIX):
                    left.unlink()


_SUFFIX = ".new"


def _prefix(target: Path) -> str:
    return f".{target.name}."
