"""What another user may do, told from owners and modes; and the kernel's word on the clock."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest
from host_theatre import unprivileged

from wasupervisor.host import clock
from wasupervisor.host.rights import READ, SEARCH, WRITE, Person, ourselves, person

STRANGER = Person("stranger", 65533, frozenset({65533}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that everybody gets to."""
    for one in (tmp_path, *tmp_path.parents):
        if os.geteuid() in (0, one.stat().st_uid):
            one.chmod(one.stat().st_mode | 0o111)
    made = tmp_path / "f"
    made.mkdir()
    return made


@pytest.mark.parametrize(
    ("mode", "bits", "may"),
    [
        (0o700, WRITE, False),
        (0o707, WRITE, True),
        (0o705, WRITE | SEARCH, False),
        (0o705, READ | SEARCH, True),
        (0o707, WRITE | SEARCH, True),
    ],
)
def test_a_stranger_gets_what_the_mode_gives_to_others(folder: Path, mode: int, bits: int, may: bool) -> None:
    folder.chmod(mode)
    assert STRANGER.may(folder, bits) is may


def test_a_group_counts_and_so_does_a_closed_folder_above(folder: Path) -> None:
    folder.chmod(0o770)
    member = Person("member", 65533, frozenset({folder.stat().st_gid}))
    assert member.may(folder, WRITE | SEARCH)
    assert not STRANGER.may(folder, SEARCH)
    (folder / "in").mkdir(mode=0o777)
    assert not STRANGER.may(folder / "in", SEARCH)


def test_an_owner_has_the_owners_rights_and_not_the_others(folder: Path) -> None:
    folder.chmod(0o077)
    if os.geteuid() == 0:
        os.chown(folder, STRANGER.uid, 0)
        assert not STRANGER.may(folder, READ)
    else:
        assert not ourselves().may(folder, READ)


def test_root_may_all_but_run_what_nobody_may(folder: Path) -> None:
    root, file = Person("root", 0, frozenset()), folder / "x"
    file.write_text("")
    file.chmod(0o600)
    assert root.may(file, READ | WRITE)
    assert not root.may(file, SEARCH)


def test_what_is_not_there_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        STRANGER.may(folder / "nowhere", READ)


def test_people_are_known_by_name_and_by_number() -> None:
    assert person("root").uid == 0
    assert person("0", ["0"]).name == "root"
    assert ourselves().uid == os.geteuid()
    with pytest.raises(KeyError):
        person("nobody-of-that-name")


def test_nobody_asks_the_clock_as_well_as_root() -> None:
    with unprivileged():
        assert clock.is_synchronised() in (True, False)


@pytest.mark.parametrize(("state", "kept"), [(0, True), (4, True), (5, False)])
def test_the_clock_is_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch, state: int, kept: bool) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_a, **_k: type("C", (), {"adjtimex": staticmethod(lambda _b: state)}))
    assert clock.is_synchronised() is kept


def test_a_kernel_that_does_not_tell_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_a, **_k: type("C", (), {"adjtimex": staticmethod(lambda _b: -1)}))
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.EPERM)
    with pytest.raises(PermissionError):
        clock.is_synchronised()
