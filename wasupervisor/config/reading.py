"""From nodes to settings: every key by its rule, and all problems at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from wasupervisor.config.fields import Field, ListOf, Section, fields_of
from wasupervisor.config.places import Places
from wasupervisor.config.problems import Problem
from wasupervisor.config.rules import RefusedError, Rule, Scalar
from wasupervisor.config.schema import Settings

_TAG = "tag:yaml.org,2002:"
_KINDS: Final = frozenset({"str", "int", "float", "bool", "null", "timestamp", "merge", "value", "map", "seq"})
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[A-Za-z][A-Za-z_-]{0,30}")
"""What may be repeated of an unknown key: `api_key=SECRET` or `api_key:SECRET` must not be."""


class _Bad:
    """Stands for a value that cannot be used; its problem is already told."""


_BAD: Final = _Bad()


class Reading:
    """One pass over one document."""

    def __init__(self, source: str, environ: Mapping[str, str], places: Places) -> None:
        self._source = source
        self._environ = environ
        self._places = places
        self.problems: list[Problem] = []
        self.missing: list[Problem] = []
        """Of variables that are not set: no fault of the file."""
        self.marks: dict[str, yaml.Node] = {}
        """Where each key's value stands."""

    def settings(self, root: yaml.Node | None) -> Settings | None:
        """The settings; None when there are problems."""
        if root is None or _is_null(root):
            self._fail(root, "", "cannot be used: it holds no settings; `wasupervisor config sample` prints an example")
            return None
        made = self._value(Settings, root, "")
        return made if isinstance(made, Settings) and not self.problems else None

    def _fail(self, node: yaml.Node | None, path: str, text: str) -> None:
        self.problems.append(self.problem(node, path, text))

    def problem(self, node: yaml.Node | None, path: str, text: str) -> Problem:
        """A problem at a node; without one, at the beginning of the file."""
        if not self._source:
            return Problem("", None, None, path, text)
        mark = node.start_mark if node is not None else None
        return Problem(self._source, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, path, text)

    def _section(self, cls: type[Section], node: yaml.Node | None, path: str, at: yaml.Node | None) -> Any:
        """A section from a mapping; from None one of defaults. `at` is where a missing key is told."""
        fields = fields_of(cls)
        given = {} if node is None else self._entries([field.key for field in fields], node, path)
        values: dict[str, Any] = {}
        bad: set[str] = set()
        for field in fields:
            value = self._field(field, given.get(field.key), _join(path, field.key), at)
            if value is _BAD:
                bad.add(field.key)
                value = None if field.required else field.default
            values[field.name] = value
        made = cls(**values)
        if not any(field.required and field.key in bad for field in fields):
            for complaint in made.complaints():
                # About a value that is wrong by itself nothing more is said.
                about = {name.split(".")[0] for name in complaint.fields} or {field.key for field in fields}
                if bad.isdisjoint(about):
                    where = _join(path, complaint.fields[0]) if complaint.fields else path
                    self._fail(self.marks.get(where, at), where, complaint.text)
        return _BAD if bad else made

    def _entries(self, known: list[str], node: yaml.Node, path: str) -> dict[str, yaml.Node]:
        """The values of a mapping by key, without those that have no place here."""
        given: dict[str, yaml.Node] = {}
        first: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fail(key, path, "cannot have a list or a mapping as a key")
            elif key.value in first:
                line = first[key.value].start_mark.line + 1
                self._fail(key, _join(path, key.value), f"cannot stand here twice: it is in line {line} already")
            elif key.value in known:
                first[key.value] = key
                given[key.value] = value
                self.marks[_join(path, key.value)] = value
            else:
                self._unknown(key, path, known)
        return given

    def _unknown(self, key: yaml.ScalarNode, path: str, known: list[str]) -> None:
        if key.tag == f"{_TAG}merge":
            self._fail(key, path, "cannot merge mappings with <<: write the keys out")
            return
        if not _KEY.fullmatch(key.value):
            self._fail(key, path, f"cannot know this key: does its ':' miss a space? The keys are {', '.join(known)}")
            return
        from difflib import get_close_matches  # noqa: PLC0415 - only when something is wrong

        near = get_close_matches(key.value, known, n=1)
        elsewhere = [place for place in _all_paths(Settings) if place.rpartition(".")[2] == key.value]
        if near:
            advice = f"did you mean `{near[0]}`?"
        elif elsewhere:
            advice = f"did you mean `{'` or `'.join(elsewhere[:3])}`?"
        else:
            advice = f"the keys here are {', '.join(known)}"
        self._fail(key, _join(path, key.value), f"cannot be set: there is no such key; {advice}")

    def _field(self, field: Field, node: yaml.Node | None, path: str, at: yaml.Node | None) -> Any:
        if node is None:
            return self._absent(field, path, at)
        if _is_null(node):
            return self._null(field, node, path)
        return self._value(field.rule, node, path)

    def _null(self, field: Field, node: yaml.Node, path: str) -> Any:
        bare = not node.value
        if bare and field.section is not None and not field.nullable:
            # All keys below it are commented out, as in the sample.
            return self._section(field.section, None, path, node)
        if bare and field.nullable:
            # Who left it empty has not said that it shall be off: `api_key: #x` is a comment, `&x` an anchor.
            more = "keys below it" if field.section is not None else "a value; with '#' or '&' at its start in quotes"
            self._fail(node, path, f"cannot be empty: write null to have none, or {more}")
            return _BAD
        if field.nullable:
            return None
        ending = "" if field.required else ", or delete the line for the default"
        self._fail(node, path, f"cannot be empty: write {field.wants}{ending}")
        return _BAD

    def _value(self, rule: Rule | ListOf | type[Section], node: yaml.Node, path: str) -> Any:
        if node.tag.removeprefix(_TAG) not in _KINDS:
            self._fail(node, path, "cannot have a tag: a value with '!' at its start must stand in quotes")
            return _BAD
        if isinstance(rule, type):
            return self._mapping(rule, node, path)
        return self._list(rule, node, path) if isinstance(rule, ListOf) else self._scalar(rule, node, path)

    def _absent(self, field: Field, path: str, at: yaml.Node | None) -> Any:
        if field.place is not None:
            return getattr(self._places, field.place.folder) / field.place.name
        if field.section is not None and (field.required or field.default is not None):
            return self._section(field.section, None, path, at)
        if field.required:
            self._fail(at, path, f"cannot be left out: write {field.wants}")
            return _BAD
        return field.default

    def _mapping(self, cls: type[Section], node: yaml.Node, path: str) -> Any:
        if not isinstance(node, yaml.MappingNode):
            keys = ", ".join(field.key for field in fields_of(cls))
            self._fail(node, path, f"cannot be {_what(node)}: write a mapping with the keys {keys}")
            return _BAD
        return self._section(cls, node, path, node)

    def _list(self, rule: ListOf, node: yaml.Node, path: str) -> Any:
        if isinstance(node, yaml.ScalarNode) and node.value in rule.words:
            return node.value
        if rule.alone and isinstance(node, yaml.ScalarNode):
            item = self._value(rule.item, node, path)
            return item if item is _BAD else (item,)
        if not isinstance(node, yaml.SequenceNode):
            self._fail(node, path, f"cannot be {_what(node)}: write {rule.wants}")
            return _BAD
        if len(node.value) < rule.least:
            self._fail(node, path, f"cannot be an empty list: write {rule.wants}")
            return _BAD
        items = [self._item(rule.item, item, f"{path}[{index}]") for index, item in enumerate(node.value)]
        return _BAD if _BAD in items else tuple(items)

    def _item(self, rule: Rule | type[Section], node: yaml.Node, path: str) -> Any:
        self.marks[path] = node
        if _is_null(node):
            self._fail(node, path, "cannot be empty: write an item, or delete it")
            return _BAD
        return self._value(rule, node, path)

    def _scalar(self, rule: Rule, node: yaml.Node, path: str) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self._fail(node, path, f"cannot be {_what(node)}: write {rule.wants}")
            return _BAD
        scalar = Scalar(node.value, node.tag.removeprefix(_TAG))
        try:
            if rule.expands and "${" in scalar.text:
                filled = self._filled(scalar.text, node, path)
                if filled is None:
                    return rule.unresolved(scalar.text)
                scalar = Scalar(filled, "str")
            return rule.read(scalar)
        except RefusedError as refusal:
            self._fail(node, path, f"cannot {refusal}")
            return _BAD

    def _filled(self, text: str, node: yaml.Node, path: str) -> str | None:
        """The text with its variables filled in; None when one is not set.

        Raises:
            RefusedError: for what looks like a variable and is none.
        """
        names = [match[1] for match in _VARIABLE.finditer(text)]
        if not all(_NAME.fullmatch(name) for name in names) or text.count("${") != len(names):
            raise RefusedError("be filled in: write ${NAME}, with the name of an environment variable")
        unset = [name for name in names if not self._environ.get(name)]
        for name in dict.fromkeys(unset):
            state = "empty" if name in self._environ else "not set"
            self.missing.append(
                self.problem(node, path, f"cannot be filled in: the environment variable {name} is {state}")
            )
        return None if unset else _VARIABLE.sub(lambda match: self._environ[match[1]], text)


def _all_paths(cls: type[Section], path: str = "") -> list[str]:
    """Every key of the configuration, dots between."""
    paths = []
    for field in fields_of(cls):
        paths.append(_join(path, field.key))
        if field.section is not None:
            paths += _all_paths(field.section, paths[-1])
    return paths


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == f"{_TAG}null" and isinstance(node, yaml.ScalarNode))


def _what(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
