"""The copyright file of the Debian package: copyright.py ROOT SITE, with the bundled libraries and their licences."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

_HEAD = """\
Copyright (c) 2026 the authors of wasupervisor
License: Apache-2.0, see /usr/share/common-licenses/Apache-2.0

It brings these libraries along. The text of a licence lies in the folder beside it.

"""
_CLASSIFIER = "License :: OSI Approved :: "


def _licence(library: Distribution) -> str:
    """By its name, as the library itself says."""
    said = library.metadata
    for field in ("License-Expression", "License"):
        if field in said and len(said[field].splitlines()) == 1:
            return said[field]
    classifiers = said.get_all("Classifier") or []
    return ", ".join(one.removeprefix(_CLASSIFIER) for one in classifiers if one.startswith(_CLASSIFIER)) or "see there"


def _lines(root: Path, site: str) -> Iterator[str]:
    yield _HEAD
    for notes in sorted((root / site).glob("*.dist-info")):
        library = Distribution.at(notes)
        if library.name != "wasupervisor":
            yield f"{library.name} {library.version}: {_licence(library)}\n  /{notes.relative_to(root)}\n"


if __name__ == "__main__":
    sys.stdout.writelines(_lines(Path(sys.argv[1]), sys.argv[2]))
