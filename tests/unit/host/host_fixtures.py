"""Real processes and a clock that is set, for the tests of host/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from host_theatre import SteppedClock, Theatre, staged


@pytest.fixture
def theatre() -> Iterator[Theatre]:
    """Processes that end with the test."""
    with staged() as stage:
        yield stage


@pytest.fixture
def clock() -> SteppedClock:
    """Stands still until the test moves it."""
    return SteppedClock()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """For everybody: what lies above `tmp_path` is the owner's only."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
