"""What the tests of the configuration share: a text becomes a file, and the file settings or messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wasupervisor.config.loading import Loaded, read
from wasupervisor.config.places import Places
from wasupervisor.config.problems import ConfigError

PLACES = Places(Path("/run/wasupervisor"), Path("/var/lib/wasupervisor"))
GATEWAY = "gateway: {kind: waha, url: 'http://127.0.0.1:3000'}\n"


@pytest.fixture
def load_text(tmp_path: Path) -> Callable[..., Loaded]:
    """Reads a text as a configuration file."""

    def load(text: str | bytes, environ: dict[str, str] | None = None) -> Loaded:
        file = tmp_path / "config.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return read(file, environ or {}, PLACES)

    return load


@pytest.fixture
def load_section(load_text: Callable[..., Loaded]) -> Callable[..., Loaded]:
    """Reads a text that follows a good gateway section in line 1."""

    def load(text: str, environ: dict[str, str] | None = None) -> Loaded:
        return load_text(GATEWAY + text, environ)

    return load


@pytest.fixture
def problems_of(load_text: Callable[..., Loaded], tmp_path: Path) -> Callable[..., list[str]]:
    """The messages for a text, without the name of the file before them."""

    def problems(text: str | bytes, environ: dict[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, environ)
        return [str(problem).removeprefix(f"{tmp_path}/config.yaml:") for problem in caught.value.problems]

    return problems
