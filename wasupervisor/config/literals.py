"""Which secrets stand in the file itself, and what the unit that reads it gets from its environment file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from wasupervisor.config.document import parse, read_text
from wasupervisor.config.places import OF_UNITS, Places

SECRETS = ("gateway.api_key", "gateway.metrics_auth", "redis.url", "alerts.to", "dead_man")
"""Every key that may hold one; those of a list's items without their number. A test compares it with the schema."""

_NULL = ("", "null", "Null", "NULL", "~")


def literal_secrets(file: Path) -> tuple[str, ...]:
    """The keys whose secret is written out in the file, where a `${NAME}` could stand.

    Raises:
        ConfigError: the file cannot be read, or is no YAML.
    """
    document = parse(read_text(file), str(file))
    texts = () if document is None else _texts(document, "")
    return tuple(dict.fromkeys(key for key, text in texts if key in SECRETS and _is_literal(key, text)))


def _texts(node: yaml.Node, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _texts(value, f"{path}.{key.value}".lstrip("."))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _texts(item, path)
    else:
        yield path, str(node.value)


def _is_literal(key: str, text: str) -> bool:
    """An address alone is no secret: in that of a Redis only a password is, in others the path may be a token."""
    if text in _NULL or "${" in text:
        return False
    _scheme, separator, rest = text.partition("://")
    has_token = key != "redis.url" and bool(rest.partition("/")[2].strip("/"))
    return not separator or "@" in rest or has_token


def unit_of(file: Path) -> str | None:
    """The unit that reads this configuration; None: none of ours does."""
    if Places.of_unit(file) is None:
        return None
    return "wasupervisor.service" if file.stem == "config" else f"wasupervisor@{file.stem}.service"


def environment_file(file: Path) -> Path | None:
    """Where the unit that reads this configuration gets its variables from."""
    if Places.of_unit(file) is None:
        return None
    return OF_UNITS / ("environment" if file.stem == "config" else f"{file.stem}.environment")


def read_environment(text: str) -> dict[str, str]:
    """Variables as systemd reads them (systemd.exec(5), EnvironmentFile), but for lines that a backslash continues."""
    variables = {}
    for line in map(str.strip, text.splitlines()):
        name, separator, value = line.partition("=")
        if separator and line[0] not in "#;":
            variables[name.strip()] = _unquoted(value.strip())
    return variables


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
