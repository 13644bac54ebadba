"""The doctor's look at what restarts the gateway: whether it is there, and whether the daemon's user may use it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath

from wasupervisor.config.recovery import RestartGateway
from wasupervisor.host import engine, systemctl
from wasupervisor.host.engine import Engine, Trouble
from wasupervisor.host.restart_docker import KEY as CONTAINER
from wasupervisor.host.restart_systemd import KEY as UNIT
from wasupervisor.host.restart_systemd import STOP, script_here, seconds_of
from wasupervisor.host.rights import SEARCH, WRITE
from wasupervisor.host.running import run
from wasupervisor.host.units import full_name
from wasupervisor.runtime.doctor import Case, Look, Said, Verdict, in_thread
from wasupervisor.runtime.doctor_service import writable_by_unit

RULE = Path("/etc/polkit-1/rules.d/50-wasupervisor.rules")
ACTION = "org.freedesktop.systemd1.manage-units"
_SECONDS = 3.0
_START_TIME = 19
"""Of proc_pid_stat(5), behind the name: field 22."""

ARGV = "recovery.restart_gateway.argv"
FILE = "recovery.restart_gateway.file"


async def restarter(case: Case) -> Iterable[Said]:
    """What `recovery.restart_gateway` names. Nothing is restarted."""
    wanted = case.settings.recovery.restart_gateway
    if wanted.by == "none":
        todo = "set recovery.restart_gateway (docs/process.md)"
        return (Said("restarter.configured", Verdict.OK, "there is none (by: none)", todo),)
    looks = {"systemd": _systemd, "docker": _docker, "command": _command, "kubelet": _kubelet}
    said = await looks[wanted.by](case, wanted)
    return (Said("restarter.configured", Verdict.OK, f"by {wanted.by}"), *said)


async def _systemd(case: Case, wanted: RestartGateway) -> Iterable[Said]:
    unit = full_name(wanted.unit or "")
    told = await systemctl.show(unit, "LoadState", "TimeoutStopUSec")
    allowed = await _may_restart(case, unit)
    return (judge_target(unit, told), allowed)


def judge_target(unit: str, told: Mapping[str, str] | None) -> Said:
    """Whether the gateway's unit is there, and has time to stop."""
    if told is None:
        text = f"systemd does not answer here, and is to restart {unit}"
        return Said("restarter.target", Verdict.WRONG, text, "by: command may be the way")
    state, stop = told.get("LoadState", ""), told.get("TimeoutStopUSec", "")
    if state == "masked":
        return Said("restarter.target", Verdict.WRONG, f"{unit} is masked", f"sudo systemctl unmask {unit}")
    if state != "loaded":
        return Said("restarter.target", Verdict.WRONG, f"systemd has no unit {unit} ({state})", f"correct {UNIT}")
    if seconds_of(stop) < STOP:
        text = f"{unit} has {stop} to stop, and WAHA needs {STOP:g} s"
        return Said("restarter.target", Verdict.WARNING, text, f"set TimeoutStopSec={STOP:g} in it")
    return Said("restarter.target", Verdict.OK, unit)


async def _may_restart(case: Case, unit: str) -> Said:
    """polkit is asked where it tells us, which is root alone, and the daemon runs; else the rule is read."""
    if case.person.uid == 0:
        return Said("restarter.allowed", Verdict.OK, "root may restart every unit")
    pid = case.service.get("MainPID", "0")
    if os.geteuid() == 0 and pid not in ("", "0"):
        allows = await _polkit_allows(int(pid), case.person.uid, unit)
        if allows is not None:
            return _allowed(unit, "polkit") if allows else _refused(f"polkit does not let {case.person.name}", unit)
    return await in_thread(judge_rule, RULE, unit, case.person.name)


async def _polkit_allows(pid: int, uid: int, unit: str) -> bool | None:
    """What polkit would answer the daemon (pkcheck(1)); None: it cannot be asked."""
    subject = f"{pid},{_start_time(pid)},{uid}"
    details = ("--detail", "unit", unit, "--detail", "verb", "restart")
    argv = ("pkcheck", "--action-id", ACTION, "--process", subject, *details)
    try:
        ran = await run(argv, seconds=_SECONDS, environ=os.environ)
    except OSError:
        return None
    # 1: not authorised; 2: it would have to ask somebody.
    return {0: True, 1: False, 2: False}.get(ran.status if ran.status is not None else -1)


def _start_time(pid: int) -> str:
    """In ticks since the boot, which names the process for polkit."""
    about = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return about.rpartition(")")[2].split()[_START_TIME]


def judge_rule(rule: Path, unit: str, user: str) -> Said:
    """What stands in the rule that install.sh makes."""
    try:
        text = rule.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return _refused(f"there is no rule of ours that lets {user}", unit, Verdict.WARNING)
    except OSError as error:
        text = f"{rule} may not be read ({error.strerror}), so that nobody here knows whether {user} may"
        return Said("restarter.allowed", Verdict.UNKNOWN, text, "run this as root")
    if f'"{unit}"' in text:
        return _allowed(unit, str(rule))
    return _refused(f"{rule} does not let {user}", unit, Verdict.WARNING)


def _allowed(unit: str, by: str) -> Said:
    return Said("restarter.allowed", Verdict.OK, f"{by} allows a restart of {unit}")


def _refused(who: str, unit: str, verdict: Verdict = Verdict.WRONG) -> Said:
    return Said("restarter.allowed", verdict, f"{who} restart {unit}", f"sudo {script_here()} --allow-restart {unit}")


async def _docker(case: Case, wanted: RestartGateway) -> Iterable[Said]:
    found = await Engine().inspect(wanted.container or "", seconds=_SECONDS)
    if isinstance(found, Trouble):
        verdict = Verdict.WRONG if found.nothing_there else Verdict.UNKNOWN
        said = Said("restarter.target", verdict, found.text.replace(engine.KEY, CONTAINER))
    else:
        said = Said("restarter.target", Verdict.OK, f"container {found.name.removeprefix('/')}")
    host = os.environ.get("DOCKER_HOST") or f"unix://{engine.SOCKET}"
    if not host.startswith("unix:///"):
        return (said, Said("restarter.allowed", Verdict.UNKNOWN, "DOCKER_HOST here is not the path of a Unix socket"))
    return (said, await in_thread(judge_socket, case, Path(host.removeprefix("unix://"))))


def judge_socket(case: Case, socket: Path) -> Said:
    """Whether the engine may be asked."""
    try:
        may = case.person.may(socket, WRITE)
    except FileNotFoundError:
        todo = "start the engine, or correct DOCKER_HOST"
        return Said("restarter.allowed", Verdict.WRONG, f"there is no socket {socket}", todo)
    if may:
        return Said("restarter.allowed", Verdict.OK, f"{case.person.name} may use {socket}")
    todo = f"sudo usermod -aG docker {case.person.name}, then restart the daemon"
    return Said("restarter.allowed", Verdict.WRONG, f"{case.person.name} may not use {socket}", todo)


async def _command(case: Case, wanted: RestartGateway) -> Iterable[Said]:
    return await in_thread(lambda: tuple(judge_command(case, wanted.argv[0])))


def judge_command(case: Case, program: str) -> Iterator[Said]:
    """Whether the program is there, and may be run."""
    found = shutil.which(program, mode=os.F_OK)
    if found is None:
        yield Said("restarter.target", Verdict.WRONG, f"there is no program {program}", f"correct {ARGV}: a whole path")
        return
    yield Said("restarter.target", Verdict.OK, found)
    if PurePath(program).name in ("sudo", "su", "doas") and case.service.get("NoNewPrivileges") == "yes":
        text = f"{program} cannot work in the unit (NoNewPrivileges)"
        yield Said("restarter.allowed", Verdict.WRONG, text, "take by: systemd, or install.sh --allow-command")
    elif case.person.may(Path(found), SEARCH):
        yield Said("restarter.allowed", Verdict.OK, f"{case.person.name} may run {found}")
    else:
        todo = f"chmod a+x {found}, and let {case.person.name} into its folders"
        yield Said("restarter.allowed", Verdict.WRONG, f"{case.person.name} may not run {found}", todo)


async def _kubelet(case: Case, wanted: RestartGateway) -> Iterable[Said]:
    assert wanted.file is not None  # the configuration does not let it through without
    return (await in_thread(judge_folder, case, wanted.file.parent),)


def judge_folder(case: Case, folder: Path) -> Said:
    """Whether the file that the kubelet's probe looks for can be made."""
    try:
        may = case.person.may(folder, WRITE | SEARCH) and writable_by_unit(case.service, folder)
    except FileNotFoundError:
        return Said("restarter.target", Verdict.WRONG, f"there is no folder {folder}", f"mount it, or correct {FILE}")
    if may:
        return Said("restarter.target", Verdict.OK, f"{case.person.name} may write in {folder}")
    text = f"{case.person.name} may not write in {folder}"
    return Said("restarter.target", Verdict.WRONG, text, f"make it writable, or correct {FILE}")


LOOKS = (Look("restarter.configured", restarter),)
