"""Fixtures for every kind of test. The fixtures of one kind stand in a module beside its tests."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# In CI the examples are the same each time: what is found by chance is found where somebody can look at it.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI") == "true":
    settings.load_profile("ci")

# Started in the background of a shell, the tests are deaf to Ctrl-C, and so would be every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Not as a conftest.py in each folder: mypy would find several modules of that name.
pytest_plugins = [
    "balancer_fixtures",
    "config_fixtures",
    "host_fixtures",
    "redis_fixtures",
    "queue_fixtures",
    "stage_fixtures",
    "systemd_fixtures",
]


# What the tests of several modules assert in common.
pytest.register_assert_rewrite("leak_story")


@pytest.fixture
def anyio_backend() -> str:
    """The daemon runs on asyncio (redis-py needs it), so the tests do."""
    return "asyncio"
