"""What may stand at a key: one rule for each kind of value.

A rule reads what the operator wrote, writes it back, and describes itself as JSON Schema. Messages about values that
may be secret or private (keys, URLs, names) never repeat them; the line and column lead there.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, TypeAlias

from wasupervisor.config.units import (
    format_duration,
    format_share,
    format_size,
    parse_duration,
    parse_share,
    parse_size,
)
from wasupervisor.model.policy import ReadyWhen

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
"""A value as YAML and JSON know it, fit to be shown: secrets are masked."""

WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,9})?")


class Scalar(NamedTuple):
    """One value as it stands in the file."""

    text: str
    kind: str
    """What YAML takes it for: str (also everything in quotes), int, float, bool or another word of YAML."""


class RefusedError(Exception):
    """A rule does not take the value. The text goes on after 'cannot'."""


def told(text: str) -> str:
    """A value that is no secret, short enough for a message."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


class Rule:
    """What may stand at a key."""

    wants: str = "a value"
    """What to write, with an example."""
    hint: str = ""
    """The choice or the range, for the comment of the sample and of the JSON schema."""
    expands: bool = False
    """Whether `${NAME}` inside is filled in from the environment."""

    def read(self, scalar: Scalar) -> Any:
        """The value.

        Raises:
            RefusedError: when it cannot stand here.
        """
        raise NotImplementedError

    def unresolved(self, text: str) -> Any:
        """What stands for a value while a variable in it is not set; only of rules that expand."""
        raise NotImplementedError

    def plain(self, value: Any) -> Plain:
        """The value as one would write it, masked."""
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of it."""
        raise NotImplementedError


class Duration(Rule):
    """A span of time, kept as seconds."""

    def __init__(self, least: str = "0s", most: str = "30d") -> None:
        self._least, self._most = parse_duration(least), parse_duration(most)
        self.wants = "a duration such as 30s"
        self.hint = f"{least} to {most}"

    def read(self, scalar: Scalar) -> float:
        try:
            seconds = parse_duration(scalar.text)
        except ValueError as error:
            raise RefusedError(f"be {told(scalar.text)}: {error}") from None
        if not self._least <= seconds <= self._most:
            raise RefusedError(f"be {told(scalar.text)}: write {self.hint}")
        return seconds

    def plain(self, value: float) -> Plain:
        return format_duration(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"}


class Size(Rule):
    """An amount of memory or disk, kept as bytes."""

    def __init__(self, least: str = "1MB") -> None:
        self._least = parse_size(least)
        self.wants = "a size such as 1.8GB"
        self.hint = f"from {least}"

    def read(self, scalar: Scalar) -> int:
        try:
            size = parse_size(scalar.text)
        except ValueError as error:
            raise RefusedError(f"be {told(scalar.text)}: {error}") from None
        if size < self._least:
            raise RefusedError(f"be {told(scalar.text)}: write {self.hint}")
        return size

    def plain(self, value: int) -> Plain:
        return format_size(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(B|[kK]B|MB|GB|TB|KiB|MiB|GiB|TiB)$"}


class Share(Rule):
    """A part of a whole, kept as 0 to 1."""

    wants = "a share such as 80%"

    def read(self, scalar: Scalar) -> float:
        try:
            return parse_share(scalar.text)
        except ValueError as error:
            raise RefusedError(f"be {told(scalar.text)}: {error}") from None

    def plain(self, value: float) -> Plain:
        return format_share(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^(100|[0-9]{1,2})%$"}


class Count(Rule):
    """A whole number."""

    def __init__(self, least: int = 0, most: int = 1_000_000) -> None:
        self._least, self._most = least, most
        self.wants = f"a whole number such as {max(least, 1)}"
        self.hint = f"{least} to {most}"

    def read(self, scalar: Scalar) -> int:
        if scalar.kind == "str" or not WHOLE_NUMBER.fullmatch(scalar.text):
            # `010`, `0x1F`, `1_000` and `12:30` are numbers to YAML, and not the ones that one would think.
            raise RefusedError(f"be {told(scalar.text)}: write a whole number in plain digits, without quotes")
        number = int(scalar.text)
        if not self._least <= number <= self._most:
            raise RefusedError(f"be {number}: write {self.hint}")
        return number

    def plain(self, value: int) -> Plain:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self._least, "maximum": self._most}


class Number(Rule):
    """A number that may have a fraction."""

    wants = "a number such as 1.5"

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most
        self.hint = f"{least:g} to {most:g}"

    def read(self, scalar: Scalar) -> float:
        if scalar.kind == "str" or not _DECIMAL.fullmatch(scalar.text):
            raise RefusedError(f"be {told(scalar.text)}: write a number in plain digits, without quotes")
        number = float(scalar.text)
        if not self._least <= number <= self._most:
            raise RefusedError(f"be {scalar.text}: write {self.hint}")
        return number

    def plain(self, value: float) -> Plain:
        return int(value) if value == int(value) else value

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self._least, "maximum": self._most}


class Flag(Rule):
    """true or false; YAML's yes, no, on and off are not taken, for not every reader of YAML knows them."""

    wants = "true or false"

    def read(self, scalar: Scalar) -> bool:
        if scalar.kind != "bool" or scalar.text.lower() not in ("true", "false"):
            raise RefusedError(f"be {told(scalar.text)}: write true or false, without quotes")
        return scalar.text.lower() == "true"

    def plain(self, value: bool) -> Plain:
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Choice(Rule):
    """One word of a few. Read as it is written, so that `off` is the word and no boolean."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self.hint = " | ".join(words)
        self.wants = self.hint

    def read(self, scalar: Scalar) -> str:
        if scalar.text not in self._words:
            raise RefusedError(f"be {told(scalar.text)}: choose {' or '.join(self._words)}")
        return scalar.text

    def plain(self, value: str) -> Plain:
        return value

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self._words)}


class Word(Choice):
    """One word of many: a wrong one is answered with the nearest."""

    def read(self, scalar: Scalar) -> str:
        if scalar.text not in self._words:
            from difflib import get_close_matches  # noqa: PLC0415 - only when something is wrong

            near = get_close_matches(scalar.text, self._words, n=1)
            advice = f"did you mean `{near[0]}`?" if near else f"choose of {', '.join(self._words)}"
            raise RefusedError(f"be {told(scalar.text)}: there is no such word; {advice}")
        return scalar.text


class OrNever(Rule):
    """The word `never`, kept as None, or what another rule takes."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self.wants = f"{rule.wants}, or never"
        self.hint = "or never"

    def read(self, scalar: Scalar) -> Any:
        return None if scalar.text == "never" else self._rule.read(scalar)

    def plain(self, value: Any) -> Plain:
        return "never" if value is None else self._rule.plain(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": "never"}, self._rule.schema()]}


class Ready(Rule):
    """How many sessions must be usable."""

    wants = "any, all, or a share such as 80%"
    hint = "any | all | a share such as 80%"

    def read(self, scalar: Scalar) -> ReadyWhen:
        try:
            return ReadyWhen.parse(scalar.text)
        except ValueError:
            raise RefusedError(f"be {told(scalar.text)}: write {self.wants}") from None

    def plain(self, value: ReadyWhen) -> Plain:
        return str(value)

    def schema(self) -> dict[str, Any]:
        share = {"type": "string", "pattern": "^(any|all|(100|[0-9]{1,2})%?)$"}
        return {"anyOf": [share, {"type": "integer", "minimum": 0, "maximum": 100}]}


class Hours(NamedTuple):
    """A span of the day, in minutes since midnight; it may go over midnight."""

    start: int
    end: int


class DayHours(Rule):
    """From when to when, each day."""

    wants = 'hours such as "03:00-05:00"'
    _pattern = r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])"

    def read(self, scalar: Scalar) -> Hours:
        match = re.fullmatch(self._pattern, scalar.text)
        if match is None:
            raise RefusedError(f"be {told(scalar.text)}: write {self.wants}")
        hours = Hours(int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4]))
        if hours.start == hours.end:
            raise RefusedError(f"be {told(scalar.text)}: the start is the end; write {self.wants}")
        return hours

    def plain(self, value: Hours) -> Plain:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self._pattern}$"}
