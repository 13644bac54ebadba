"""The sample, `show` and the JSON Schema, all from the one table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from wasupervisor.config.fields import Section, fields_of
from wasupervisor.config.jsonschema import json_schema
from wasupervisor.config.loading import Loaded
from wasupervisor.config.rendering import plain, sample, show
from wasupervisor.config.schema import Gateway, Settings
from wasupervisor.config.secret import Secret

ROOT = Path(__file__).parents[3]
Load = Callable[..., Loaded]
EXAMPLE = re.compile(r"^( {0,4})# ((?: *- | *)[a-z_]+:.*)$")


def _everything_on() -> str:
    """The sample with all its examples, as if the '#' before them was deleted."""
    lines = (EXAMPLE.sub(r"\1\2", line) for line in sample().splitlines())
    return "\n".join(lines).replace("kind: waha", "kind: evolution")


def test_the_example_beside_the_readme_is_the_sample() -> None:
    assert (ROOT / "config.example.yaml").read_text() == sample()


def test_the_sample_is_valid_and_holds_the_defaults(load_text: Load) -> None:
    settings = load_text(sample(), {"WAHA_API_KEY": "k"}).settings
    assert settings == Settings(gateway=Gateway(kind="waha", url="http://127.0.0.1:3000", api_key=Secret("k")))


def test_the_examples_of_the_sample_are_valid_too(load_text: Load) -> None:
    settings = load_text(_everything_on(), {"WAHA_API_KEY": "k"}).settings
    for section in (settings.redis, settings.vault, settings.queue, settings.process.memory, settings.process.cpu):
        assert section is not None
    assert settings.sessions.probe is not None
    assert settings.recovery.maintenance is not None
    assert len(settings.alerts) == 1


def _keys(cls: type[Section]) -> list[str]:
    keys = []
    for field in fields_of(cls):
        keys.append(field.key)
        item = field.rule if isinstance(field.rule, type) else getattr(field.rule, "item", None)
        if isinstance(item, type):
            keys += _keys(item)
    return keys


def test_the_sample_has_every_key_with_its_comment() -> None:
    lines = [line for line in sample().splitlines() if re.match(r"^[ #-]*[a-z_]+:", line)]
    assert [re.sub(r"^[ #-]*", "", line).partition(":")[0] for line in lines] == _keys(Settings)
    for line in lines:
        assert "  # " in line, line


def test_no_line_of_the_sample_is_too_wide_or_ends_in_blanks() -> None:
    for line in sample().splitlines():
        assert len(line) <= 120
        assert line == line.rstrip()


@pytest.mark.parametrize("text", [sample().replace("  api_key:", "  # api_key:"), None])
def test_what_show_prints_is_the_same_configuration(load_text: Load, text: str | None) -> None:
    settings = load_text(text or _everything_on(), {"WAHA_API_KEY": "***"}).settings
    again = load_text(show(settings)).settings
    assert plain(again) == plain(settings)
    if text is not None:
        assert again == settings


def test_show_writes_values_as_people_do(load_section: Load) -> None:
    text = show(load_section("recovery: {stable_for: 90s, incident: {share: 5%}}\nredis: {url: 'redis://h'}").settings)
    for line in (
        "stable_for: 90s",
        "share: 5%",
        "max: 200MB",
        "keep: 90d",
        "listen: 127.0.0.1:8090",
        "ready_when: any",
    ):
        assert f" {line}\n" in text


def _complaints(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """As much of JSON Schema as ours needs."""
    if "anyOf" in schema:
        fits = any(not _complaints(value, arm, path) for arm in schema["anyOf"])
        return [] if fits else [f"{path}: fits nothing of anyOf"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{path}: not in enum")
    if "const" in schema and value != schema["const"]:
        found.append(f"{path}: not the constant")
    if "type" in schema and not _is_a(value, schema["type"]):
        return [f"{path}: not of type {schema['type']}"]
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{path}: does not match {schema['pattern']}")
    if isinstance(value, (int, float)) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{path}: out of range")
    return found + _complaints_inside(value, schema, path)


def _complaints_inside(value: Any, schema: dict[str, Any], path: str) -> list[str]:
    found = []
    if isinstance(value, list):
        found += [line for i, item in enumerate(value) for line in _complaints(item, schema["items"], f"{path}[{i}]")]
        if len(value) < schema.get("minItems", 0):
            found.append(f"{path}: too few")
    if isinstance(value, dict):
        found += [f"{path}.{key}: needed" for key in schema.get("required", []) if key not in value]
        for key, item in value.items():
            known = schema["properties"].get(key)
            found += [f"{path}.{key}: unknown"] if known is None else _complaints(item, known, f"{path}.{key}")
    return found


def _is_a(value: Any, types: str | list[str]) -> bool:
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
        "null": (type(None),),
        "array": (list,),
        "object": (dict,),
    }
    names = [types] if isinstance(types, str) else types
    return any(isinstance(value, kinds[name]) and (name == "boolean") == isinstance(value, bool) for name in names)


class Yaml12(yaml.SafeLoader):
    """Reads as editors do: only true and false are booleans."""


Yaml12.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def test_an_editor_with_the_json_schema_takes_the_sample_and_its_examples() -> None:
    for text in (sample(), _everything_on()):
        assert _complaints(yaml.load(text, Loader=Yaml12), json_schema()) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("poll_evry: 5s", ".gateway.poll_evry: unknown"),
        ("poll_every: 5", ".gateway.poll_every: not of type string"),
        ("poll_every: 5x", ".gateway.poll_every: does not match"),
        ("kind: wah", ".gateway.kind: not in enum"),
    ],
)
def test_an_editor_with_the_json_schema_underlines_mistakes(text: str, complaint: str) -> None:
    document = yaml.safe_load("gateway: {kind: waha, url: 'http://h'}")
    document["gateway"].update(yaml.safe_load(text))
    (found,) = _complaints(document, json_schema())
    assert found.startswith(complaint)


def test_the_json_schema_is_closed_and_described_throughout() -> None:
    def walk(schema: dict[str, Any]) -> None:
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False
            for name, child in schema["properties"].items():
                assert child["description"], name
                walk(child)
        for arm in schema.get("anyOf", []):
            walk(arm)
        if "items" in schema:
            walk(schema["items"])

    schema = json_schema()
    walk(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["gateway"]
    assert json.loads(json.dumps(schema)) == schema
