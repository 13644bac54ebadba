"""Fixtures for every kind of test. The fixtures of one kind stand in a module beside its tests."""

from __future__ import annotations

import pytest

# Not as a conftest.py in each folder: mypy would find several modules of that name.
pytest_plugins = ["config_fixtures", "stage_fixtures"]


@pytest.fixture
def anyio_backend() -> str:
    """The daemon runs on asyncio (redis-py needs it), so the tests do."""
    return "asyncio"
