"""What a step knows of everything around one session."""

from __future__ import annotations

from fnmatch import fnmatchcase

from wasupervisor.decide.memory import SessionMemory
from wasupervisor.model.observation import UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.sessions import State
from wasupervisor.model.value import Value

OPERATOR_STOP_AFTER = 15.0
"""Seconds: WAHA shows STOPPED for 3 s in every restart and shutdown (gateways/waha.md, section 2)."""

HOUR, DAY = 3600.0, 86400.0

FORGET_MISSING_AFTER = DAY
"""Seconds until a session that is not listed any more is taken as deleted on purpose."""


class Scene(Value, frozen=True):
    """The surroundings, the same for all sessions of one step."""

    now: float
    policy: Policy
    run: int
    """The present run of the gateway process."""
    run_known: bool
    """Whether this look tells which run it is. Without it nobody can say whose a stop is."""
    gap: bool
    """Nothing was seen of the sessions for a while: what lasted before may have been something else since."""
    uplink: UplinkState
    store_ok: bool | None
    working: frozenset[str]
    """The sessions that work in this look."""
    run_since: float | None = None
    """When the present run was first seen, where we saw it begin."""
    uplink_refused: bool = False
    """WhatsApp, or something before it, answers upgrades with something else than a websocket just now."""
    redis_ok: bool | None = None
    together: frozenset[str] = frozenset()
    """The sessions of an incident of which no canary was healed yet: what they tell is not theirs alone."""
    cpu_percent: float | None = None
    """Of the gateway's process tree."""
    engine_gone: bool = False
    """The process of the gateway's engine was there in this run and is not any more, and no session works."""

    @property
    def uplink_up(self) -> bool:
        """Whether a gateway would get through; taken as up when nobody watches it."""
        return self.uplink is UplinkState.UP or not self.policy.uplink_watched

    @property
    def store_well(self) -> bool:
        """Whether the gateway's store is known well. WAHA shows none, so there it counts unless it is known bad."""
        if self.redis_ok is False:
            return False
        return self.store_ok is True or (self.store_ok is None and self.policy.gateway_kind == "waha")

    @property
    def calm(self) -> bool:
        """Whether patience runs: what a session needs in order to heal by itself is there."""
        return self.uplink_up and self.store_well


def included(name: str, policy: Policy) -> bool:
    """Whether the configuration lets us look after this session."""
    if policy.include == ("*",) and not policy.exclude:  # as by default: two fifths of a step for many sessions
        return True
    return any(fnmatchcase(name, pattern) for pattern in policy.include) and not any(
        fnmatchcase(name, pattern) for pattern in policy.exclude
    )


def named(name: str, policy: Policy) -> bool:
    """Whether the configuration itself says that this session should be up."""
    return policy.expect_all or (policy.expect is not None and name in policy.expect)


def expected(name: str, memory: SessionMemory, policy: Policy) -> bool:
    """Whether the session should be up.

    With `expect: remembered` that is one that was seen healthy, or that the gateway itself runs with a linked account.
    """
    if memory.operator_stopped:
        return False
    if policy.expect_all or policy.expect is not None:
        return named(name, policy)
    runs = memory.state in (State.WORKING, State.STARTING, State.FAILED)
    return memory.remembered or (runs and memory.paired is True)
