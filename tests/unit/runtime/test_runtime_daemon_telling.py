"""The whole daemon and its webhooks: no turn waits for one, and no restart loses or repeats one."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from hook_server import hook
from test_runtime_daemon import Run, running, until

from wasupervisor.config.loading import load
from wasupervisor.runtime.daemon import Daemon
from wasupervisor.simulator.faults import QrWanted
from wasupervisor.store.reader import read_state

pytestmark = pytest.mark.anyio

NEVER_LINKED = "T0KEN"


def alerts_to(*urls: str) -> str:
    return "alerts: [" + ", ".join(f"{{to: '{url}{NEVER_LINKED}'}}" for url in urls) + "]\n"


async def until_turned(run: Run, times: int = 5) -> None:
    """So many more looks have begun."""
    seen = run.gateway.count("GET /api/sessions*")
    await until(lambda: run.gateway.count("GET /api/sessions*") >= seen + times)


async def stop(run: Run) -> None:
    run.daemon.stop()
    await until(lambda: run.status is not None)


async def start_again(run: Run, tasks: anyio.abc.TaskGroup) -> None:
    run.status = None
    run.daemon = Daemon(load(run.config, {}), environ={})
    await tasks.start(run.live)


async def test_a_webhook_that_hangs_delays_no_turn_and_no_stop(tmp_path: Path) -> None:
    async with hook() as it:
        it.answer = "hang"
        async with running(tmp_path, more=alerts_to(it.url)) as run:
            run.gateway.apply(QrWanted(session="a"))
            await it.until(1)
            await until_turned(run, 10)
            assert (await run.get("/livez")).status_code == 200
            with anyio.fail_after(5):
                await stop(run)
        assert run.status == 0
        (left,) = read_state(tmp_path / "state").outbox
        assert left.id == f"{it.heard[0].json['id']}.begin"
        assert NEVER_LINKED.encode() not in (tmp_path / "state" / "state.db").read_bytes()


async def test_a_restart_of_the_supervisor_sends_what_was_left_and_repeats_nothing(tmp_path: Path) -> None:
    async with hook() as it:
        it.answer = "hang"
        async with running(tmp_path, more=alerts_to(it.url)) as run, anyio.create_task_group() as tasks:
            run.gateway.apply(QrWanted(session="a"))
            await it.until(1)
            await stop(run)
            it.answer = 200
            await start_again(run, tasks)
            await it.until(2)
            await until(lambda: any(text.startswith("told http") for text in run.journal()))
            await stop(run)
            await start_again(run, tasks)
            await until_turned(run)
            await stop(run)
        assert [one.headers["idempotency-key"] for one in it.heard] == [it.heard[0].headers["idempotency-key"]] * 2
        assert not any(NEVER_LINKED in text for text in run.journal())


async def test_a_reload_begins_to_tell_and_the_dead_man_is_pinged(tmp_path: Path) -> None:
    async with hook() as it, hook() as switch, running(tmp_path) as run:
        run.gateway.apply(QrWanted(session="a"))
        await until_turned(run, 15)
        run.config.write_text(run.config.read_text() + alerts_to(it.url) + f"dead_man: {switch.url}\n")
        assert (await run.daemon.reload()).taken
        (heard,) = await it.until(1)
        assert heard.json["kind"] == "needs_human"
        assert heard.json["gateway"] == {"kind": "waha", "host": run.gateway.url.split("/")[2]}
        await switch.until(1)
        run.daemon.stop()


async def test_a_refusing_webhook_is_told_in_the_journal(tmp_path: Path) -> None:
    async with hook() as it:
        it.answer = 404
        async with running(tmp_path, more=alerts_to(it.url)) as run:
            run.gateway.apply(QrWanted(session="a"))
            await until(lambda: any("could not be told: it answered 404" in text for text in run.journal()))
            run.daemon.stop()
        assert len(it.heard) == 1
        assert read_state(tmp_path / "state").outbox == ()
