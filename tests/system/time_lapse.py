"""The daemon as it is, but its decider is told that more time has passed: so many seconds more as stand in a file.

    python time_lapse.py AHEAD run -c config.yaml

Half an hour of a leak, or of an open breaker, is over at once; whatever really waits or really lasts stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from wasupervisor.cli.run import run
from wasupervisor.config.schema import Settings
from wasupervisor.host.moments import boottime
from wasupervisor.runtime import daemon
from wasupervisor.runtime.state import OpenState, open_state

AHEAD = Path(sys.argv[1])


def later() -> float:
    return boottime() + float(AHEAD.read_text())


async def open_state_later(settings: Settings, _clock: Callable[[], float]) -> OpenState:
    return await open_state(settings, later)


vars(daemon)["open_state"] = open_state_later
run(sys.argv[2:])
