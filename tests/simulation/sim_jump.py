"""Quiet time is jumped over: the polls of which the decider itself says that they change nothing.

Nothing happens in the world until its next event, the adapter would ask and conclude the same until its next deadline,
and so each look until then is the look that was just taken. What the decider makes of it depends on the time alone, so
it is asked for the last poll before that, and when that changes something, for the polls in between, by halves.
`test_simulation_jumps.py` holds it: with and without jumps, journals and memories are the same to the byte.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from wasupervisor.decide.decision import Decision
from wasupervisor.decide.step import step
from wasupervisor.gateways.evolution import EvolutionGateway
from wasupervisor.gateways.evolution_database import ROWS_EVERY
from wasupervisor.gateways.waha import ASK_RUN_AFTER_STOP, ASK_RUN_EVERY, WahaGateway
from wasupervisor.model.observation import Observation

if TYPE_CHECKING:
    from sim_daemon import Daemon

Gateway = WahaGateway | EvolutionGateway
JUST = 1e-6
"""Around a deadline, in seconds, no poll is jumped over: it may strike at it, or only after it."""


WHEN = ("_asked_at", "_read_at")
"""When an adapter asked last; in `next_deadline`."""


def mind(gateway: Gateway) -> dict[str, Any]:
    """Everything that an adapter remembers from look to look, but for when it asked last."""
    remembered: dict[str, Any] = {}
    for name, value in vars(gateway).items():
        if name not in ("_http", "_clock"):
            own = type(value).__module__.startswith("wasupervisor.gateways") and hasattr(value, "__dict__")
            remembered[name] = {**vars(value), **dict.fromkeys(WHEN)} if own else value
    return remembered


def next_deadline(gateway: Gateway) -> tuple[float, ...]:
    """When, by CLOCK_BOOTTIME, the adapter would ask or conclude something else of the same world."""
    if isinstance(gateway, WahaGateway):
        identity = gateway._identity
        asked, stopped = identity._asked_at, identity._stop_seen_at
        if stopped is not None and gateway._clock() - stopped < ASK_RUN_AFTER_STOP + JUST:
            return (gateway._clock(),)  # it asks each time
        return () if asked is None else (asked + ASK_RUN_EVERY,)
    database = gateway._database
    return (
        gateway._metrics._retry_at,
        database._asked_at + database._pause,
        database._asked_at + ROWS_EVERY,
        database._read_at + ROWS_EVERY,
    )


def jumped(daemon: Daemon, observation: Observation, due: float) -> tuple[float, int]:
    """The time of the next poll that may change something, and how many there are before it."""
    until = _nothing_before(daemon)
    polls = [due]
    while polls[-1] < until:
        polls.append(polls[-1] + daemon.policy.poll_every)
    same = replace(observation, results=(), orders=(), probes=(), first=False)
    count = _fruitless(daemon, same, polls[:-1])
    return polls[count], count


def _fruitless(daemon: Daemon, observation: Observation, polls: list[float]) -> int:
    """How many of the polls, from the first one on, change nothing."""
    if not polls or not _changes(daemon, observation, polls[-1]):
        return len(polls)
    low, high = 0, len(polls) - 1
    while low < high:
        middle = (low + high) // 2
        if _changes(daemon, observation, polls[middle]):
            high = middle
        else:
            low = middle + 1
    return low


def _changes(daemon: Daemon, observation: Observation, at: float) -> bool:
    now = daemon.line_at(at)
    decision = step(daemon.memory, observation, now, 0.5, daemon.policy)
    return decision.ask_uplink is not daemon.asks_uplink or is_news(decision, daemon)


def is_news(decision: Decision, daemon: Daemon) -> bool:
    """Whether anything came of a step."""
    told = decision.journal or decision.remedies or decision.replies or decision.probes or decision.alerts
    return bool(told) or decision.memory != daemon.memory


def _nothing_before(daemon: Daemon) -> float:
    """Until when, by the world's time, each look is the same as the last one."""
    site, now = daemon.site, daemon.site.now
    following = site.world.next_at
    deadlines = [
        *(at + site.booted_at for at in next_deadline(daemon.gateway)),
        *daemon.deadlines(),
    ]
    return (
        min([inf if following is None else following, *(at for at in deadlines if at > now - JUST), now + 3600.0])
        - JUST
    )
