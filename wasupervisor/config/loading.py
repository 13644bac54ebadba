"""The configuration from a file, or from the command line for a first look.

read             the file alone: no other I/O. Unset variables are told, and are no error
resolve_secrets  the files that hold secrets; from here on an unset variable is an error
load             both, for the daemon's start and its reload
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml

from wasupervisor.config.document import parse, read_text
from wasupervisor.config.places import Places
from wasupervisor.config.problems import ConfigError, Problem
from wasupervisor.config.reading import Reading
from wasupervisor.config.rules import RefusedError, Scalar
from wasupervisor.config.schema import RedisTls, Settings
from wasupervisor.config.secret import Secret
from wasupervisor.config.texts import SecretText

DEFAULT_FILE = Path("/etc/wasupervisor/config.yaml")
_LARGEST_SECRET = 16 * 1024
_OPTIONS = {"gateway.kind": "--gateway", "gateway.url": "--url", "gateway.api_key": "--api-key-env"}


class Loaded(NamedTuple):
    """A file that is valid by itself."""

    settings: Settings
    """Secrets from files are not in it yet, and those from unset variables stand as they were written."""
    missing_secrets: tuple[Problem, ...]
    """Of variables that are not set: a warning for `config validate`, an error for `run`."""
    file: Path
    key_file_at: tuple[int, int] | None
    """Line and column of gateway.api_key_file."""


def read(file: Path, environ: Mapping[str, str], places: Places | None = None) -> Loaded:
    """Read and validate a file.

    Raises:
        ConfigError: with everything that is wrong in it.
    """
    reading = Reading(str(file), environ, places or places_of(environ))
    settings = reading.settings(parse(read_text(file), str(file)))
    if settings is None:
        raise ConfigError(tuple(reading.problems))
    at = reading.marks.get("gateway.api_key_file")
    mark = None if at is None else (at.start_mark.line + 1, at.start_mark.column + 1)
    return Loaded(settings, tuple(reading.missing), file, mark)


def resolve_secrets(loaded: Loaded, environ: Mapping[str, str]) -> Settings:
    """The settings with the secrets that lie in files: `gateway.api_key` is then set, wherever it came from.

    The files of `redis.tls` are not read, but their names are then whole.

    Raises:
        ConfigError: a variable is not set, or a file cannot be read or holds no key.
    """
    problems = list(loaded.missing_secrets)
    settings = loaded.settings
    name = settings.gateway.api_key_file
    if name is not None:
        path = secret_path(name, loaded.file, environ)
        try:
            key = _secret_of(path)
        except RefusedError as refusal:
            line, column = loaded.key_file_at or (None, None)
            problems.append(Problem(str(loaded.file), line, column, "gateway.api_key_file", f"cannot {refusal}"))
        else:
            gateway = msgspec.structs.replace(settings.gateway, api_key=key)
            settings = msgspec.structs.replace(settings, gateway=gateway)
    if problems:
        raise ConfigError(tuple(problems))
    if settings.redis is not None:
        redis = msgspec.structs.replace(settings.redis, tls=_whole_names(settings.redis.tls, loaded.file, environ))
        settings = msgspec.structs.replace(settings, redis=redis)
    return settings


def _whole_names(tls: RedisTls, config: Path, environ: Mapping[str, str]) -> RedisTls:
    names = {field: getattr(tls, field) for field in tls.__struct_fields__}
    return RedisTls(**{field: name and secret_path(name, config, environ) for field, name in names.items()})


def load(file: Path, environ: Mapping[str, str], places: Places | None = None) -> Settings:
    """Everything that the daemon needs, or nothing.

    Raises:
        ConfigError: with everything that is wrong.
    """
    return resolve_secrets(read(file, environ, places), environ)


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


def places_of(environ: Mapping[str, str]) -> Places:
    """The default folders of this process."""
    return Places.of(environ, os.geteuid(), Path(environ.get("HOME") or "/"))


def secret_path(name: Path, config: Path, environ: Mapping[str, str]) -> Path:
    """Where a file with a secret lies.

    A relative name is one of systemd's credentials where the unit has any (systemd.exec(5), LoadCredential), else it
    stands beside the configuration.
    """
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    return (Path(credentials) if credentials else config.parent) / name


def _secret_of(path: Path) -> Secret:
    """The key in a file, without the line break at its end.

    Raises:
        RefusedError: it cannot be read, or holds none.
    """
    try:
        # A FIFO would be waited for, and a device might never end.
        if not stat.S_ISREG(path.stat().st_mode):
            raise RefusedError(f"be read: {path} is no regular file")
        with path.open("rb") as file:
            text = file.read(_LARGEST_SECRET).decode().strip()
    except UnicodeDecodeError:
        raise RefusedError(f"be read: {path} holds no text") from None
    except (OSError, ValueError) as error:
        raise RefusedError(f"be read: {path}: {getattr(error, 'strerror', None) or 'malformed name'}") from None
    if not text:
        raise RefusedError(f"be used: {path} is empty; write the key into it")
    return SecretText().read(Scalar(text, "str"))


def _mapping(**values: yaml.Node) -> yaml.MappingNode:
    return yaml.MappingNode("tag:yaml.org,2002:map", [(_text(key), value) for key, value in values.items()])


def _text(text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text)
