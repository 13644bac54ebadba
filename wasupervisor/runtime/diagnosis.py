"""`wasupervisor doctor` without the terminal: the case is taken down, and everything is looked at side by side."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import anyio
from msgspec.structs import replace

from wasupervisor.config.literals import environment_file, literal_secrets, read_environment, unit_of
from wasupervisor.config.loading import Loaded, read, resolve_secrets, secret_path
from wasupervisor.config.problems import ConfigError, Problem
from wasupervisor.config.schema import Settings
from wasupervisor.host.rights import Person, ourselves
from wasupervisor.runtime import doctor_gateway, doctor_host, doctor_restarter
from wasupervisor.runtime.doctor import Case, Daemon, Finding, Look, Said, Verdict, examine, in_thread
from wasupervisor.runtime.doctor_host import judge_alerts, judge_file, judge_secret_file, judge_secrets, judge_sections
from wasupervisor.runtime.doctor_service import Unit, ask_unit, judge_unit, who_runs

AskDaemon = Callable[[Path], Daemon]
"""Asks the daemon at this control socket for its health document; may block."""

ANSWERS_WITHIN = 3.0
"""Seconds for the daemon, which answers from what it knows already."""
_SILENT = f"it does not answer within {ANSWERS_WITHIN:g} s"

LOOKS = (*doctor_gateway.LOOKS, *doctor_restarter.LOOKS, *doctor_host.LOOKS)


class Diagnosis(NamedTuple):
    """Everything that was found."""

    findings: tuple[Finding, ...]
    asked_daemon: bool
    """Whether a running daemon told part of it."""
    looked_as: str
    """The user that looked."""
    runs_as: str
    """The user that the daemon runs as."""


class Secrets(NamedTuple):
    """The settings with what could be had."""

    settings: Settings
    problems: tuple[Problem, ...]
    missing: frozenset[str]
    """Sections that cannot be used without."""


async def diagnose(file: Path, environ: Mapping[str, str], ask_daemon: AskDaemon) -> Diagnosis:
    """Look at everything around the daemon of a configuration; nothing is changed. Takes ten seconds at the most.

    Raises:
        ConfigError: the file is not valid, or may not be read.
    """
    environ = {**environ, **_of_unit(file)}
    loaded = read(file, environ)
    secrets = resolve(loaded, environ)
    unit, daemon = Unit(unit_of(file), {}, {}), Daemon(trouble=_SILENT, is_silent=True)

    async def ask_systemd() -> None:
        nonlocal unit
        unit = await ask_unit(unit.name)

    async def ask() -> None:
        nonlocal daemon
        with anyio.move_on_after(ANSWERS_WITHIN):
            daemon = await in_thread(ask_daemon, secrets.settings.control.socket)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask_systemd)
        tasks.start_soon(ask)
    person, of_person = _person(unit)
    case = Case(secrets.settings, secrets.missing, person, unit.told if unit.is_loaded else {}, daemon)
    looks = (*_known(loaded, secrets, environ), _told("service.installed", judge_unit(unit, file, daemon)), *LOOKS)
    findings = await examine((*looks, _told("service.installed", of_person)), case)
    return Diagnosis(findings, daemon.document is not None, ourselves().name, person.name)


def resolve(loaded: Loaded, environ: Mapping[str, str]) -> Secrets:
    """The secrets that are there; what is missing leaves its section unused."""
    try:
        return Secrets(resolve_secrets(loaded, environ), (), frozenset())
    except ConfigError as error:
        missing = frozenset(one.path.partition(".")[0] for one in error.problems)
        settings = loaded.settings
        if "gateway" in missing:
            settings = replace(settings, gateway=replace(settings.gateway, api_key_file=None))
        settings = replace(settings, control=replace(settings.control, token_file=None))
        rest = resolve_secrets(loaded._replace(settings=settings, missing_secrets=()), environ)
        return Secrets(rest, error.problems, missing)


def _of_unit(file: Path) -> dict[str, str]:
    """The variables of the unit, where we may read them."""
    place = environment_file(file)
    try:
        return {} if place is None else read_environment(place.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return {}


def _person(unit: Unit) -> tuple[Person, tuple[Said, ...]]:
    try:
        return who_runs(unit), ()
    except KeyError as error:
        text = f"{unit.name} runs as a user or group that this host does not know ({error.args[0]})"
        return ourselves(), (Said("service.installed", Verdict.WRONG, text, "install it again (docs/install.md)"),)


def _known(loaded: Loaded, secrets: Secrets, environ: Mapping[str, str]) -> Iterable[Look]:
    """What the configuration itself tells."""
    settings, file = secrets.settings, loaded.file

    async def look_at_file(_case: Case) -> Iterable[Said]:
        return (await in_thread(lambda: judge_file(file, literal_secrets(file))),)

    async def look_at_secrets(_case: Case) -> Iterable[Said]:
        is_all_known = os.geteuid() == 0 and unit_of(file) is not None
        names = filter(None, (settings.gateway.api_key_file, settings.control.token_file))
        files = [*(secret_path(one, file, environ) for one in names), *filter(None, (environment_file(file),))]
        opened = await in_thread(lambda: [said for one in files for said in judge_secret_file(one)])
        return (*judge_secrets(secrets.problems, is_all_known=is_all_known), *opened)

    return (
        Look("configuration.file", look_at_file),
        Look("configuration.secrets", look_at_secrets),
        _told("configuration.sections", tuple(judge_sections(settings))),
        _told("alerts.told", tuple(judge_alerts(settings))),
    )


def _told(code: str, said: Sequence[Said]) -> Look:
    """What is known already."""

    async def ask(_case: Case) -> Iterable[Said]:
        return said

    return Look(code, ask)
