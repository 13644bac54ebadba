"""The configuration as JSON Schema (draft 2020-12), for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from wasupervisor.config.fields import Field, ListOf, Section, fields_of
from wasupervisor.config.rendering import comment_of, plain_value
from wasupervisor.config.rules import Choice, Rule
from wasupervisor.config.schema import Settings


def json_schema() -> dict[str, Any]:
    """The schema of the whole file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "wasupervisor",
        **_section(Settings),
    }


def _section(cls: type[Section]) -> dict[str, Any]:
    fields = fields_of(cls)
    schema: dict[str, Any] = {
        "type": "object",
        "description": (cls.__doc__ or "").strip(),
        "properties": {field.key: _field(field) for field in fields},
        "additionalProperties": False,
    }
    required = [field.key for field in fields if field.required]
    return {**schema, "required": required} if required else schema


def _field(field: Field) -> dict[str, Any]:
    schema = _value(field.rule)
    # A section may also be left empty, with all its keys commented out.
    if field.nullable or (field.section is not None and not field.required):
        schema = {"anyOf": [schema, {"type": "null"}]}
    about: dict[str, Any] = {"description": _description(field)}
    # A default path depends on who runs it, and the defaults of a section stand at its own keys.
    if not field.required and field.section is None and field.place is None:
        about["default"] = plain_value(field, field.default)
    return {**schema, **about}


def _value(rule: Rule | ListOf | type[Section]) -> dict[str, Any]:
    if isinstance(rule, type):
        return _section(rule)
    if isinstance(rule, Rule):
        return rule.schema()
    items: dict[str, Any] = {"type": "array", "items": _value(rule.item)}
    if rule.least:
        items["minItems"] = rule.least
    arms = [{"enum": list(rule.words)}] if rule.words else []
    if rule.alone:
        arms.append(_value(rule.item))
    return {"anyOf": [*arms, items]} if arms else items


def _description(field: Field) -> str:
    rule = field.rule
    range_of = rule.hint if isinstance(rule, Rule) and not isinstance(rule, Choice) else ""
    return f"{comment_of(field)} ({range_of})" if range_of else comment_of(field)
