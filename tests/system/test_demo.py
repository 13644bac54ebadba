"""`wasupervisor demo`, as somebody types it who has just heard of the program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import read_line

pytestmark = pytest.mark.timeout(120)


def begin(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "wasupervisor", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": ""},
    )


def read_until(process: subprocess.Popen[str], word: str) -> list[str]:
    lines = [read_line(process)]
    while word not in lines[-1]:
        lines.append(read_line(process))
        assert lines[-1], lines
    return lines


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files; short enough for a socket, as pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="{odd}: 'n #") as name:
        yield Path(name)


def test_the_whole_story_is_told_in_the_shortest_time(folder: Path) -> None:
    process = begin(folder, "--seconds", "5")
    out, err = process.communicate(timeout=90)
    assert (process.returncode, err) == (0, "")
    assert "The story takes at least 20 s." in out
    assert "healed: working" in out
    assert "fatal: the account is not linked any more" in out
    assert "needs_human: it waits for a person to scan its QR code" in out
    assert "    0  calls that log out, delete, create or connect" in out
    assert "Traceback" not in out
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["waha", "evolution"])
def test_ctrl_c_ends_it_and_leaves_nothing_behind(folder: Path, kind: str) -> None:
    process = begin(folder, "--gateway", kind)
    read_until(process, "happens")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "At the end:" in out
    assert list(folder.iterdir()) == []


def test_a_reader_that_goes_away_ends_it(folder: Path) -> None:
    process = begin(folder)
    read_until(process, "happens")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(30) == 128 + signal.SIGPIPE
    assert process.stderr.read() == ""
    process.stderr.close()
    assert list(folder.iterdir()) == []


def test_a_long_name_of_the_temporary_folder_is_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    process = begin(folder)
    read_until(process, "happens")
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
