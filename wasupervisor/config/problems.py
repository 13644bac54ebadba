"""What is wrong with a configuration, told so that a person can mend it."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong, and where. It never holds the value of a secret."""

    source: str
    """The file as the operator named it; empty when the settings came from the command line."""
    line: int | None
    """From 1; None when the problem is the file itself."""
    column: int | None
    path: str
    """The key, as in `recovery.breaker.open_for`; empty for the file as a whole."""
    text: str
    """Begins with 'cannot' and says what to do."""
    absent: bool = False
    """Nothing is wrong with what is written: a secret is not there, or not for us to read."""

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}:{self.column}"
        return ": ".join(part for part in (where, self.path, self.text) if part)


class ConfigError(Exception):
    """The configuration cannot be used. Holds every problem that was found, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))
        super().__init__("\n".join(str(problem) for problem in self.problems))
