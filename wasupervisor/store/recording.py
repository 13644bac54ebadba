"""Steps of the decider as bytes and back: everything that went in, and what came out, in a few bytes each.

A step is written as what is different from the step before it. So a reader begins where a memory is.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wasupervisor.model.alerts import Alert
from wasupervisor.model.journal import Entry
from wasupervisor.model.observation import Observation
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Remedy, Reply
from wasupervisor.model.value import Value
from wasupervisor.store.deltas import SAME, changed_by, delta

WALL_SLACK = 0.5
"""Seconds by which the wall clock may run apart from the timeline before it is written again."""


class Made(Value, frozen=True):
    """What a decision had done and said: all of it but the memory and the conclusion."""

    remedies: tuple[Remedy, ...] = ()
    journal: tuple[Entry, ...] = ()
    replies: tuple[Reply, ...] = ()
    probes: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = ()


class Step(Value, frozen=True):
    """One step of the decider."""

    number: int
    """Counts the steps of one run of the daemon."""
    wall: float
    """Seconds since the epoch, right to `WALL_SLACK`; only for people."""
    now: float
    """Seconds on the supervisor's timeline."""
    dice: float
    observation: Observation
    policy: Policy
    digest: bytes
    """Of the whole decision."""
    made: Made = Made()
    memory: bytes | None = None
    """The decider's memory before the step; None: it is what the step before left."""
    anew: bool = False
    """The memory is not what the step before left: a start of the daemon, or steps that were not recorded."""


class _Row(msgspec.Struct, array_like=True, omit_defaults=True):
    """A step as it is written."""

    number: int
    now: float
    dice: float
    digest: bytes
    observation: Any = 0
    """A delta; 0: the same."""
    rest: dict[str, Any] = {}
    """What is rarely there: wall, policy (a delta), made, memory, anew."""


class Encoder:
    """Turns the steps of one segment into bytes."""

    def __init__(self) -> None:
        self._observation: Any = {}
        self._policy: tuple[Policy, Any] | None = None
        self._wall_ahead: float | None = None
        self._pack = msgspec.msgpack.Encoder()

    def encode(self, step: Step) -> bytes:
        """One step.

        Raises:
            ValueError, OverflowError: it holds what cannot be written; a new encoder is needed then.
        """
        observation = msgspec.to_builtins(step.observation)
        change = delta(self._observation, observation)
        row = _Row(step.number, step.now, step.dice, step.digest, 0 if change is SAME else change, self._rest(step))
        self._observation = observation
        return self._pack.encode(row)

    def _rest(self, step: Step) -> dict[str, Any]:
        rest: dict[str, Any] = {}
        ahead = step.wall - step.now
        if self._wall_ahead is None or abs(ahead - self._wall_ahead) > WALL_SLACK:
            rest["wall"], self._wall_ahead = step.wall, ahead
        if self._policy is None or step.policy is not self._policy[0]:
            policy = msgspec.to_builtins(step.policy)
            change = delta({} if self._policy is None else self._policy[1], policy)
            self._policy = step.policy, policy
            if change is not SAME:
                rest["policy"] = change
        if made := msgspec.to_builtins(step.made):
            rest["made"] = made
        if step.memory is not None:
            rest["memory"] = step.memory
        if step.anew:
            rest["anew"] = True
        return rest


class Decoder:
    """Turns what one Encoder wrote into the steps again, in the same order."""

    def __init__(self) -> None:
        self._observation: Any = {}
        self._observation_value: Observation | None = None
        self._policy: Any = {}
        self._policy_value = Policy()
        self._wall_ahead = 0.0
        self._unpack = msgspec.msgpack.Decoder(_Row)

    def decode(self, text: bytes) -> Step:
        """One step.

        Raises:
            ValueError: it was written for other values than those that this release knows.
        """
        try:
            return self._step(self._unpack.decode(text))
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from error

    def _step(self, row: _Row) -> Step:
        rest = row.rest
        if row.observation != 0 or self._observation_value is None:
            self._observation = changed_by(self._observation, row.observation)
            self._observation_value = msgspec.convert(self._observation, Observation)
        if "policy" in rest:
            self._policy = changed_by(self._policy, rest["policy"])
            self._policy_value = msgspec.convert(self._policy, Policy)
        if "wall" in rest:
            self._wall_ahead = rest["wall"] - row.now
        return Step(
            number=row.number,
            wall=row.now + self._wall_ahead,
            now=row.now,
            dice=row.dice,
            observation=self._observation_value,
            policy=self._policy_value,
            digest=row.digest,
            made=msgspec.convert(rest.get("made", {}), Made),
            memory=rest.get("memory"),
            anew=rest.get("anew", False),
        )
