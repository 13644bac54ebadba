"""The docs: as the generator makes them, a page for each reason, and no link that leads nowhere."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from wasupervisor.cli.telling import PAGES
from wasupervisor.decide.reasons import ROWS
from wasupervisor.model.sessions import Reason

ROOT = Path(__file__).parents[3]
REASONS = ROOT / PAGES
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TEXTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@cache
def generator() -> ModuleType:
    """docs/generate.py, which is no part of the program."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pages() -> list[Path]:
    """The reasons' pages."""
    return sorted(page for page in REASONS.glob("*.md") if page.name != "README.md")


def test_every_file_is_as_the_generator_makes_it() -> None:
    made: dict[Path, str] = generator().documents()
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    assert stale == [], "renew them with: make docs"


def test_every_reason_has_a_page_and_every_page_a_reason() -> None:
    told = {row.reason for row in ROWS}
    assert told == set(Reason)
    assert {page.stem for page in pages()} == told - {Reason.NONE}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_every_page_answers_every_question(page: Path) -> None:
    text = page.read_text(encoding="utf-8").partition(generator().MARKER)[2]
    parts = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    assert tuple(parts) == generator().QUESTIONS
    assert [question for question, answer in parts.items() if len(answer.strip()) < 8] == []
    assert "**WAHA**" in parts["How it looks"]
    assert "**Evolution**" in parts["How it looks"]


def test_what_is_written_by_hand_outlives_the_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = generator()
    monkeypatch.setattr(module, "DOCS", tmp_path / "docs")
    (tmp_path / "docs").mkdir()
    module.main()
    page = tmp_path / "docs" / "reasons" / "banned.md"
    assert page.read_text(encoding="utf-8").endswith("\n## What you do\n")
    page.write_text(f"# old head\n\n{module.MARKER}\n\nby hand\n", encoding="utf-8")
    module.main()
    head, _, below = page.read_text(encoding="utf-8").partition(module.MARKER)
    assert head.startswith("# `banned`\n")
    assert below == "\n\nby hand\n"


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(text: Path) -> Iterator[tuple[str, Path, str]]:
    """Each link inside the repository: as it is written, its file and its anchor."""
    for link in LINK.findall(text.read_text(encoding="utf-8")):
        if "://" not in link and not link.startswith("mailto:"):
            file, _, anchor = link.partition("#")
            yield link, (text.parent / file) if file else text, anchor


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_every_link_leads_somewhere(text: Path) -> None:
    nowhere = [
        link for link, file, anchor in links(text) if not file.exists() or (anchor and anchor not in anchors(file))
    ]
    assert nowhere == []
