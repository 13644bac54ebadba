"""Sections of the configuration, and what stands in the `Annotated` of each of their fields.

A field is declared once:

    poll_every: Annotated[float, Duration("100ms", "1h"), "how often the sessions are looked at"] = 5.0

and from that line come the loader, its messages, the sample, `config show` and the JSON Schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import msgspec

from wasupervisor.config.rules import OrNever, Rule


class Complaint(NamedTuple):
    """Fields of one section that do not go together."""

    fields: tuple[str, ...]
    """Keys below the section, dots between; the message points to the first. Empty: to the section."""
    text: str
    """Begins with 'cannot'."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping of the configuration. A field's name is its key; a trailing underscore keeps Python's words free."""

    def complaints(self) -> Iterator[Complaint]:
        """What in here does not go together; called only when each field by itself is right."""
        return iter(())


class ListOf(NamedTuple):
    """A list, kept as a tuple, of one kind of item."""

    item: Rule | type[Section]
    least: int = 0
    words: tuple[str, ...] = ()
    """Words that may stand in place of the list."""
    alone: bool = False
    """Whether a single item may stand there without the brackets."""

    @property
    def wants(self) -> str:
        """What to write."""
        item = self.item.wants if isinstance(self.item, Rule) else "mappings"
        listed = f"a list [...] of: {item}"
        single = (item,) if self.alone else ()
        return " or ".join((*self.words, *single, listed))


class Example(NamedTuple):
    """What the sample shows where there is no default, or a better one than the default."""

    text: str
    live: bool = False
    """Shown in place of the default, and not only in a comment."""


class Place(NamedTuple):
    """The default is a path below one of the folders of `Places`."""

    folder: str
    """`runtime` or `state`."""
    name: str = ""


class FilledIn(NamedTuple):
    """Stands at a field that is no key: nobody writes it, it comes from a file that a key names."""


class Field(NamedTuple):
    """Everything that is known of one key."""

    name: str
    key: str
    rule: Rule | ListOf | type[Section]
    comment: str
    default: Any
    """msgspec.NODEFAULT: the key is needed."""
    nullable: bool
    example: Example | None
    place: Place | None

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is msgspec.NODEFAULT

    @property
    def section(self) -> type[Section] | None:
        """Its section, when it is one."""
        return self.rule if isinstance(self.rule, type) else None

    @property
    def wants(self) -> str:
        """What to write."""
        return "a mapping of keys" if isinstance(self.rule, type) else self.rule.wants


def fields_of(section: type[Section]) -> tuple[Field, ...]:
    """The fields of a section in their order, but for what is filled in."""
    return tuple(_field(info) for info in msgspec.structs.fields(section) if not _is_filled_in(info))


def _is_filled_in(info: msgspec.structs.FieldInfo) -> bool:
    return any(isinstance(note, FilledIn) for note in get_args(info.type)[1:])


def _field(info: msgspec.structs.FieldInfo) -> Field:
    if get_origin(info.type) is not Annotated:
        raise TypeError(f"{info.name}: a field of a section needs a rule and a comment")
    hint, *notes = get_args(info.type)
    arms = get_args(hint) or (hint,)
    sections = [arm for arm in arms if isinstance(arm, type) and issubclass(arm, Section)]
    rule = next((note for note in notes if isinstance(note, (Rule, ListOf))), sections[0] if sections else None)
    if rule is None:
        raise TypeError(f"{info.name}: a field of a section needs a rule")
    return Field(
        name=info.name,
        key=info.encode_name,
        rule=rule,
        comment=next(note for note in notes if isinstance(note, str)),
        default=info.default,
        nullable=NoneType in arms and not isinstance(rule, OrNever),
        example=next((note for note in notes if isinstance(note, Example)), None),
        place=next((note for note in notes if isinstance(note, Place)), None),
    )
