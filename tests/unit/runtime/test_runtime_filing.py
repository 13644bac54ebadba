"""The health file beside the loop, also on a disk that hangs."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest

from wasupervisor.report.file import HealthFile
from wasupervisor.runtime import filing
from wasupervisor.runtime.filing import HANGS, FileWriter

pytestmark = pytest.mark.anyio


async def test_the_document_is_in_the_file(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path / "health.json")
    await writer.write(b"one")
    await writer.write(b"two")
    assert (tmp_path / "health.json").read_bytes() == b"two"
    assert writer.trouble == ""


async def test_a_file_that_cannot_be_written_is_told_once_and_its_return_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    place = tmp_path / "folder"
    place.write_text("in the way")
    writer = FileWriter(place / "health.json")
    await writer.write(b"one")
    await writer.write(b"two")
    assert writer.trouble == "File exists"
    place.unlink()
    await writer.write(b"three")
    assert writer.trouble == ""
    assert [record.getMessage() for record in caplog.records] == [
        f"health.file {place}/health.json cannot be written: File exists",
        f"health.file {place}/health.json is written again",
    ]


async def test_a_disk_that_hangs_costs_one_thread_however_many_cycles_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, written = threading.Event(), []

    def hang(_file: HealthFile, data: bytes) -> None:
        written.append(data)
        answers.wait(30)

    monkeypatch.setattr(HealthFile, "write", hang)
    monkeypatch.setattr(filing, "WITHIN", 0.05)
    writer = FileWriter(tmp_path / "health.json")
    for number in range(5):
        await writer.write(b"%d" % number)
        assert writer.trouble == HANGS
    assert written == [b"0"]
    answers.set()
    while writer.trouble:
        await writer.write(b"last")
        await anyio.sleep(0.01)
    assert written == [b"0", b"last"]
