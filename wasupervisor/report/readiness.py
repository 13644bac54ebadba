"""What must hold before traffic should go to the gateway, or to one session of it: one answer for every balancer."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from wasupervisor.model.health import Status
from wasupervisor.model.policy import ReadyWhen
from wasupervisor.report.board import Board

# Of what a caller sent, in an answer to him.
MOST_ECHOED = 64


class Question(enum.StrEnum):
    """What a check asks."""

    FRESH = "fresh"
    SUPERVISOR = "supervisor"
    RESTART = "restart"
    READY_WHEN = "ready_when"
    GATEWAY = "gateway"
    SESSION = "session"
    POLICY = "policy"


class Check(msgspec.Struct, frozen=True):
    """One thing that must hold to be ready."""

    question: Question
    holds: bool
    told: str
    detail: str = ""
    """Which one, where there may be several."""

    @property
    def name(self) -> str:
        """As `?verbose` lists it."""
        return f"{self.question} {self.detail}".rstrip()


def readiness(board: Board, sessions: Iterable[str] = (), policies: Iterable[ReadyWhen] = ()) -> list[Check]:
    """All that must hold, in the order in which it is told.

    Args:
        board: where the last look hangs.
        sessions: names of sessions that must be usable; with these, or a policy, `ready_when` is not asked.
        policies: how many of the expected sessions must be.
    """
    snapshot, sessions, policies = board.snapshot, tuple(sessions), tuple(policies)
    shown = board.shown()
    checks = [Check(Question.FRESH, board.started and not board.is_stale(), board.age())]
    if board.ending:
        checks.append(Check(Question.SUPERVISOR, False, shown.why))
    if board.held is not None:
        checks.append(Check(Question.RESTART, False, board.held))
    if not sessions and not policies:
        checks.append(Check(Question.READY_WHEN, snapshot.document.ready, snapshot.document.ready_why))
        return checks
    # The status waits longer than one failed look, so that a probe does not flap with it.
    silent = shown.status is Status.UNHEALTHY and shown.gateway.reachable is False
    told = "the gateway does not answer" if silent else "the gateway answers"
    checks.append(Check(Question.GATEWAY, not silent, told))
    checks.extend(_session_check(board, name) for name in sessions)
    checks.extend(
        Check(
            Question.POLICY,
            policy.holds(snapshot.usable, snapshot.expected),
            f"{snapshot.usable} of {snapshot.expected} expected sessions usable, {policy} needed",
            str(policy),
        )
        for policy in policies
    )
    return checks


def _session_check(board: Board, name: str) -> Check:
    session = board.snapshot.sessions.get(name)
    shown = repr(name[:MOST_ECHOED])
    if session is None:
        return Check(Question.SESSION, False, f"no session {shown} is known")
    told = f"session {shown} is {session.condition}"
    return Check(Question.SESSION, session.usable, told if session.usable else f"{told} ({session.reason})")
