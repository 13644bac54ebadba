"""The language of faults, and the demo's story."""

from __future__ import annotations

import json

import pytest

from wasupervisor.simulator import faults
from wasupervisor.simulator.faults import parse
from wasupervisor.simulator.happen import apply
from wasupervisor.simulator.kinds import Kind, make_world
from wasupervisor.simulator.script import demo_script, parse_script
from wasupervisor.simulator.world import UplinkState

BESIDE_THE_WORLD = faults.Memory | faults.Http | faults.HttpCalm
"""What happens to the process or its answers, and not in the world."""


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"fault": "failed", "session": "s1"}, faults.Failed(session="s1")),
        (
            {"fault": "failed", "session": "s1", "heals_after_restarts": None},
            faults.Failed(session="s1", heals_after_restarts=None),
        ),
        ({"fault": "uplink", "state": "black_hole", "lasts": 3}, faults.Uplink(state=UplinkState.BLACK_HOLE, lasts=3)),
        ({"fault": "process", "action": "kill", "back_after": 2}, faults.Process(action="kill", back_after=2)),
        ({"fault": "http", "answer": "hang", "path": "/api/*"}, faults.Http(answer="hang", path="/api/*")),
    ],
)
def test_faults_are_read_from_json(document: object, fault: object) -> None:
    assert parse(document) == fault


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"fault": "filed", "session": "s1"}, "'filed'"),
        ({"fault": "failed"}, "`session`"),
        ({"fault": "failed", "session": "s1", "heal_after": 2}, "`heal_after`"),
        ({"fault": "uplink", "state": "sideways"}, "'sideways'"),
        ({"fault": "http", "answer": "lie"}, "'lie'"),
        ("failed", "object"),
    ],
)
def test_a_wrong_fault_is_told_and_not_guessed(document: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(document)


def test_every_fault_is_explained_where_people_look() -> None:
    known = {str(kind.__struct_config__.tag) for kind in (*faults.WorldFault.__args__, *BESIDE_THE_WORLD.__args__)}
    told = {
        line.split()[0] for line in (faults.__doc__ or "").splitlines() if line.startswith("    ") and line[4] != " "
    }
    assert told == known


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_every_fault_happens_or_is_refused_in_words(kind: Kind) -> None:
    for struct in faults.WorldFault.__args__:
        world = make_world(kind, ["s1"])
        fields = {"session": "s1", "state": "refused", "action": "kill", "status": "ODD"}
        document = {name: fields[name] for name in struct.__struct_fields__ if name in fields}
        fault = parse({"fault": struct.__struct_config__.tag, **document})
        assert not isinstance(fault, BESIDE_THE_WORLD)
        try:
            apply(world, fault)
        except ValueError as refusal:
            assert "nothing like it" in str(refusal)  # noqa: PT017 - most of them are not refused
        world.advance(100.0)
        world.snapshot()


def test_an_unknown_session_is_told_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no session 'sx'; it has s1, s2"):
        apply(make_world("waha", 2), faults.Failed(session="sx"))


def test_a_star_means_every_session() -> None:
    world = make_world("waha", 3)
    apply(world, faults.LoggedOut(session="*"))
    assert [session.unlinked for session in world.sessions.values()] == [401, 401, 401]


def test_the_end_of_an_old_fault_does_not_end_a_newer_one() -> None:
    world = make_world("waha", ["s1"])
    apply(world, faults.Unreachable(session="s1", lasts=10))
    world.advance(5)
    apply(world, faults.Banned(session="s1"))
    world.advance(20)
    assert world.sessions["s1"].unlinked == 403


@pytest.mark.parametrize("kind", ["waha", "evolution"])
@pytest.mark.parametrize("seconds", [10.0, 60.0, 240.0])
def test_the_demo_s_story_fits_its_time_and_its_gateway(kind: Kind, seconds: float) -> None:
    script = demo_script(kind, seconds)
    assert len(script.sessions) == 5
    assert script.seconds == seconds
    assert script.speed == max(1.0, 60 / seconds)
    assert [step.at for step in script.steps] == sorted(step.at for step in script.steps)
    assert all(0 <= step.at < seconds and step.says for step in script.steps)
    world = make_world(kind, script.sessions, speed=script.speed)
    for step in script.steps:
        world.advance(step.at)
        if step.fault is not None and not isinstance(step.fault, BESIDE_THE_WORLD):
            apply(world, step.fault)
    told = {step.fault.session for step in script.steps if isinstance(step.fault, faults.SessionFault)}
    assert told == set(script.sessions)


def test_a_shorter_story_has_shorter_faults() -> None:
    (hang,) = (step.fault for step in demo_script("waha", 30).steps if isinstance(step.fault, faults.Http))
    assert hang.lasts == 4.5


def test_a_script_is_read_from_json_in_the_order_of_time() -> None:
    rows = [{"at": 2, "fault": {"fault": "http_calm"}}, {"at": 1, "fault": {"fault": "drop", "session": "s1"}}]
    script = parse_script(json.dumps(rows).encode())
    assert [step.fault for step in script.steps] == [faults.Drop(session="s1"), faults.HttpCalm()]
    with pytest.raises(ValueError, match="list"):
        parse_script(b'{"at": 1}')
