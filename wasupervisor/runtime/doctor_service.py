"""The doctor's looks at the unit and at the daemon that runs in it. systemd is asked, and never ordered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from wasupervisor import __version__
from wasupervisor.host import systemctl
from wasupervisor.host.restart_systemd import seconds_of
from wasupervisor.host.rights import Person, ourselves, person
from wasupervisor.runtime.doctor import Daemon, Said, Verdict

PROPERTIES = (
    *("LoadState", "ActiveState", "UnitFileState", "Result", "ExecMainStatus", "NeedDaemonReload", "MainPID"),
    *("User", "Group", "SupplementaryGroups", "AmbientCapabilities", "NoNewPrivileges", "ProtectSystem"),
    *("ReadWritePaths", "StateDirectory", "RuntimeDirectory", "WatchdogUSec", "MemoryMax"),
)

SOCKET, OWNER_OF_SOCKET = "wasupervisor.socket", "wasupervisor.service"
NEEDS = 64 << 20
"""Bytes: it needs 45 MB with a Redis (wasupervisor.service)."""

PAGE = "docs/install.md"
# systemd.exec(5), process exit codes; 2 is our own: the configuration or its surroundings are wrong.
_STATUS = {
    "2": "the configuration is wrong, or what it names: the journal says what",
    "203": "the program is gone, or its Python was replaced: install it again",
    "217": "its user is gone: install it again",
}


class Unit(NamedTuple):
    """The unit that reads the configuration."""

    name: str | None
    """None: none of ours reads it."""
    told: dict[str, str]
    """Empty: systemd does not answer, or was not asked."""
    socket: dict[str, str]

    @property
    def is_loaded(self) -> bool:
        """Whether systemd knows it."""
        return self.told.get("LoadState") == "loaded"


async def ask_unit(name: str | None) -> Unit:
    """What systemd says of it. Never raises."""
    if name is None:
        return Unit(None, {}, {})
    told = await systemctl.show(name, *PROPERTIES) or {}
    has_socket = bool(told) and name == OWNER_OF_SOCKET
    of_socket = await systemctl.show(SOCKET, "LoadState", "ActiveState", "Result") if has_socket else None
    return Unit(name, told, of_socket or {})


def who_runs(unit: Unit) -> Person:
    """The user of the unit, else we.

    Raises:
        KeyError: this host knows no such user or group.
    """
    if not unit.is_loaded:
        return ourselves()
    groups = [unit.told.get("Group", ""), *unit.told.get("SupplementaryGroups", "").split()]
    return person(unit.told.get("User") or "root", filter(None, groups))


def judge_unit(unit: Unit, config: Path, daemon: Daemon) -> tuple[Said, ...]:
    """What is to be said of the unit and of the daemon."""
    if unit.name is None:
        text = f"no unit of ours reads {config}; these read /etc/wasupervisor"
        return (Said("service.installed", Verdict.UNKNOWN, text), _daemon(daemon, is_expected=False))
    if not unit.told:
        text = "systemd does not answer here"
        return (Said("service.installed", Verdict.UNKNOWN, text), _daemon(daemon, is_expected=False))
    if not unit.is_loaded:
        text = f"systemd has no usable {unit.name} ({unit.told.get('LoadState', 'not told')})"
        return (
            Said("service.installed", Verdict.WARNING, text, f"install it ({PAGE})"),
            _daemon(daemon, is_expected=False),
        )
    return (
        _installed(unit.name, unit.told),
        _active(unit.name, unit.told),
        _boot(unit.name, unit.told, unit.socket),
        _daemon(daemon, is_expected=unit.told.get("ActiveState") == "active"),
        _watchdog(unit.told),
        _memory(unit.told),
        *_socket(unit.socket),
    )


def _installed(name: str, told: Mapping[str, str]) -> Said:
    if told.get("NeedDaemonReload") == "yes":
        text = f"{name} was changed, and systemd goes by what it was"
        return Said("service.installed", Verdict.WARNING, text, "sudo systemctl daemon-reload")
    return Said("service.installed", Verdict.OK, name)


def _active(name: str, told: Mapping[str, str]) -> Said:
    state = told.get("ActiveState", "not told")
    if state in ("active", "reloading"):
        return Said("service.active", Verdict.OK, f"{name} is {state}")
    if state in ("activating", "deactivating"):
        return Said("service.active", Verdict.WARNING, f"{name} is {state}", f"journalctl -u {name} -n 20 says why")
    status, result = told.get("ExecMainStatus", "0"), told.get("Result", "")
    if state == "failed":
        todo = _STATUS.get(status, f"journalctl -u {name} -n 20 says why ({PAGE})")
        return Said("service.active", Verdict.WRONG, f"{name} failed ({result}, status {status})", todo)
    return Said("service.active", Verdict.WRONG, f"{name} is {state}", f"sudo systemctl start {name}")


def _boot(name: str, told: Mapping[str, str], socket: Mapping[str, str]) -> Said:
    state = told.get("UnitFileState", "")
    if state == "disabled" and socket.get("ActiveState") != "active":
        return Said("service.boot", Verdict.WARNING, f"{name} is disabled", f"sudo systemctl enable {name}")
    if state == "masked":
        return Said("service.boot", Verdict.WRONG, f"{name} is masked", f"sudo systemctl unmask {name}")
    return Said("service.boot", Verdict.OK, f"{name} is {state or 'not told'}")


def _daemon(daemon: Daemon, *, is_expected: bool) -> Said:
    if daemon.document is not None:
        version = daemon.document.get("version")
        if version == __version__:
            return Said("service.daemon", Verdict.OK, f"it answers, version {version}")
        text = f"it runs version {version}, and {__version__} is installed"
        return Said("service.daemon", Verdict.WARNING, text, "sudo systemctl restart wasupervisor")
    if daemon.is_silent:
        todo = "journalctl -u wasupervisor -n 20 says with what it stands still; sudo systemctl restart wasupervisor"
        return Said("service.daemon", Verdict.WRONG, daemon.trouble, todo)
    if is_expected and daemon.is_absent:
        todo = f"look at control.socket and at the journal; a change of it wants a restart ({PAGE})"
        return Said("service.daemon", Verdict.WRONG, f"the unit is active, and {daemon.trouble}", todo)
    todo = "" if daemon.is_absent else "sudo usermod -aG wasupervisor NAME, and log in anew; or run this as root"
    return Said("service.daemon", Verdict.UNKNOWN, daemon.trouble, todo)


def _watchdog(told: Mapping[str, str]) -> Said:
    every = told.get("WatchdogUSec", "")
    if every in ("", "0", "infinity"):
        todo = "take WatchdogSec=90 from the shipped unit, and Type=notify"
        return Said("service.watchdog", Verdict.WARNING, "there is none", todo)
    if seconds_of(every) < 1.0:
        return Said("service.watchdog", Verdict.WARNING, f"it bites after {every}", "take WatchdogSec=90")
    return Said("service.watchdog", Verdict.OK, f"it bites after {every}")


def _memory(told: Mapping[str, str]) -> Said:
    most = told.get("MemoryMax", "")
    if not most.isdecimal() or int(most) >= 1 << 63:
        return Said("service.memory", Verdict.OK, "there is none", "take MemoryMax=256M from the shipped unit")
    text = f"{int(most) >> 20} MB"
    if int(most) < NEEDS:
        return Said("service.memory", Verdict.WARNING, f"{text} are less than it needs", "take MemoryMax=256M")
    return Said("service.memory", Verdict.OK, text)


def _socket(told: Mapping[str, str]) -> Iterator[Said]:
    if told.get("LoadState") != "loaded":
        return
    if told.get("ActiveState") == "failed":
        result = told.get("Result", "")
        limit = ": probes started the daemon ten times in vain" if result == "trigger-limit-hit" else ""
        todo = f"correct what keeps the daemon from starting, start it, then the socket ({PAGE})"
        yield Said("service.socket", Verdict.WRONG, f"{SOCKET} failed ({result}){limit}", todo)
    else:
        yield Said("service.socket", Verdict.OK, f"{SOCKET} is {told.get('ActiveState', 'not told')}")


def writable_by_unit(told: Mapping[str, str], folder: Path) -> bool:
    """Whether the unit's own walls let it write there (systemd.exec(5), ProtectSystem=strict)."""
    if told.get("ProtectSystem") != "strict":
        return True
    named = (Path(one.lstrip("-+")) for one in told.get("ReadWritePaths", "").split())
    return any(folder.is_relative_to(one) for one in (*_made_by_unit(told), *named))


def made_by_unit(told: Mapping[str, str], folder: Path) -> bool:
    """Whether systemd makes it when the unit starts."""
    return folder in _made_by_unit(told)


def _made_by_unit(told: Mapping[str, str]) -> tuple[Path, ...]:
    places = ((Path("/var/lib"), "StateDirectory"), (Path("/run"), "RuntimeDirectory"))
    return tuple(above / one for above, key in places for one in told.get(key, "").split())
