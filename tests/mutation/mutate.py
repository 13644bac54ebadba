"""Breaks the decider in thousands of small ways and tells which of them no test of tests/unit/decide notices.

    make mutate MODULES="gates confirm" SECONDS=15

First every test is run once under coverage, to know which lines each runs and how long it takes. Then each mutant gets
a process of its own that runs the tests of its lines until one fails: those that killed a neighbour first, then those
that know its function best, for at most so many seconds. It works on a copy: the checkout may be edited meanwhile.
docs/mutation.md lists what was left, and why.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest
from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "wasupervisor.decide"
TESTS = "tests/unit/decide"
DANGEROUS_FIRST = (
    *("gates", "gateway_gates", "confirm", "last_rung", "restarts", "attempts", "conditions", "parking", "flaps"),
    *("incidents", "orders", "planning", "ladder", "draft", "gateway", "results", "hearing", "probing", "scene"),
)
HARMLESS = {"__init__", "diagrams", "decision"}
"""Without a decision in them."""

SURVIVED = "survived"

SECOND_CHANCE = 6
"""Times as many seconds of tests for those that survived at first."""

PRELOADED = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
"""What is imported before pytest begins cannot be rewritten by it, and need not."""


@dataclass
class Known:
    """What the first run told."""

    seconds: dict[str, float] = field(default_factory=dict)
    """How long each test takes."""
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    """For each module the tests that run each line."""


class Listener:
    """Tells a parent process what the tests do."""

    def __init__(self, coverage: Any = None) -> None:
        self.coverage = coverage
        self.seconds: dict[str, float] = {}
        self.failed = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self.coverage is not None:
            self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed = self.failed or report.nodeid


class Swap(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from code of ours."""

    def __init__(self, name: str, code: CodeType) -> None:
        self.name, self.code = name, code

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> Any:
        return importlib.machinery.ModuleSpec(name, self) if name == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


def main() -> None:
    """Read the arguments, work on a copy, print what survived."""
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="*", help="of wasupervisor/decide; none: all, the most dangerous first")
    parser.add_argument("--seconds", type=float, default=15.0, help="of tests for each mutant")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth mutant: a sample of all")
    parser.add_argument("--without", nargs="*", default=[], help="files of tests that are left out, for a quicker run")
    parser.add_argument("--known", type=Path, help="keeps what the first run told, for another run of the same code")
    parser.add_argument("--out", type=Path, help="also write each survivor to this file")
    wanted = parser.parse_args()
    os.nice(5)
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        copy = Path(folder)
        for name in ("wasupervisor", TESTS):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        os.chdir(copy)
        sys.path.insert(0, folder)
        known = learn(wanted)
        survived = total = 0
        for name in wanted.modules or every_module(copy):
            left, number = break_module(copy, name, known, wanted)
            survived, total = survived + left, total + number
        print(f"{total} mutants, {survived} survived")


def every_module(copy: Path) -> list[str]:
    found = {path.stem for path in (copy / PACKAGE.replace(".", "/")).glob("*.py")} - HARMLESS
    first = [name for name in DANGEROUS_FIRST if name in found]
    return first + sorted(found - set(first))


def learn(wanted: argparse.Namespace) -> Known:
    """Run every test once; or read what such a run told before."""
    begun = time.monotonic()
    if wanted.known and wanted.known.exists():
        told = json.loads(wanted.known.read_text())
    else:
        told = json.loads(in_a_child(lambda: json.dumps(_learn(wanted.without)), seconds=3600)())
    if told["failed"]:
        sys.exit(f"the tests must pass before anything is broken: {told['failed']}")
    if wanted.known:
        wanted.known.write_text(json.dumps(told))
    lines = {name: {int(line): tests for line, tests in known.items()} for name, known in told["lines"].items()}
    print(f"{len(told['seconds'])} tests in {time.monotonic() - begun:.0f} s", flush=True)
    for name in told["preload"]:
        importlib.import_module(name)
    return Known(told["seconds"], lines)


def in_a_child(work: Callable[[], str], seconds: int) -> Callable[[], str]:
    """Begin something in a process of its own. Returns what waits for its end and gives its answer; empty: it died."""
    answer = tempfile.TemporaryFile()  # noqa: SIM115 - closed by who waits
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(seconds)  # one that never ends is noticed, too
            told = work()
        except BaseException as error:
            told = f"died of {error!r}"
        try:
            answer.write(told.encode())
            answer.flush()
        finally:
            os._exit(0)  # whatever happened: nothing of the parent's work may be done here

    def wait() -> str:
        os.waitpid(child, 0)
        answer.seek(0)
        with answer:
            return answer.read().decode()

    return wait


def _learn(without: list[str]) -> dict[str, Any]:
    coverage = importlib.import_module("coverage")
    run = coverage.Coverage(data_file=None, source=[PACKAGE.replace(".", "/")])
    listener = Listener(run)
    run.start()
    _silent_pytest([TESTS, *(f"--ignore={TESTS}/{name}" for name in without)], listener)
    run.stop()
    data = run.get_data()
    lines = {
        Path(name).stem: {line: [one for one in tests if one] for line, tests in data.contexts_by_lineno(name).items()}
        for name in data.measured_files()
    }
    preload = [name for name in sys.modules if _is_preloaded(name)]
    return {"seconds": listener.seconds, "lines": lines, "preload": preload, "failed": listener.failed}


def _is_preloaded(name: str) -> bool:
    ours = name.startswith("wasupervisor.") and not name.startswith(PACKAGE)
    return ours or name.partition(".")[0] in ("httpcore", "anyio", "msgspec")


def _silent_pytest(arguments: Sequence[str], listener: Listener) -> int:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    return int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *PRELOADED, *arguments], plugins=[listener]))


def break_module(copy: Path, name: str, known: Known, wanted: argparse.Namespace) -> tuple[int, int]:
    """Try every mutant of one module. Returns how many survived, and of how many."""
    path = copy / PACKAGE.replace(".", "/") / f"{name}.py"
    source = path.read_text()
    unbroken = in_a_child(partial(try_one, name, compile(source, str(path), "exec"), some_tests(known, name)), 300)()
    if unbroken != SURVIVED:
        sys.exit(f"{name}: a test fails though nothing is broken: {unbroken}")
    every = list(mutants(source))[:: wanted.every]
    killers: Counter[tuple[int, str]] = Counter()
    left = every
    for seconds in (wanted.seconds, SECOND_CHANCE * wanted.seconds):
        left = list(survivors(path, name, left, known, killers, wanted.jobs, seconds))
    number = len(every)
    if wanted.out:
        with wanted.out.open("a") as out:
            out.writelines(f"{name}.py:{mutant.text}\n" for mutant in left)
    print(f"{name}: {number} mutants, {len(left)} survived", flush=True)
    for mutant in sorted(left, key=lambda one: one.line):
        print(f"  {name}.py:{mutant.text}", flush=True)
    return len(left), number


def survivors(
    path: Path,
    name: str,
    tried: list[Mutant],
    known: Known,
    killers: Counter[tuple[int, str]],
    jobs: int,
    seconds: float,
) -> Iterator[Mutant]:
    """Those that no test notices which fits into so many seconds."""
    begun: deque[tuple[Mutant, Callable[[], str]]] = deque()
    waiting = deque(tried)
    while waiting or begun:
        while waiting and len(begun) < jobs:
            mutant = waiting.popleft()
            tests = choose(mutant, known, name, killers, seconds)
            code = compile(mutant.tree(), str(path), "exec")
            begun.append((mutant, in_a_child(partial(try_one, name, code, tests), int(5 * seconds) + 20)))
        mutant, wait = begun.popleft()
        told = wait()
        if told == SURVIVED:
            yield mutant
        else:
            killers[mutant.line // 10, told] += 1


def choose(mutant: Mutant, known: Known, name: str, killers: Counter[tuple[int, str]], most: float) -> list[str]:
    """The tests that run its lines: killers of its neighbours first, then those that know its function best."""
    lines = known.lines.get(name, {})
    running = {test for line in range(mutant.line, mutant.last_line + 1) for test in lines.get(line, ())}
    if not running:  # run at import: a constant, or a row of a table
        running = {test for tests in lines.values() for test in tests}
        running |= {test for test in known.seconds if any(word in test.partition("::")[0] for word in name.split("_"))}
    near = {test: number for (line, test), number in killers.copy().items() if abs(line - mutant.line // 10) <= 1}

    rare: Counter[str] = Counter()
    for line in mutant.scope:
        for test in lines.get(line, ()):
            rare[test] += 1000 // len(lines[line])

    def rank(test: str) -> tuple[int, bool, float]:
        """A test that alone runs a branch of the function knows more of it than one of many that run its first line."""
        kin = any(word in test.partition("::")[0] for word in name.split("_"))
        worth = rare[test] / (0.1 + known.seconds.get(test, 0.0))
        return -near.get(test, 0), not (rare or kin), -worth

    ordered = sorted(running, key=rank)
    chosen: list[str] = []
    spent = 0.0
    for test in ordered:
        spent += known.seconds.get(test, 0.0)
        if chosen and spent > most:
            break
        chosen.append(test)
    return chosen


def some_tests(known: Known, name: str) -> list[str]:
    """A hundred quick tests of a module."""
    running = {test for tests in known.lines.get(name, {}).values() for test in tests}
    return sorted(running, key=lambda test: known.seconds.get(test, 0.0))[:100]


def try_one(name: str, code: CodeType, tests: list[str]) -> str:
    """Run the tests against one mutant. Returns the test that noticed, or that it survived."""
    sys.meta_path.insert(0, Swap(f"{PACKAGE}.{name}", code))
    listener = Listener()
    status = _silent_pytest(["--timeout=20", *tests], listener) if tests else 0
    return (listener.failed or f"pytest ended with {status}") if status else SURVIVED


if __name__ == "__main__":
    main()
