"""What an earlier run left is there again, and what belongs to another is not touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from runtime_scenes import settings_in, write_config

from wasupervisor.config.loading import load
from wasupervisor.decide.memory import Memory, dump
from wasupervisor.host.moments import boottime
from wasupervisor.model.health import Pause
from wasupervisor.runtime import state as state_module
from wasupervisor.runtime.state import NAMES_KEY, names_key, open_state
from wasupervisor.store.errors import StateDirectoryInUse

pytestmark = pytest.mark.anyio


async def test_the_first_start_has_an_empty_memory_that_is_written_at_once(tmp_path: Path) -> None:
    state = await open_state(settings_in(tmp_path), boottime)
    assert (state.memory, state.written) == (Memory(), None)
    assert [one.text[:8] for one in state.entries] == ["started,"]
    await state.store.close()


async def test_the_next_start_remembers(tmp_path: Path) -> None:
    settings, memory = settings_in(tmp_path), Memory(paused=Pause(since=1.0))
    first = await open_state(settings, boottime)
    await first.store.save(dump(memory))
    await first.store.close()
    second = await open_state(settings, boottime)
    assert second.memory == second.written == memory
    await second.store.close()


async def test_plain_names_need_no_key_and_get_none(tmp_path: Path) -> None:
    state = await open_state(settings_in(tmp_path), boottime)
    assert state.names_key is None
    await state.store.close()
    assert not (tmp_path / "state" / NAMES_KEY).exists()


async def test_a_key_that_cannot_be_made_lets_go_of_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("file:", "names: hashed, file:"))
    settings = load(config, {})

    def fail(_directory: Path) -> bytes:
        raise RuntimeError("boom")

    with monkeypatch.context() as broken:
        broken.setattr(state_module, "names_key", fail)
        with pytest.raises(RuntimeError):
            await open_state(settings, boottime)
    state = await open_state(settings, boottime)
    assert state.names_key is not None
    await state.store.close()


async def test_a_second_daemon_on_the_same_state_is_refused(tmp_path: Path) -> None:
    first = await open_state(settings_in(tmp_path), boottime)
    with pytest.raises(StateDirectoryInUse):
        await open_state(settings_in(tmp_path), boottime)
    await first.store.close()


def test_the_key_of_hashed_names_stays_and_is_for_us_alone(tmp_path: Path) -> None:
    key = names_key(tmp_path)
    assert names_key(tmp_path) == key
    assert (tmp_path / NAMES_KEY).stat().st_mode & 0o777 == 0o600
    (tmp_path / NAMES_KEY).write_bytes(b"short")
    assert names_key(tmp_path) != key


def test_where_it_cannot_be_kept_it_holds_for_this_run(tmp_path: Path) -> None:
    assert len(names_key(tmp_path / "nowhere")) == 32
