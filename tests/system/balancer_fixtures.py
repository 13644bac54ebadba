"""Gateways with their supervisors, and load balancers before them; each process is ended by its fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from balancers import Balancer, HAProxy, Nginx, Site, example, program
from stage import Gateway, Supervisor


@pytest.fixture
def sites(gateways: Callable[..., Gateway], supervisors: Callable[..., Supervisor]) -> Iterator[Callable[..., Site]]:
    """Makes gateways with their supervisors; not started."""
    made: list[Site] = []

    def make(folder: str, sessions: str = "1", gateway: Gateway | None = None) -> Site:
        one = gateway or gateways("waha", sessions)
        made.append(Site(one, supervisors(one, folder)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def pair(sites: Callable[..., Site]) -> tuple[Site, Site]:
    """Two gateways with a session each, ready."""
    a, b = sites("a"), sites("b")
    with ThreadPoolExecutor() as threads:
        for starting in (threads.submit(a.start), threads.submit(b.start)):
            starting.result()
    return a, b


@pytest.fixture
def balancers(tmp_path: Path) -> Iterator[list[Balancer]]:
    """All that were made, to be ended."""
    made: list[Balancer] = []
    yield made
    for one in made:
        one.close()


@pytest.fixture
def haproxy(tmp_path: Path, balancers: list[Balancer]) -> Callable[..., HAProxy]:
    """Puts HAProxy before gateways, by an example of the page."""
    program("haproxy")

    def make(name: str, *sites: Site, hurry: str = "inter 1s") -> HAProxy:
        folder = tmp_path / f"haproxy-{name}"
        folder.mkdir()
        made = HAProxy(folder, example(name), sites, hurry=hurry)
        balancers.append(made)
        made.start()
        return made

    return make


@pytest.fixture
def nginx(tmp_path: Path, balancers: list[Balancer]) -> Callable[..., Nginx]:
    """Puts nginx before gateways, by an example of the page; `nginx.folder` is there before it starts."""
    program("nginx")

    def make(name: str, *sites: Site, start: bool = True) -> Nginx:
        folder = tmp_path / f"nginx-{name}"
        folder.mkdir()
        made = Nginx(folder, example(name), sites)
        balancers.append(made)
        if start:
            made.start()
        return made

    return make
