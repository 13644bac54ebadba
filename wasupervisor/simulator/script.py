"""A script of faults as data: when, what a person is told, and what happens. And the story that the demo tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import anyio

from wasupervisor.simulator import faults
from wasupervisor.simulator.faults import AnyFault
from wasupervisor.simulator.kinds import Kind

LENGTH = 60.0
"""Seconds for which the stories are written."""
SESSIONS = ("sales", "support", "orders", "billing", "alerts")


@dataclass(frozen=True)
class Step:
    """One event of a script."""

    at: float
    """Seconds from the start."""
    says: str
    """For a person, in plain words: what happens, and what is right to do."""
    fault: AnyFault | None = None
    """None: only said."""


@dataclass(frozen=True)
class Script:
    """Steps in the order of their time."""

    steps: tuple[Step, ...]
    sessions: tuple[str, ...]
    seconds: float
    """How long it takes."""
    speed: float = 1.0
    """How many times as fast as the real one the gateway should be, so that it heals within the time."""

    def scaled(self, seconds: float) -> Script:
        """The same story in another length; in a shorter one the gateway is faster too."""
        factor = seconds / self.seconds
        steps = tuple(
            replace(step, at=step.at * factor, fault=step.fault and _lasting(step.fault, factor)) for step in self.steps
        )
        return replace(self, steps=steps, seconds=seconds, speed=self.speed * max(1.0, 1 / factor))


def _lasting(fault: AnyFault, factor: float) -> AnyFault:
    if fault.lasts is None:
        return fault
    fields = {name: getattr(fault, name) for name in fault.__struct_fields__}
    return type(fault)(**{**fields, "lasts": fault.lasts * factor})


class Subject(Protocol):
    """What a script happens to."""

    def apply(self, fault: AnyFault) -> None:
        """Let it happen now."""


async def play(script: Script, subject: Subject, tell: Callable[[Step], None] = lambda _step: None) -> None:
    """Let the script happen in real time; `tell` is called just before each step."""
    start = anyio.current_time()
    for step in script.steps:
        await anyio.sleep_until(start + step.at)
        tell(step)
        if step.fault is not None:
            subject.apply(step.fault)
    await anyio.sleep_until(start + script.seconds)


def parse_script(text: bytes) -> Script:
    """A script from JSON: a list of `{"at", "fault", "says"}`. Raises ValueError that says what is wrong with it."""
    rows = json.loads(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "at" in row for row in rows):
        raise ValueError('a script is a list of {"at": seconds, "fault": {...}}')
    steps = [Step(float(row["at"]), str(row.get("says", "")), faults.parse(row.get("fault"))) for row in rows]
    steps.sort(key=lambda step: step.at)
    return Script(tuple(steps), (), max((step.at for step in steps), default=0.0))


def demo_script(kind: Kind, seconds: float = LENGTH) -> Script:
    """Five sessions and what befalls them, for the demo; the world needs the sessions and the speed it names."""
    script = Script(_WAHA if kind == "waha" else _EVOLUTION, SESSIONS, LENGTH)
    return script if seconds == LENGTH else script.scaled(seconds)


_WELL = Step(0, "Five sessions, all working. Nothing to do.")
_LOGGED_OUT = Step(
    23,
    "Somebody unlinks 'orders' on the phone. No restart can heal that: a person must be told.",
    faults.LoggedOut(session="orders"),
)
_QR = Step(
    32,
    "'alerts' has lost its credentials and shows a QR code. Only a person can scan it: no restarts, an alert.",
    faults.QrWanted(session="alerts"),
)
_HANG = Step(
    39,
    "The gateway hangs: it takes connections and answers nothing. Health must still answer; nothing may be restarted.",
    faults.Http(answer="hang", lasts=9),
)
_HANG_OVER = Step(48, "The gateway answers again.")
_SCANNED = Step(52, "A person has scanned the QR of 'alerts'.", faults.Scanned(session="alerts"))

_WAHA = (
    _WELL,
    Step(
        4,
        "The session 'sales' fails. WAHA never tries a failed session again: one restart will heal it.",
        faults.Failed(session="sales"),
    ),
    Step(
        12,
        "'support' hangs in STARTING: its login is not answered. It would stay so for ever; a restart will heal it.",
        faults.Stuck(session="support"),
    ),
    _LOGGED_OUT,
    Step(
        28,
        "The socket of 'billing' is reset. WAHA heals that by itself in two seconds: hands off.",
        faults.Drop(session="billing"),
    ),
    _QR,
    _HANG,
    _HANG_OVER,
    _SCANNED,
)

_EVOLUTION = (
    _WELL,
    Step(
        4,
        "'sales' hangs in connecting. It would stay so for ever; one restart will heal it.",
        faults.Stuck(session="sales"),
    ),
    Step(
        12,
        "'support' flaps between close and connecting: Evolution reconnects by itself. Hands off: a 'connect' now "
        "would start a second client, and the two would fight.",
        faults.Unreachable(session="support", lasts=8),
    ),
    _LOGGED_OUT,
    Step(
        28,
        "The socket of 'billing' is reset. Evolution heals that by itself in two seconds: hands off.",
        faults.Drop(session="billing"),
    ),
    _QR,
    _HANG,
    _HANG_OVER,
    _SCANNED,
)
