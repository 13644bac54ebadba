from __future__ import annotations

import threading

import anyio
import pytest

from wasupervisor.host import searching
from wasupervisor.host.found import Missing
from wasupervisor.host.searching import Searcher

pytestmark = pytest.mark.anyio


async def test_a_look_that_stands_still_is_left_and_no_second_one_is_sent_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(searching, "SECONDS", 0.02)
    searcher, free = Searcher(), threading.Event()
    left = await searcher.run(free.wait)
    refused = await searcher.run(lambda: True)
    free.set()
    while isinstance(answer := await searcher.run(lambda: True), Missing):  # noqa: ASYNC110 (the thread tells nobody)
        await anyio.sleep(0.001)
    assert isinstance(left, Missing)
    assert isinstance(refused, Missing)
    assert ("took longer" in left.text, "has not come back" in refused.text, answer) == (True, True, True)


async def test_what_a_look_raises_is_raised_and_the_next_look_is_free() -> None:
    def broken() -> None:
        raise OSError("out of descriptors")

    searcher = Searcher()
    with pytest.raises(OSError, match="out of descriptors"):
        await searcher.run(broken)
    assert await searcher.run(lambda: 7) == 7
