"""The recording beside the loop: exact while it goes well, and never in the way when it does not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace
from runtime_scenes import failed, working

from wasupervisor.decide.memory import Memory
from wasupervisor.decide.step import step
from wasupervisor.model.observation import Look, Observation, Uplink, UplinkState
from wasupervisor.model.policy import Policy
from wasupervisor.model.remedies import RemedyKind
from wasupervisor.runtime import recording as recording_module
from wasupervisor.runtime.recording import HANGS, MOST_WAITING, WRITE_AT, Recording, Taken
from wasupervisor.runtime.replaying import replay
from wasupervisor.store import segments
from wasupervisor.store.segments import Reader, files_in

pytestmark = pytest.mark.anyio

UP = Uplink(UplinkState.UP)
QUICK = Policy(failing_samples=1, failing_after=0.0, startup_grace=0.0, stable_for=0.0)


class Life:
    """A daemon in small: it decides and has it recorded."""

    def __init__(self, folder: Path, keep: float | None = 3600.0) -> None:
        self.now = 1000.0
        self.recording = Recording(folder, keep, wall=lambda: 1e9 + self.now)
        self.memory = Memory()
        self.policy = QUICK
        self.folder = folder

    def turn(self, *names: str, number: int = 1) -> None:
        """So many steps in which these sessions have failed."""
        for _ in range(number):
            self.now += 5.0
            sightings = tuple(failed(one) if one in names else working(one) for one in ("a", "b"))
            observation = Observation(look=Look(reachable=True, sightings=sightings), uplink=UP)
            decision = step(self.memory, observation, self.now, 0.5, self.policy)
            self.recording.take(Taken(self.memory, observation, self.now, 0.5, self.policy, decision))
            self.memory = decision.memory

    def read(self) -> list[tuple[int, bool]]:
        """Number and anew of each step."""
        return [(one.number, one.anew) for one in Reader(self.folder).steps(0.0)]


async def until(check: Callable[[], object]) -> None:
    """Wait until something is true."""
    with anyio.fail_after(30):
        while True:
            if check():
                return
            await anyio.sleep(0.01)


async def test_what_was_decided_is_decided_again_byte_by_byte(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.turn(number=3)
    await life.recording.write()
    life.turn("a", number=12)
    life.policy = replace(QUICK, act=False)
    life.turn("b", number=12)
    await life.recording.close()
    replayed = replay(Reader(tmp_path).steps(0.0), 0.0)
    assert (replayed.steps, replayed.identical, replayed.breaks) == (27, 27, 0)
    assert replayed.differences() == []
    assert RemedyKind.RESTART_SESSION in [one.deed.what for one in replayed.then]
    assert replayed.then == replayed.now


async def test_a_memory_that_was_changed_between_two_steps_begins_anew(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.turn(number=2)
    life.memory = replace(life.memory, next_id=77)
    life.turn(number=2)
    await life.recording.write()
    assert life.read() == [(1, True), (2, False), (3, True), (4, False)]
    replayed = replay(Reader(tmp_path).steps(0.0), 0.0)
    assert (replayed.identical, replayed.breaks) == (4, 1)
    assert len(files_in(tmp_path / "recording")) == 1


async def test_without_the_key_nothing_is_kept(tmp_path: Path) -> None:
    life = Life(tmp_path, keep=None)
    life.turn(number=3)
    await life.recording.write()
    assert life.read() == []
    assert files_in(tmp_path / "recording") == []


async def test_the_key_can_be_set_and_taken_away_while_it_runs(tmp_path: Path) -> None:
    life = Life(tmp_path, keep=None)
    life.turn()
    life.recording.keep = 3600.0
    life.turn(number=2)
    await life.recording.write()
    life.recording.keep = None
    life.turn()
    await life.recording.write()
    life.recording.keep = 3600.0
    life.turn()
    await life.recording.write()
    assert life.read() == [(1, True), (2, False), (3, True)]


async def test_what_is_worth_it_is_written_soon_and_little_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(tmp_path)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(life.recording.run)
        await anyio.wait_all_tasks_blocked()
        life.turn(number=WRITE_AT - 1)
        await anyio.wait_all_tasks_blocked()
        assert life.read() == []
        life.turn()
        await until(life.read)
        life.turn(number=2)
        tasks.cancel_scope.cancel()
    await life.recording.close()
    assert len(life.read()) == WRITE_AT + 2


async def test_a_full_disk_is_told_once_and_recording_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    life = Life(tmp_path)
    life.turn(number=2)
    await life.recording.write()
    assert life.recording.trouble == ""
    real = segments._free
    monkeypatch.setattr(segments, "_free", lambda _folder: 4096)
    for _ in range(2):
        life.turn(number=2)
        await life.recording.write()
    assert life.recording.trouble == "less than 256 MiB are free on its disk"
    monkeypatch.setattr(segments, "_free", real)
    life.turn(number=2)
    await life.recording.write()
    assert life.recording.trouble == ""
    assert [one.getMessage() for one in caplog.records] == [
        "nothing is recorded for `replay` (state.record): less than 256 MiB are free on its disk",
        "recording for `replay` goes on",
    ]
    assert life.read() == [(1, True), (2, False), (7, True), (8, False)]
    assert replay(Reader(tmp_path).steps(0.0), 0.0).identical == 4


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "recording").write_text("in the way")
    life = Life(tmp_path)
    life.turn()
    await life.recording.write()
    assert life.recording.trouble in ("File exists", "Not a directory")


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Callable[[], threading.Event]:
    """From its call on the disk hangs until the event is set."""

    def begin() -> threading.Event:
        release = threading.Event()
        real = segments._append

        def hangs(path: Path, chunk: bytes, size: int) -> None:
            assert release.wait(30)
            real(path, chunk, size)

        monkeypatch.setattr(segments, "_append", hangs)
        return release

    return begin


async def test_a_disk_that_hangs_holds_up_nobody_and_what_waits_is_bounded(
    tmp_path: Path, hang: Callable[[], threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_module, "CLOSE_WITHIN", 0.0)
    life = Life(tmp_path)
    release = hang()
    life.turn(number=2)
    await life.recording.write(0.01)
    assert life.recording.trouble == HANGS
    for _ in range(3):
        life.turn(number=MOST_WAITING)
        await life.recording.write()
        assert len(life.recording._waiting) <= MOST_WAITING
    await life.recording.close()
    assert life.recording.trouble == HANGS
    release.set()
    await until(lambda: not life.recording._at_work.locked())
    life.turn()
    await life.recording.write()
    assert life.recording.trouble == ""
    first, second, third, *_ = life.read()
    assert (first, second) == ((1, True), (2, False))
    assert third == (3, True)
    replayed = replay(Reader(tmp_path).steps(0.0), 0.0)
    assert replayed.identical == replayed.steps


async def test_what_cannot_be_encoded_costs_what_was_to_be_written_and_no_more(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.turn(number=2)
    await life.recording.write()
    life.turn()
    wall, taken = life.recording._waiting.pop()
    broken = replace(taken.observation, look=Look(sightings=(replace(working("a"), activity=2**70),)))
    life.recording._waiting.append((wall, taken._replace(observation=broken)))
    await life.recording.write()
    assert life.recording.trouble
    life.turn(number=2)
    await life.recording.write()
    assert life.recording.trouble == ""
    assert [anew for _number, anew in life.read()] == [True, False, True, False]


async def test_a_fault_of_our_own_is_no_trouble_of_the_disk_and_the_next_steps_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = Life(tmp_path)
    life.turn(number=2)
    with monkeypatch.context() as patch:
        patch.setattr(recording_module, "digest", lambda _decision: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await life.recording.write()
    life.turn(number=2)
    await life.recording.write()
    assert [anew for _number, anew in life.read()] == [True, False]
