"""A recording on the disk: kept so long and so large, read while it is written, and as far as it is whole."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasupervisor.model.observation import Look, Observation
from wasupervisor.model.policy import Policy
from wasupervisor.store import segments
from wasupervisor.store.recording import Step
from wasupervisor.store.segments import Reader, TooFull, Writer, files_in

BEGAN = 1_700_000_000.0
NEVER = 0.0


def a_step(number: int, every: float = 5.0, **fields: Any) -> Step:
    values: dict[str, Any] = {
        "number": number,
        "wall": BEGAN + every * number,
        "now": every * number,
        "dice": 0.5,
        "observation": Observation(look=Look(reachable=True, latency_seconds=number / 7)),
        "policy": Policy(),
        "digest": bytes(16),
    }
    return Step(**{**values, **fields})


def a_writer(folder: Path, run: str = "r", **options: Any) -> Writer:
    return Writer(folder, run=run, version="1", **{"keep_free": 0, **options})


def add(writer: Writer, *numbers: int, every: float = 5.0) -> None:
    for number in numbers:
        step = a_step(number, every)
        memory = b"memory %d" % number if writer.wants_memory(step.wall) else None
        writer.add(msgspec.structs.replace(step, memory=memory))


def read(folder: Path, since: float = NEVER) -> tuple[list[int], list[str]]:
    reader = Reader(folder)
    return [one.number for one in reader.steps(since)], reader.skipped


def files(folder: Path) -> list[Path]:
    return files_in(folder / "recording")


def test_what_was_written_is_read_also_by_who_reads_while_it_is_written(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    add(writer, 1, 2)
    assert read(tmp_path) == ([], [])
    writer.flush()
    add(writer, 3)
    assert read(tmp_path) == ([1, 2], [])
    writer.flush()
    steps = list(Reader(tmp_path).steps(NEVER))
    assert [one.number for one in steps] == [1, 2, 3]
    assert [one.memory for one in steps] == [b"memory 1", None, None]
    assert [one.anew for one in steps] == [True, False, False]
    assert steps[2].observation == a_step(3).observation


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    add(writer, 1)
    writer.flush()
    (only,) = files(tmp_path)
    assert stat.S_IMODE(only.stat().st_mode) == 0o600
    assert stat.S_IMODE(only.parent.stat().st_mode) == 0o700


def test_where_nothing_was_recorded_nothing_is_read(tmp_path: Path) -> None:
    assert read(tmp_path) == ([], [])


def test_each_hour_begins_a_file_that_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    add(writer, *range(100), every=60.0)
    writer.flush()
    assert len(files(tmp_path)) == 2
    steps = list(Reader(tmp_path).steps(NEVER))
    assert [one.number for one in steps] == list(range(100))
    assert [one.number for one in steps if one.memory is not None] == [0, 60]
    assert [one.number for one in steps if one.anew] == [0]


def test_a_clock_that_is_set_back_begins_a_file(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    add(writer, 10)
    assert not writer.wants_memory(BEGAN + 51.0)
    assert writer.wants_memory(BEGAN)


def test_a_large_file_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 200)
    writer = a_writer(tmp_path)
    for number in range(10):
        add(writer, number)
        writer.flush()
    assert len(files(tmp_path)) > 1
    assert read(tmp_path) == (list(range(10)), [])


def test_only_from_the_last_file_before_a_moment_on_is_read(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    add(writer, *range(200), every=60.0)
    writer.flush()
    assert read(tmp_path, BEGAN + 7300.0)[0] == list(range(120, 200))
    assert read(tmp_path, BEGAN + 10 * 86400)[0] == list(range(180, 200))
    assert read(tmp_path, BEGAN - 10)[0] == list(range(200))


def test_another_run_begins_anew(tmp_path: Path) -> None:
    for run in ("one", "two"):
        writer = a_writer(tmp_path, run)
        add(writer, 1, 2)
        writer.flush()
    steps = list(Reader(tmp_path).steps(NEVER))
    assert [(one.number, one.anew) for one in steps] == [(1, True), (2, False)] * 2


def test_old_files_go_and_the_one_that_is_written_stays(tmp_path: Path) -> None:
    now = BEGAN
    writer = a_writer(tmp_path, wall=lambda: now)
    add(writer, *range(190), every=60.0)
    writer.flush()
    for number, path in enumerate(files(tmp_path)):
        os.utime(path, (0, BEGAN + 3600.0 * (number + 1)))
    now = BEGAN + 3 * 3600.0
    writer.prune(3600.0)
    assert [path.name for path in files(tmp_path)] == ["00000002.steps", "00000003.steps", "00000004.steps"]
    now = BEGAN + 30 * 3600.0
    writer.prune(3600.0)
    assert [path.name for path in files(tmp_path)] == ["00000004.steps"]
    add(writer, 190, every=60.0)
    writer.flush()
    assert read(tmp_path) == ([*range(180, 191)], [])


def test_the_oldest_go_when_all_are_too_large(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    add(writer, *range(190), every=60.0)
    writer.flush()
    sizes = [path.stat().st_size for path in files(tmp_path)]
    a_writer(tmp_path, most_bytes=sum(sizes[2:])).prune(1e12)
    assert [path.name for path in files(tmp_path)] == ["00000003.steps", "00000004.steps"]


def test_the_disk_is_not_filled(tmp_path: Path) -> None:
    writer = a_writer(tmp_path, keep_free=1 << 62)
    add(writer, 1)
    with pytest.raises(TooFull, match="are free on its disk"):
        writer.flush()
    assert files(tmp_path) == []


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The kernel takes what fits, and refuses the rest, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_a_full_disk_takes_in_part_is_taken_back(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    add(writer, 1)
    writer.flush()
    (first,) = files(tmp_path)
    before = first.read_bytes()
    with no_file_larger_than(len(before) + 5):
        add(writer, 2)
        with pytest.raises(OSError, match="File too large"):
            writer.flush()
        assert first.read_bytes() == before
    writer.forget()
    with no_file_larger_than(5):
        add(writer, 3)
        with pytest.raises(OSError, match="File too large"):
            writer.flush()
        assert files(tmp_path) == [first]
    writer.forget()
    add(writer, 4)
    writer.flush()
    steps = list(Reader(tmp_path).steps(NEVER))
    assert [(one.number, one.anew) for one in steps] == [(1, True), (4, True)]


def three_files(folder: Path) -> list[Path]:
    writer = a_writer(folder)
    for number in range(150):
        add(writer, number, every=60.0)
        if number % 10 == 9:
            writer.flush()
    return files(folder)


def test_of_a_damaged_file_the_beginning_is_read_and_the_others_wholly(tmp_path: Path) -> None:
    _, second, _ = three_files(tmp_path)
    text = bytearray(second.read_bytes())
    text[-3] ^= 0xFF
    second.write_bytes(text)
    reader = Reader(tmp_path)
    steps = list(reader.steps(NEVER))
    assert [one.number for one in steps] == [*range(110), *range(120, 150)]
    assert [one.number for one in steps if one.anew] == [0, 120]
    assert reader.skipped == [f"{second} is left out from here on: it is damaged"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"rubbish\n", "it is no recording"),
        (b"rubbish", "it is no recording"),
        (b"wasupervisor recording 2\n", "a later release of wasupervisor wrote it"),
        (b"wasupervisor recording 1\n" + b"\xff" * 8, "it is damaged"),
    ],
)
def test_what_is_no_file_of_ours_is_left_out(tmp_path: Path, text: bytes, why: str) -> None:
    first, second, third = three_files(tmp_path)
    second.write_bytes(text)
    numbers, skipped = read(tmp_path)
    assert numbers == [*range(60), *range(120, 150)]
    assert skipped == [f"{second} is left out from here on: {why}"]
    third.write_bytes(text)
    assert read(tmp_path, BEGAN + 1e9)[0] == [*range(60)]
    assert first.exists()


def test_a_step_of_another_release_is_left_out_with_what_follows(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    add(writer, 1)
    writer._pending.append(msgspec.msgpack.encode([2, 1.0, 0.5, b"", {"look": {"trouble": ["new word"]}}, {}]))
    writer.flush()
    numbers, skipped = read(tmp_path)
    assert numbers == [1]
    assert "new word" in skipped[0]


def test_a_head_of_another_kind_is_left_out(tmp_path: Path) -> None:
    writer = a_writer(tmp_path)
    add(writer, 1)
    writer._pending[0] = msgspec.msgpack.encode({"other": 1})
    writer.flush()
    assert "its head cannot be read" in read(tmp_path)[1][0]


def test_a_file_that_is_removed_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    _, second, _ = three_files(tmp_path)
    reader = Reader(tmp_path)
    steps = reader.steps(NEVER)
    next(steps)
    second.unlink()
    assert [one.number for one in steps] == [*range(1, 60), *range(120, 150)]
    assert reader.skipped == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cut_off_anywhere_it_is_read_as_far_as_it_goes(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.mktemp("cut")
    _, _, third = three_files(folder)
    whole = third.read_bytes()
    third.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    numbers, skipped = read(folder)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) % 10 == 0
    assert len(numbers) >= 120
    assert skipped == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_with_any_byte_changed_no_wrong_step_is_read(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    _, second, _ = three_files(folder)
    text = bytearray(second.read_bytes())
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
    second.write_bytes(text)
    steps = list(Reader(folder).steps(NEVER))
    for one in steps:
        assert one.observation == a_step(one.number).observation
    numbers = [one.number for one in steps]
    assert numbers[:60] == list(range(60))
    assert numbers[-30:] == list(range(120, 150))
