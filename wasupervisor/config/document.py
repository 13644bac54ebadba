"""The file as a tree of YAML nodes, each with its line and column.

Nothing is constructed from the tree by YAML's own rules: the schema says what a value is, and so `010`, `12:30:45` and
`off` are what stands there, never what YAML 1.1 makes of them.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from wasupervisor.config.problems import ConfigError, Problem

LARGEST_FILE = 256 * 1024

# PyYAML's own words name characters, aliases and snippets of the text, which may belong to a secret.
_ADVICE = (
    ("could not find expected ':'", "here is a key without its ':' and a space after it"),
    (
        "mapping values are not allowed",
        "here is a ':' too many, or the line above misses its own; put texts with ': ' in quotes",
    ),
    ("'\\t'", "here is a tab; indent with spaces"),
    ("alias", "a value with '*' at its start must stand in quotes"),
    ("anchor", "a value with '&' at its start must stand in quotes"),
    ("tag", "a value with '!' at its start must stand in quotes"),
    ("that cannot start any token", "a value with such a character at its start must stand in quotes"),
    ("quoted scalar", "a text in quotes is not closed, or has an unknown escape; '...' takes any character"),
    ("escape", "a text in double quotes has an unknown escape; '...' takes any character"),
    ("flow", "a list [...] or a mapping {...} is not closed, or misses a comma"),
    ("expected <block end>", "the indentation is off, or something follows a closing quote or bracket"),
    ("a single document", "here a second document begins; delete the line with '---'"),
    ("directive", "a line must not begin with '%'"),
)


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        ConfigError: it is not there, may not be read, is a folder, is far too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise _whole(path, "there is no such file; `wasupervisor config sample` prints one to begin with") from None
    except IsADirectoryError:
        raise _whole(path, "it is a folder; name the file in it") from None
    except PermissionError:
        raise _whole(path, f"user id {os.geteuid()} has no permission; see its owner and mode") from None
    except (OSError, ValueError) as error:
        raise _whole(path, getattr(error, "strerror", None) or "its name is malformed") from None
    if len(data) > LARGEST_FILE:
        raise _whole(path, f"it has more than {LARGEST_FILE // 1024} KiB; is it another file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ConfigError(
            (Problem(str(path), line, column, "", "cannot be read: not UTF-8 from here on; save it as UTF-8"),)
        ) from None


def parse(text: str, source: str) -> yaml.Node | None:
    """The tree; None for a file without any content.

    Raises:
        ConfigError: it is not YAML. The message repeats nothing of the text.
    """
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        raise _syntax(source, line, column, "here is a control character; delete it") from None
    except yaml.MarkedYAMLError as error:
        words = f"{error.problem} {error.context}"
        # A key without its ':' is noticed on the next line only.
        key = error.context_mark if "simple key" in words else None
        mark = key or error.problem_mark or error.context_mark
        advice = next((advice for words_of, advice in _ADVICE if words_of in words), "see the lines above this one")
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _syntax(source, line, column, advice) from None
    except RecursionError:
        raise _syntax(source, 1, 1, "its brackets are nested too deeply") from None
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError):
        # PyYAML lets some of these through, for instance for the escape \\UFFFFFFFF.
        raise _syntax(source, 1, 1, "it holds an escape or a number that YAML does not know") from None


def _whole(path: Path, why: str) -> ConfigError:
    return ConfigError((Problem(str(path), None, None, "", f"cannot be read: {why}"),))


def _syntax(source: str, line: int, column: int, advice: str) -> ConfigError:
    return ConfigError((Problem(source, line, column, "", f"cannot be read as YAML: {advice}"),))
