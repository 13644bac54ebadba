"""Every process that a test starts is ended by its fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stage import Gateway, Supervisor


@pytest.fixture
def gateways() -> Iterator[Callable[..., Gateway]]:
    """Makes simulated gateways."""
    made: list[Gateway] = []

    def make(*arguments: Any, **options: Any) -> Gateway:
        made.append(Gateway(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def supervisors(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """Makes supervisors, each in a folder of its own unless told otherwise."""
    made: list[Supervisor] = []

    def make(gateway: Gateway, folder: str = "one", **options: Any) -> Supervisor:
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        made.append(Supervisor(place, gateway, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
