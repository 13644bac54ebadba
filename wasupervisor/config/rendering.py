"""The configuration written out: the sample with its comments, and the settings in force."""

from __future__ import annotations

import textwrap
from typing import Any, TypeAlias

import yaml

from wasupervisor.config.fields import Field, ListOf, Section, fields_of
from wasupervisor.config.rules import Choice, Plain
from wasupervisor.config.schema import Settings

_COMMENT_COLUMN = 40
_WIDTH = 120

_HEAD = """\
# The configuration of wasupervisor: every key with its default. Only gateway.kind and gateway.url have none.
# A key behind a '#' is an example of what is off, or a path that is followed from systemd's or the user's folders.
#
# Durations: 500ms, 30s, 5m, 1h, 7d. Sizes: 200MB (10^6), 1GiB (2^30). Shares: 80%.
# Keys, tokens and URLs may hold ${NAME}, filled in from the environment.
# `wasupervisor config validate` tells what is wrong, `wasupervisor config show` what is in force.
"""

_Rows: TypeAlias = "list[tuple[str, str]]"
"""Lines of YAML, each with its comment."""


def plain(section: Section) -> dict[str, Plain]:
    """A section as mappings, lists and scalars, each as one would write it; secrets are masked."""
    return {field.key: plain_value(field, getattr(section, field.name)) for field in fields_of(type(section))}


def plain_value(field: Field, value: Any) -> Plain:
    """One value, likewise."""
    if isinstance(value, Section):
        return plain(value)
    if isinstance(field.rule, ListOf):
        if isinstance(value, str):
            return value
        item = field.rule.item
        items = [plain(entry) if isinstance(item, type) else item.plain(entry) for entry in value]
        return items[0] if field.rule.alone and len(items) == 1 else items
    if isinstance(field.rule, type) or (value is None and field.nullable):
        return None
    return field.rule.plain(value)


def show(settings: Settings) -> str:
    """The settings in force as YAML; secrets are masked."""
    text: str = yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text


def sample() -> str:
    """A commented configuration with every key; valid as it is."""
    lines = [_HEAD.rstrip("\n")]
    for field in fields_of(Settings):
        lines.append("")
        lines += [_line(text, comment) for text, comment in _rows(field)]
    return "\n".join(lines) + "\n"


def comment_of(field: Field) -> str:
    """What the sample and the JSON Schema say of a key."""
    rule = field.rule.item if isinstance(field.rule, ListOf) and field.rule.alone else field.rule
    return f"{rule.hint}; {field.comment}" if isinstance(rule, Choice) else field.comment


def _rows(field: Field, off: bool = False) -> _Rows:
    """The lines of one key; `off` inside of what is only an example."""
    item = field.rule.item if isinstance(field.rule, ListOf) else None
    if field.section is not None:
        body = _body(field.section, off or field.default is None)
        rows = [(f"{field.key}:", comment_of(field)), *_behind("  ", body)]
        return rows if off or field.default is not None else _behind("# ", rows)
    if isinstance(item, type):
        (first, comment), *rest = _body(item, off=True)
        rows = [(f"{field.key}:", comment_of(field)), (f"  - {first}", comment), *_behind("    ", rest)]
        return rows if off else _behind("# ", rows)
    value, comment = _value(field), comment_of(field)
    if field.example is not None and field.example.text != value:
        comment += f"; for instance {field.example.text}"
    row = (f"{field.key}: {value}", comment)
    return _behind("# ", [row]) if field.place is not None and not off else [row]


def _body(section: type[Section], off: bool) -> _Rows:
    return [row for field in fields_of(section) for row in _rows(field, off)]


def _behind(prefix: str, rows: _Rows) -> _Rows:
    return [(prefix + text, comment) for text, comment in rows]


def _value(field: Field) -> str:
    """What stands at a key: its default, unless the example is better or the only one there is."""
    if field.example is not None and (field.required or field.example.live):
        return field.example.text
    value = plain_value(field, field.default)
    if isinstance(value, list):
        return str(yaml.safe_dump(value, default_flow_style=True, width=_WIDTH)).strip()
    return str(yaml.safe_dump({"key": value})).removeprefix("key: ").strip()


def _line(text: str, comment: str) -> str:
    """One line, its comment wrapped in a column of its own."""
    head = text.ljust(_COMMENT_COLUMN - 2) + "  # "
    first, *more = textwrap.wrap(comment, _WIDTH - len(head), break_long_words=False, break_on_hyphens=False)
    return "\n".join([head + first, *(" " * _COMMENT_COLUMN + "# " + line for line in more)])
