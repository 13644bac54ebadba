"""A new configuration is taken as a whole, or the old one stays and it is said why."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel
import pytest
from runtime_scenes import GATEWAY, settings_in, write_config

from wasupervisor.config.loading import load
from wasupervisor.config.schema import Settings
from wasupervisor.host.moments import boottime
from wasupervisor.runtime import reload as reload_module
from wasupervisor.runtime.parts import Parts
from wasupervisor.runtime.reload import NotTakenError, Reloaded, Reloader, merge, read_again, told
from wasupervisor.runtime.state import open_state
from wasupervisor.runtime.systemd import Notifier
from wasupervisor.runtime.wiring import open_watch

pytestmark = pytest.mark.anyio


class Ear(Notifier):
    """Notes what systemd would hear."""

    def __init__(self) -> None:
        super().__init__({})
        self.heard: list[str] = []

    def ready(self) -> None:
        self.heard.append("ready")

    def wait_at_least(self, seconds: float) -> None:
        self.waits = seconds

    def reloading(self) -> None:
        self.heard.append("reloading")


class Scene:
    def __init__(self, folder: Path, reloader: Reloader, parts: Parts, levels: list[str]) -> None:
        self.folder = folder
        self.reloader = reloader
        self.parts = parts
        self.levels = levels

    async def reload(self, more: str = "", gateway: str = GATEWAY) -> Reloaded:
        write_config(self.folder, more, gateway)
        return await self.reloader.reload()

    @property
    def heard(self) -> list[str]:
        assert isinstance(self.parts.notifier, Ear)
        return self.parts.notifier.heard

    def journal(self) -> list[str]:
        return [one.text for one in self.parts.cycle._noted]


@asynccontextmanager
async def scene(folder: Path, read: Callable[[], Settings] | None = None) -> AsyncIterator[Scene]:
    settings = settings_in(folder)
    state = await open_state(settings, boottime)
    levels: list[str] = []
    async with anyio.create_task_group() as tasks:
        watch = open_watch(settings, boottime)
        parts = Parts.wire(settings, state, watch, clock=boottime, notifier=Ear(), dice=Random(1), tasks=tasks)
        reading = read or (lambda: load(folder / "config.yaml", {}))
        reloader = Reloader(settings, parts, tasks, read=reading, on_level=levels.append)
        yield Scene(folder, reloader, parts, levels)
        tasks.cancel_scope.cancel()
    await state.store.close()


async def test_a_good_file_is_taken_and_everything_follows_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        before = it.parts.cycle.watch
        more = "recovery: {mode: observe}\nlog: {level: debug}\n"
        reloaded = await it.reload(
            more, "gateway: {kind: waha, url: 'http://127.0.0.1:9', poll_every: 7s, api_key: new-key}\n"
        )
        assert reloaded == Reloaded(True, "the configuration was read again")
        assert not it.parts.cycle.policy.act
        assert it.parts.performer.policy is it.parts.cycle.policy
        assert it.parts.pulse.every == 7.0
        assert it.parts.notifier.waits == 3 * (7.0 + 10.0)  # type: ignore[attr-defined]
        assert it.levels == ["debug"]
        assert it.parts.cycle.watch is not before
        assert it.parts.performer.watch is it.parts.cycle.watch
        assert it.reloader.settings.recovery.mode == "observe"
        assert it.heard == ["reloading", "ready"]
        assert it.journal()[-1] == "the configuration was read again"


async def test_the_journals_limits_follow_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        (tmp_path / "state").mkdir(exist_ok=True)
        text = (tmp_path / "config.yaml").read_text()
        changed = text.replace("/state}", "/state, journal: {keep: 2h, max: 5MB}}")
        (tmp_path / "config.yaml").write_text(changed)
        assert (await it.reloader.reload()).text == "the configuration was read again"
        store = it.parts.state.store
        assert (store.keep, store.max_bytes) == (7200.0, 5_000_000)


async def test_connections_stay_when_nothing_about_them_changed(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        before = it.parts.cycle.watch
        await it.reload("recovery: {stable_for: 5s}\n")
        assert it.parts.cycle.watch is before
        assert it.parts.cycle.policy.stable_for == 5.0


async def test_old_connections_are_closed_once_no_remedy_uses_them(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        closed = []
        before = it.parts.cycle.watch

        async def close() -> None:
            closed.append(True)

        before.aclose = close  # type: ignore[method-assign]
        it.parts.performer._idle = anyio.Event()
        await it.reload(gateway="gateway: {kind: waha, url: 'http://127.0.0.1:8'}\n")
        await anyio.wait_all_tasks_blocked()
        assert closed == []
        it.parts.performer._idle.set()
        await anyio.wait_all_tasks_blocked()
        assert closed == [True]


async def test_a_bad_file_keeps_what_runs_and_names_every_mistake_in_one_line_of_the_journal(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        before = it.reloader.settings, it.parts.cycle.policy, it.parts.cycle.watch
        reloaded = await it.reload("recovry: {}\nlog: {level: loud}\n")
        assert not reloaded.taken
        assert reloaded.text == "the configuration is kept as it was: the new one cannot be used"
        assert len(reloaded.problems) == 2
        assert (it.reloader.settings, it.parts.cycle.policy, it.parts.cycle.watch) == before
        assert it.heard == ["reloading", "ready"]
        (line,) = it.journal()[-1:]
        assert "\n" not in line
        assert "recovry" in line
        assert "log.level" in line


async def test_what_counts_only_at_the_start_is_named_each_time_and_not_half_taken(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        text = (tmp_path / "config.yaml").read_text()
        changed = text.replace("health.json", "other.json").replace("control.sock", "other.sock")
        changed = changed.replace("/state}", "/other}") + "log: {format: text}\nrecovery: {stable_for: 5s}\n"
        (tmp_path / "config.yaml").write_text(changed)
        for _ in range(2):
            reloaded = await it.reloader.reload()
            assert reloaded.taken
            for key in ("health.file", "control.socket", "state.directory", "log.format"):
                assert key in reloaded.text
        assert it.reloader.settings.health.file == tmp_path / "health.json"
        assert it.parts.cycle.policy.stable_for == 5.0


async def test_another_kind_of_gateway_needs_a_start_and_takes_its_address_along(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        before = it.parts.cycle.watch
        reloaded = await it.reload(gateway="gateway: {kind: evolution, url: 'http://127.0.0.1:8'}\n")
        assert "but gateway changed too" in reloaded.text
        assert it.parts.cycle.watch is before
        assert it.reloader.settings.gateway == settings_in(tmp_path).gateway


async def test_without_a_file_there_is_nothing_to_read_again(tmp_path: Path) -> None:
    with pytest.raises(NotTakenError, match="no file to read again"):
        await read_again(None)


async def test_a_disk_that_hangs_under_the_file_is_given_up_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    settings = settings_in(tmp_path)

    def hang() -> Settings:
        answers.wait(30)
        return settings

    monkeypatch.setattr(reload_module, "READ_WITHIN", 0.05)
    async with scene(tmp_path, hang) as it:
        reloaded = await it.reloader.reload()
        answers.set()
    assert "has not answered" in reloaded.text
    assert it.heard == ["reloading", "ready"]


async def test_a_fault_of_ours_in_a_reload_does_not_leave_systemd_waiting(tmp_path: Path) -> None:
    def fail() -> Settings:
        raise RuntimeError("boom")

    async with scene(tmp_path, fail) as it:
        with pytest.raises(RuntimeError):
            await it.reloader.reload()
        assert it.heard == ["reloading", "ready"]


async def test_a_storm_of_signals_is_few_reloads_and_the_last_one_counts(tmp_path: Path) -> None:
    async with scene(tmp_path) as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.reloader.run)
        await anyio.wait_all_tasks_blocked()
        write_config(tmp_path, "recovery: {stable_for: 7s}\n")
        for _ in range(100):
            it.reloader.ask()
            await anyio.lowlevel.checkpoint()
        while it.parts.cycle.policy.stable_for != 7.0:  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.01)
        assert it.heard.count("reloading") <= 2
        tasks.cancel_scope.cancel()


async def test_reloads_at_the_same_time_go_one_after_the_other(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(it.reloader.reload)
        assert it.heard == ["reloading", "ready"] * 3


def test_merging_equal_settings_keeps_nothing_back(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    assert merge(settings, settings_in(tmp_path)) == (settings, ())
    assert told(()).text == "the configuration was read again"
