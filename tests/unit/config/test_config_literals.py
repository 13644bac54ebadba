"""Secrets that stand in the file itself, and the environment file of a unit."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from wasupervisor.config.fields import FilledIn, ListOf
from wasupervisor.config.literals import SECRETS, environment_file, literal_secrets, read_environment, unit_of
from wasupervisor.config.schema import Settings
from wasupervisor.config.secret import Secret


def secret_keys(section: type[msgspec.Struct], path: str = "") -> Iterator[str]:
    """Every key of the schema that holds one, the token that is filled in from its file left out."""
    for name, hint in get_type_hints(section, include_extras=True).items():
        base, *marks = get_args(hint)
        items = [mark.item for mark in marks if isinstance(mark, ListOf)]
        for one in (*_parts(base), *items):
            if one is Secret and not any(isinstance(mark, FilledIn) for mark in marks):
                yield f"{path}{name}"
            elif isinstance(one, type) and issubclass(one, msgspec.Struct):
                yield from secret_keys(one, f"{path}{name}.")


def _parts(base: Any) -> tuple[Any, ...]:
    return get_args(base) if get_origin(base) is types.UnionType else (base,)


def test_the_table_holds_every_secret_of_the_schema() -> None:
    assert set(secret_keys(Settings)) == set(SECRETS)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("gateway: {api_key: s3cr3t}", ["gateway.api_key"]),
        ("gateway: {api_key: '${KEY}', metrics_auth: 'u:p'}", ["gateway.metrics_auth"]),
        ("gateway: {api_key: null}\nredis: {url: 'redis://h:1/6'}", []),
        ("gateway: {api_key: }\nredis: {url: 'redis://:pw@h:1/6'}", ["redis.url"]),
        ("redis: {url: '${REDIS_URL}'}", []),
        ("alerts: [{to: 'https://h/T0/B0'}, {to: 'https://h/'}]", ["alerts.to"]),
        ("alerts: [{to: 'https://h/'}]\ndead_man: https://hc-ping.com/UUID", ["dead_man"]),
        ("uplink: null", []),
        ("", []),
    ],
)
def test_what_stands_in_the_file_is_named_and_what_comes_from_elsewhere_is_not(
    tmp_path: Path, text: str, keys: list[str]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert list(literal_secrets(file)) == keys


def test_the_units_and_their_environment_files() -> None:
    assert unit_of(Path("/etc/wasupervisor/config.yaml")) == "wasupervisor.service"
    assert unit_of(Path("/etc/wasupervisor/b.yaml")) == "wasupervisor@b.service"
    assert unit_of(Path("/home/op/config.yaml")) is None
    assert environment_file(Path("/etc/wasupervisor/config.yaml")) == Path("/etc/wasupervisor/environment")
    assert environment_file(Path("/etc/wasupervisor/b.yaml")) == Path("/etc/wasupervisor/b.environment")
    assert environment_file(Path("/home/op/config.yaml")) is None


def test_an_environment_file_is_read_as_systemd_reads_it() -> None:
    text = "# a comment\n; another\n\nA=1\nB=\"two words\"\n C='3' \nnonsense\nD=a=b\n"
    assert read_environment(text) == {"A": "1", "B": "two words", "C": "3", "D": "a=b"}
