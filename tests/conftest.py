"""Fixtures for every kind of test."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The daemon runs on asyncio (redis-py needs it), so the tests do."""
    return "asyncio"
