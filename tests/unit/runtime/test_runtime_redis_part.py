"""What the health document tells of Redis and of the job queues."""

from __future__ import annotations

from typing import Any

import pytest

from wasupervisor.keyspace.preflight import Finding, Level
from wasupervisor.keyspace.wanted import Known, LastSweep
from wasupervisor.model.observation import Look, ProcessReading, RedisReading, Uplink
from wasupervisor.queue.depth import Depth, Totals
from wasupervisor.runtime.backlog import Backlog
from wasupervisor.runtime.redis_part import notes_of_keys, queue_part, redis_part
from wasupervisor.runtime.watch import Readings


def finding(level: Level) -> Finding:
    return Finding(code="c", level=level, text="it forgets", why="So all is lost.", todo="Save it.")


def readings(known: Known | None, **reading: Any) -> Readings:
    return Readings(Look(reachable=True), ProcessReading(), Uplink(), RedisReading(**reading), known)


WELL = {"ok": True}


@pytest.mark.parametrize(
    ("known", "reading", "status", "why"),
    [
        (WELL, {}, "pass", "it answers, and all is well"),
        ({}, {}, "warn", "it was not looked at yet"),
        ({"ok": False, "detail": "nobody listens there"}, {}, "fail", "nobody listens there"),
        ({"ok": False}, {"mistyped": ("a",)}, "fail", "it does not answer"),
        (WELL, {"mistyped": ("a",)}, "fail", "a credential key is mistyped, gone or set aside"),
        (WELL, {"lost": ("a",)}, "fail", "a credential key is mistyped, gone or set aside"),
        ({**WELL, "mistyped": 2}, {}, "warn", "left as found, though not as a rule says: 2 keys"),
        (
            {**WELL, "mistyped": 2, "trouble": "no rights"},
            {},
            "warn",
            "left as found, though not as a rule says: 2 keys",
        ),
        ({**WELL, "trouble": "no rights"}, {}, "warn", "no rights"),
        ({**WELL, "detail": "TYPE is forbidden"}, {}, "warn", "TYPE is forbidden"),
        ({"detail": "it asks for a password"}, {}, "warn", "it asks for a password"),
        ({**WELL, "findings": (finding(Level.WARNING),)}, {}, "warn", "it forgets"),
        ({**WELL, "findings": (finding(Level.BLOCKER),)}, {}, "warn", "it forgets"),
        ({**WELL, "findings": (finding(Level.UNKNOWN),)}, {}, "pass", "it answers, and all is well"),
    ],
)
def test_each_state_has_its_status_and_why(
    known: dict[str, Any], reading: dict[str, Any], status: str, why: str
) -> None:
    part = redis_part(readings(Known(**known), **reading))
    assert part is not None
    assert (part.status, part.why) == (status, why)


def test_it_has_the_numbers() -> None:
    sweep = LastSweep(at=1_700_000_000.0, seconds=0.12345, keys=7)
    known = Known(ok=True, wrongtype_errors=3, mistyped=1, quarantined=20, last_sweep=sweep)
    part = redis_part(readings(known))
    assert part is not None
    assert (part.wrongtype_errors, part.mistyped_keys, part.quarantined) == (3, 1, 20)
    assert part.last_sweep is not None
    assert (part.last_sweep.at, part.last_sweep.seconds, part.last_sweep.keys) == ("2023-11-14T22:13:20Z", 0.12, 7)


def test_what_is_not_watched_or_not_known_is_null() -> None:
    assert redis_part(readings(None)) is None
    part = redis_part(readings(Known()))
    assert part is not None
    assert (part.wrongtype_errors, part.quarantined, part.last_sweep) == (None, None, None)
    assert queue_part(None) is None
    assert list(notes_of_keys(readings(None))) == []


def test_notes_are_sentences() -> None:
    known = Known(ok=True, findings=(finding(Level.WARNING),), trouble="no rights", quarantined=1)
    backlog = Backlog(Totals(), (), ("queue 'q': 200 jobs wait",))
    assert list(notes_of_keys(readings(known)._replace(backlog=backlog))) == [
        "Redis: it forgets. So all is lost. Save it.",
        "Redis: keys are not looked after as they should be: no rights",
        "Redis: 1 key in quarantine: `wasupervisor redis quarantine` lists them",
        "Queue: queue 'q': 200 jobs wait",
    ]


def test_queues_are_summed_and_listed() -> None:
    depth = Depth(name="a | b", flavour="bull", waiting=2, active=1, failed=3)
    part = queue_part(Backlog(Totals(waiting=2, active=1, failed=3), (depth,), ()))
    assert part is not None
    assert (part.waiting, part.active, part.failed) == (2, 1, 3)
    (one,) = part.queues
    assert (one.name, one.kind, one.waiting, one.failed) == ("a | b", "bull", 2, 3)
