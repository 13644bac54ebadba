"""The work sheet of one step: mutable while the step runs, never seen outside it."""

from __future__ import annotations

from zlib import crc32

from msgspec.structs import replace

from wasupervisor.decide.asked import Asked
from wasupervisor.decide.ladder import rung_for
from wasupervisor.decide.memory import Attempt, BreakerState, Memory, SessionMemory
from wasupervisor.decide.reasons import TABLE
from wasupervisor.decide.scene import HOUR, Scene
from wasupervisor.model.alerts import Alert
from wasupervisor.model.journal import Entry, EntryKind
from wasupervisor.model.observation import Observation
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import Remedy, RemedyKind, Reply
from wasupervisor.model.sessions import Reason


class Draft:
    """What becomes the decision."""

    def __init__(self, memory: Memory, observation: Observation, now: float, dice: float, policy: Policy) -> None:
        self.observation = observation
        self.now = now
        self.dice = dice
        self.policy = policy
        self.sessions = dict(memory.sessions)
        self.gateway = memory.gateway
        self.paused = memory.paused
        self.incident = memory.incident
        self.readiness = memory.readiness
        self.next_id = memory.next_id
        self.listed: frozenset[str] = frozenset()
        self.entries: list[Entry] = []
        self.remedies: list[Remedy] = []
        self.replies: list[Reply] = []
        self.probes: list[str] = []
        self.alerts: list[Alert] = []
        self.episodes = dict(memory.episodes)
        self.gap = False
        """Nothing was seen of the sessions for a while before this look."""
        self.in_flight = 0
        """Remedies whose call is under way."""
        self.canary: str | None = None
        """The session whose restart while nothing worked is under way or being verified."""
        self.next: dict[str, str] = {}
        self.wants_process_restart: list[str] = []
        """Sessions that nothing but a restart of the gateway process heals."""

    def roll(self, name: str) -> float:
        """A throw of the dice, 0 to 1, of its own for each session and the same in a replay."""
        return (self.dice + crc32(name.encode()) / 2**32) % 1.0

    def say(self, kind: EntryKind, text: str, session: str | None = None, *, warn: bool = False) -> None:
        """Write an entry for the journal."""
        cause = self.sessions[session].cause if session in self.sessions else None
        entry = Entry(kind=kind, text=text, session=session, warn=warn)
        self.entries.append(entry if cause is None else replace(entry, reason=cause))

    def count_in_flight(self) -> None:
        """Count the remedies whose call is under way, and find the canary."""
        attempts = {name: one.attempt for name, one in self.sessions.items() if one.attempt is not None}
        self.in_flight = sum(1 for attempt in attempts.values() if attempt.outcome is None)
        self.canary = min((name for name, attempt in attempts.items() if attempt.lone), default=None)

    def ask(self, name: str, kind: RemedyKind, scene: Scene, *, ordered: bool = False, forced: bool = False) -> Asked:
        """Put the question whether a remedy may be performed now."""
        return Asked(
            name=name,
            session=self.sessions[name],
            remedy=kind,
            gateway=self.gateway,
            scene=scene,
            in_flight=self.in_flight,
            canary=self.canary,
            state_writable=self.observation.state_writable,
            paused=self.paused,
            incident=self.incident,
            keeper=self.observation.process.keeper,
            listed=name in self.listed,
            disk_low=self.observation.disk_low,
            all_diagnosed=self._all_diagnosed(),
            mistyped=name in self.observation.not_whole,
            ordered=ordered,
            forced=forced,
        )

    def new_id(self) -> str:
        """The id of an action."""
        identity = f"a{self.next_id}"
        self.next_id += 1
        return identity

    def _all_diagnosed(self) -> bool:
        """Whether every unexplained failure of the incident had its restart. What else is stuck in it tells nothing.

        One whose breaker is held gets none, and must not keep the others waiting.
        """
        together = [self.sessions[name] for name in (() if self.incident is None else self.incident.sessions)]
        waited_for = [one for one in together if one.breaker.state is not BreakerState.HELD]
        return bool(together) and all(one.diagnosed for one in waited_for if one.cause is Reason.UNEXPLAINED)

    def book(self, asked: Asked) -> str:
        """Put a remedy on the books and among those to be performed. Returns its id."""
        name, session, kind, now = asked.name, asked.session, asked.remedy, self.now
        identity = self.new_id()
        why = self._why(asked)
        self.remedies.append(
            Remedy(
                id=identity,
                kind=kind,
                session=name,
                why=why,
                lone=asked.is_lone,
                ordered=asked.ordered,
                forced=asked.forced,
                cause=session.cause,
            )
        )
        breaker = session.breaker
        if breaker.state is BreakerState.OPEN and kind is not RemedyKind.PARK_SESSION:  # a stop proves nothing
            breaker = replace(breaker, state=BreakerState.HALF_OPEN)
        self.sessions[name] = replace(
            session,
            attempt=Attempt(
                id=identity,
                kind=kind,
                at=now,
                cause=session.cause,
                ordered=asked.ordered,
                lone=asked.is_lone,
                run=asked.scene.run,
            ),
            parked=session.parked or kind is RemedyKind.PARK_SESSION,
            made=_made(session, kind, now),
            breaker=breaker,
            withheld="",
            told_at={},
        )
        self.gateway = replace(
            self.gateway, made=(*(at for at in self.gateway.made if now - at < HOUR), now), last_remedy=now
        )
        if self.incident is not None and not self.incident.proven and name in self.incident.sessions:
            self.incident = replace(self.incident, canary=name)
        self.entries.append(Entry(kind=EntryKind.REMEDY, text=why, session=name, reason=session.cause, remedy=kind))
        self.in_flight += 1
        if asked.is_lone:
            self.canary = name
        self.next[name] = f"{kind} is under way"
        return identity

    def _why(self, asked: Asked) -> str:
        session = asked.session
        if asked.ordered:
            return f"{asked.remedy}: an operator ordered it"
        if asked.remedy is RemedyKind.PARK_SESSION:
            kept = "it is stopped with its credentials kept, so that it does not log in for ever"
            return f"{asked.remedy}: {TABLE[session.cause].sentence}; {kept}"
        rung = rung_for(self.policy.gateway_kind, session.cause)
        text = f"{asked.remedy} (attempt {session.failures + 1}): {TABLE[session.cause].sentence}; {rung.why}"
        if session.breaker.state is BreakerState.OPEN:
            text += "; the breaker is half-open, this one decides"
        return f"{text}; it is the one canary, for no other session works" if asked.is_lone else text


def _made(session: SessionMemory, kind: RemedyKind, now: float) -> tuple[float, ...]:
    """What counts for its budget: a stop is no login, and must not keep a person from starting it again."""
    recent = tuple(at for at in session.made if now - at < HOUR)
    return recent if kind is RemedyKind.PARK_SESSION else (*recent, now)


def forget_old(session: SessionMemory, now: float) -> SessionMemory:
    """Let times that count in no window any more go, so that the memory does not grow."""
    if session.made and now - session.made[0] >= HOUR:
        return replace(session, made=tuple(at for at in session.made if now - at < HOUR))
    return session
