"""The copyright file of the Debian package: copyright.py ROOT SITE, with the bundled libraries and their licences."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

_HEAD = """\
Copyright (c) 2026 the authors of wasupervisor
License: Apache-2.0, see /usr/share/common-licenses/Apache-2.0

It brings these libraries along. The text of a licence lies in the folder beside it.

"""
_CLASSIFIER = "License :: OSI Approved :: "


def _licence(library: Distribution) -> str:
    """By its name, as the library itself says."""
    named = library.metadata.get("License-Expression") or library.metadata.get("License") or ""
    if named and "\n" not in named and len(named) < 60:
        return named
    classifiers = library.metadata.get_all("Classifier") or []
    return ", ".join(one.removeprefix(_CLASSIFIER) for one in classifiers if one.startswith(_CLASSIFIER)) or "see there"


def main(root: Path, site: str) -> None:
    print(_HEAD, end="")
    for library in sorted(distributions(path=[str(root / site)]), key=lambda one: one.name.lower()):
        if library.name != "wasupervisor":
            folder = Path(str(library.locate_file(""))).relative_to(root) / f"{library.name}-{library.version}.dist-info"
            print(f"{library.name} {library.version}: {_licence(library)}\n  /{folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
