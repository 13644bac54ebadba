"""The configuration from a file, or from the command line for a first look.

read             the file alone: no other I/O. Unset variables are told, and are no error
resolve_secrets  the files that hold secrets; from here on an unset variable is an error
load             both, for the daemon's start and its reload
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from wasupervisor.config.document import parse, read_text
from wasupervisor.config.places import Places
from wasupervisor.config.problems import ConfigError, Problem
from wasupervisor.config.reading import Reading
from wasupervisor.config.rules import RefusedError
from wasupervisor.config.schema import RedisTls, Settings
from wasupervisor.config.secret import Secret
from wasupervisor.config.secret_files import AbsentError, read_key, read_token

DEFAULT_FILE = Path("/etc/wasupervisor/config.yaml")
CREDENTIAL_STORE = Path("/etc/credstore")
"""Where an administrator puts what systemd hands to units: for root alone."""
_SECRET_FILES = ("gateway.api_key_file", "control.token_file")
_OPTIONS = {"gateway.kind": "--gateway", "gateway.url": "--url", "gateway.api_key": "--api-key-env"}


class Loaded(NamedTuple):
    """A file that is valid by itself."""

    settings: Settings
    """Secrets from files are not in it yet, and those from unset variables stand as they were written."""
    missing_secrets: tuple[Problem, ...]
    """Of variables that are not set: a warning for `config validate`, an error for `run`."""
    file: Path
    at: Mapping[str, tuple[int, int]]
    """Line and column of the keys that name a file with a secret."""


def read(file: Path, environ: Mapping[str, str], places: Places | None = None) -> Loaded:
    """Read and validate a file.

    Raises:
        ConfigError: with everything that is wrong in it.
    """
    reading = Reading(str(file), environ, places or places_of(environ, file))
    settings = reading.settings(parse(read_text(file), str(file)))
    if settings is None:
        raise ConfigError(tuple(reading.problems))
    marks = {path: reading.marks[path].start_mark for path in _SECRET_FILES if path in reading.marks}
    at = {path: (mark.line + 1, mark.column + 1) for path, mark in marks.items()}
    return Loaded(settings, tuple(reading.missing), file, at)


def resolve_secrets(loaded: Loaded, environ: Mapping[str, str], *, token: bool = True) -> Settings:
    """The settings with the secrets that lie in files: `gateway.api_key` is then set, wherever it came from.

    The files of `redis.tls` are not read, but their names are then whole. `token`: with `control.token`, which only
    the daemon itself needs.

    Raises:
        ConfigError: a variable is not set, or a file cannot be read or holds no key.
    """
    problems = [problem._replace(absent=True) for problem in loaded.missing_secrets]
    settings = loaded.settings

    def secret_in(name: Path | None, key: str, read_file: Callable[[Path], Secret]) -> Secret | None:
        if name is None:
            return None
        try:
            return read_file(secret_path(name, loaded.file, environ))
        except RefusedError as refusal:
            line, column = loaded.at.get(key, (None, None))
            absent = isinstance(refusal, AbsentError)
            problems.append(Problem(str(loaded.file), line, column, key, f"cannot {refusal}", absent))
            return None

    if (api_key := secret_in(settings.gateway.api_key_file, "gateway.api_key_file", read_key)) is not None:
        gateway = msgspec.structs.replace(settings.gateway, api_key=api_key)
        settings = msgspec.structs.replace(settings, gateway=gateway)
    if token:
        found = secret_in(settings.control.token_file, "control.token_file", read_token)
        settings = msgspec.structs.replace(settings, control=msgspec.structs.replace(settings.control, token=found))
    if problems:
        raise ConfigError(tuple(problems))
    if settings.redis is not None:
        redis = msgspec.structs.replace(settings.redis, tls=_whole_names(settings.redis.tls, loaded.file, environ))
        settings = msgspec.structs.replace(settings, redis=redis)
    return settings


def _whole_names(tls: RedisTls, config: Path, environ: Mapping[str, str]) -> RedisTls:
    names = {field: getattr(tls, field) for field in tls.__struct_fields__}
    return RedisTls(**{field: name and secret_path(name, config, environ) for field, name in names.items()})


def load(file: Path, environ: Mapping[str, str], places: Places | None = None, *, token: bool = True) -> Settings:
    """Everything that the daemon needs, or nothing. `token`: as of `resolve_secrets`.

    Raises:
        ConfigError: with everything that is wrong.
    """
    return resolve_secrets(read(file, environ, places), environ, token=token)


def from_arguments(
    kind: str, url: str, api_key_env: str | None, environ: Mapping[str, str], places: Places | None = None
) -> Settings:
    """Settings without any file: defaults, and what the command line names.

    Raises:
        ConfigError: naming the option.
    """
    gateway = {"kind": kind, "url": url}
    if api_key_env is not None:
        gateway["api_key"] = f"${{{api_key_env}}}"
    reading = Reading("", environ, places or places_of(environ))
    settings = reading.settings(_mapping(gateway=_mapping(**{key: _text(value) for key, value in gateway.items()})))
    problems = reading.problems + reading.missing
    if settings is None or problems:
        named = (problem._replace(path=_OPTIONS.get(problem.path, problem.path)) for problem in problems)
        raise ConfigError(tuple(named))
    return settings


def places_of(environ: Mapping[str, str], file: Path | None = None) -> Places:
    """The default folders of this process, or of the unit that reads this configuration."""
    return Places.of(environ, os.geteuid(), Path(environ.get("HOME") or "/"), file)


def secret_path(name: Path, config: Path, environ: Mapping[str, str]) -> Path:
    """Where a file with a secret lies.

    A relative name is one of systemd's credentials where the unit was given it (systemd.exec(5), LoadCredential), else
    it stands beside the configuration. Who asks without the unit finds it where systemd takes it from.
    """
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    folders = (Path(credentials) if credentials else config.parent, config.parent, CREDENTIAL_STORE)
    # Path.exists raises where a folder may not be looked into.
    return next((folder / name for folder in folders if os.path.exists(folder / name)), folders[0] / name)  # noqa: PTH110


def _mapping(**values: yaml.Node) -> yaml.MappingNode:
    return yaml.MappingNode("tag:yaml.org,2002:map", [(_text(key), value) for key, value in values.items()])


def _text(text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text)
