"""The doctor's looks at files, folders, the clock, and at who is told."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from wasupervisor.config.policy import notes_of, webhooks
from wasupervisor.config.problems import Problem
from wasupervisor.config.schema import Settings
from wasupervisor.host.clock import is_synchronised
from wasupervisor.host.rights import SEARCH, WRITE
from wasupervisor.runtime.doctor import Case, Look, Said, Verdict, in_thread
from wasupervisor.runtime.doctor_service import made_by_unit, writable_by_unit
from wasupervisor.store.directory import is_low

_ANYBODY_READS, _ANYBODY_WRITES = stat.S_IROTH, stat.S_IWOTH


def judge_file(file: Path, literals: Sequence[str]) -> Said:
    """The configuration: who reads and writes it. May block on a dead disk.

    Args:
        file: the configuration, or one that holds a secret.
        literals: the keys whose secrets stand in it.

    Raises:
        OSError: it cannot be looked at.
    """
    mode = _open_to_others(file)
    if mode & _ANYBODY_WRITES:
        text = f"anybody on this host may write {file}, and so have the daemon run what they like"
        return Said("configuration.file", Verdict.WRONG, text, f"chmod o-w {file}")
    if mode & _ANYBODY_READS and literals:
        text = f"others can read {file}, which holds {', '.join(literals)}"
        todo = f"chmod o-rwx {file}, or write ${{NAME}} in it; who may have read the secret knows it"
        return Said("configuration.file", Verdict.WARNING, text, todo)
    return Said("configuration.file", Verdict.OK, f"{file} is not open to those who should not see it")


def _open_to_others(file: Path) -> int:
    """Of its mode what others get to: nothing where a folder above is closed to them."""
    is_closed = any(not parent.stat().st_mode & stat.S_IXOTH for parent in file.absolute().parents)
    return 0 if is_closed else stat.S_IMODE(file.stat().st_mode) & stat.S_IRWXO


def judge_secret_file(file: Path) -> Iterator[Said]:
    """A file that holds nothing but secrets; nothing is said of one that we cannot look at."""
    try:
        mode = _open_to_others(file)
    except OSError:
        return
    if mode & (_ANYBODY_READS | _ANYBODY_WRITES):
        text = f"others can read or write {file}, which holds secrets"
        yield Said("configuration.secrets", Verdict.WARNING, text, f"chmod o-rwx {file}, and change what is in it")


def judge_secrets(problems: Sequence[Problem], *, is_all_known: bool) -> Iterator[Said]:
    """Secrets that are not there.

    Args:
        problems: what is missing or cannot be used.
        is_all_known: whether we see what the daemon would see: as root, or as its own user.
    """
    for one in problems:
        verdict = Verdict.UNKNOWN if one.absent and not is_all_known else Verdict.WRONG
        todo = "run this as root" if verdict is Verdict.UNKNOWN else "docs/install.md, Secrets"
        yield Said("configuration.secrets", verdict, f"{one.path}: {one.text}", todo)
    if not problems:
        yield Said("configuration.secrets", Verdict.OK, "all are there")


def judge_sections(settings: Settings) -> Iterator[Said]:
    """What is asked for and not acted on."""
    notes = notes_of(settings)
    yield from (Said("configuration.sections", Verdict.WARNING, one, "take it out, or wait for it") for one in notes)
    if not notes:
        yield Said("configuration.sections", Verdict.OK, "all of it is acted on")


async def places(case: Case) -> Iterable[Said]:
    """The folders that the daemon writes in. Nothing is written by us."""
    return await in_thread(lambda: tuple(judge_places(case)))


def judge_places(case: Case) -> Iterator[Said]:
    """Each of them, as the daemon's user."""
    state = case.settings.state.directory
    yield judge_place(case, "places.state", state, "state.directory")
    yield judge_disk(state)
    yield judge_place(case, "places.health_file", case.settings.health.file.parent, "health.file")
    yield judge_place(case, "places.socket", case.settings.control.socket.parent, "control.socket")


def judge_place(case: Case, code: str, folder: Path, key: str) -> Said:
    """Whether the daemon can write in a folder, or make it."""
    who = case.person.name
    try:
        there = _nearest(folder)
        may = case.person.may(there, WRITE | SEARCH)
    except PermissionError as error:
        return Said(code, Verdict.UNKNOWN, f"{folder} may not be looked at ({error.strerror})", "run this as root")
    if there != folder and made_by_unit(case.service, folder):
        return Said(code, Verdict.OK, f"systemd makes {folder} when the unit starts")
    if not may:
        todo = f"give {who} the right to write in {there}, or set another {key}"
        return Said(code, Verdict.WRONG, f"{who} may not write in {there}", todo)
    if not writable_by_unit(case.service, folder):
        text = f"the unit may not write in {folder} (ProtectSystem=strict)"
        return Said(code, Verdict.WRONG, text, f"add ReadWritePaths={folder} in a drop-in, or set another {key}")
    return Said(code, Verdict.OK, f"{who} may write in {folder}" if there == folder else f"{who} may make {folder}")


def judge_disk(folder: Path) -> Said:
    """Whether there is room."""
    there = _nearest(folder)
    if is_low(there):
        return Said("places.disk", Verdict.WARNING, f"the disk of {there} is nearly full", "make room on it")
    return Said("places.disk", Verdict.OK, f"there is room on the disk of {there}")


def _nearest(folder: Path) -> Path:
    """It, or what is nearest above it.

    Raises:
        PermissionError: we may not look there.
    """
    for place in (folder, *folder.parents):
        try:
            place.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return place
    return folder


async def clock(_case: Case) -> Iterable[Said]:
    """The kernel knows it."""
    if is_synchronised():
        return (Said("clock.synchronised", Verdict.OK, "it is synchronised"),)
    todo = "run systemd-timesyncd or chrony: timedatectl set-ntp true"
    return (Said("clock.synchronised", Verdict.WARNING, "it is not synchronised", todo),)


def judge_alerts(settings: Settings) -> Iterator[Said]:
    """Whether anybody is told; no address is called."""
    number = len(webhooks(settings))
    if number:
        yield Said("alerts.told", Verdict.OK, f"{number} address{'es' if number > 1 else ''} set; none was called")
    else:
        yield Said("alerts.told", Verdict.OK, "nobody is told of anything", "set alerts (docs/alerts.md)")
    if settings.dead_man is None:
        yield Said("alerts.dead_man", Verdict.OK, "nobody notices when this host is down", "set dead_man")
    else:
        yield Said("alerts.dead_man", Verdict.OK, "it is set; it was not called")


LOOKS = (Look("places.state", places), Look("clock.synchronised", clock))
