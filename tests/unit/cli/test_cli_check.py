"""`check` as an operator types it, beside a simulated gateway."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio.from_thread
import pytest
from cli_daemon import run
from msgspec.structs import replace

from wasupervisor.cli import check as check_module
from wasupervisor.config.schema import Settings
from wasupervisor.model.remedies import Remedy, RemedyKind
from wasupervisor.runtime.once import Once, look_once
from wasupervisor.simulator.faults import AnyFault, Claims, Failed, Stopped
from wasupervisor.simulator.kinds import make_world
from wasupervisor.simulator.server import serve


@contextmanager
def gateway(*faults: AnyFault) -> Iterator[str]:
    """A gateway with two sessions; gives its address."""
    with anyio.from_thread.start_blocking_portal() as portal:
        world = portal.call(lambda: make_world("waha", ["a", "b"]))
        with portal.wrap_async_context_manager(serve(world)) as it:
            for fault in faults:
                portal.call(it.apply, fault)
            yield it.url
            assert portal.call(it.count, "POST *") == 0


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setattr(check_module, "DEFAULT_FILE", tmp_path / "nowhere.yaml")


def look(url: str, *more: str) -> list[str]:
    return ["check", "--gateway", "waha", "--url", url, *more]


def test_all_well_exits_0_and_says_on_what_it_was_judged() -> None:
    with gateway() as url:
        result = run(*look(url))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "healthy: 2 expected sessions active"
    assert lines[1] == "gateway 2024.10.8: answers"
    assert any(line.startswith("judged at once and without patience") for line in lines)
    assert lines[-2:] == [f"{name} is healthy: it works, and has for long enough" for name in "ab"]


def test_what_would_be_done_and_why_is_told_and_nothing_is_done(tmp_path: Path) -> None:
    with gateway(Failed(session="a")) as url:
        config = tmp_path / "config.yaml"
        config.write_text(f"gateway: {{kind: waha, url: '{url}'}}\nuplink: null\n")
        result = run("check", "-c", str(config))
        facts = json.loads(run("-c", str(config), "check", "--json").stdout)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    at = lines.index("a is failing: it failed and the gateway does not say why")
    assert lines[at + 1] == "  gateway   says FAILED"
    assert lines[at + 2].startswith("  would do  restart_session (attempt 1): it failed")
    assert lines[at + 3 :] == [
        "  more      docs/reasons/unexplained.md",
        "b is healthy: it works, and has for long enough",
    ]
    assert [(one["session"], one["remedy"]) for one in facts["would_do"]] == [("a", "restart_session")]
    assert facts["remembered"] is False
    assert not (tmp_path / "state").exists()


def test_what_a_person_should_do_is_told_once() -> None:
    with gateway(Claims(session="a", status="SCAN_QR_CODE")) as url:
        result = run(*look(url))
    assert result.stdout.count("Scan the QR code") == 1
    assert "  to do     Scan the QR code" in result.stdout


def test_what_would_be_done_to_the_gateway_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_and_find_it_hung(settings: Settings) -> Once:
        once = await look_once(settings)
        remedy = Remedy("a1", RemedyKind.RESTART_GATEWAY, "", "restart_gateway: it does not answer")
        return once._replace(decision=replace(once.decision, remedies=(remedy,)))

    monkeypatch.setattr(check_module, "look_once", look_and_find_it_hung)
    result = run(*look("http://127.0.0.1:9"))
    assert "would do now, to the gateway: restart_gateway: it does not answer\n" in result.stdout


def test_a_gateway_that_is_not_there_exits_1() -> None:
    result = run(*look("http://127.0.0.1:9"))
    assert result.exit_code == 1
    assert "gateway: does not answer: " in result.stdout


def test_a_stopped_session_of_an_operator_is_well() -> None:
    with gateway(Stopped(session="a")) as url:
        result = run(*look(url, "--json"))
    assert {one["name"]: one["state"] for one in json.loads(result.stdout)["sessions"]}["a"] == "stopped"


def test_without_any_file_it_is_said_how_to_look_all_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("wasupervisor.cli.run.DEFAULT_FILE", tmp_path / "nowhere.yaml")
    result = run("check")
    assert result.exit_code == 2
    assert "wasupervisor check --gateway waha --url" in result.stderr


@pytest.mark.parametrize(
    "words", [["-c", "/nowhere.yaml"], ["--gateway", "waha"], ["-c", "x", "--gateway", "waha"], ["--gateway", "w"]]
)
def test_wrong_usage_exits_2_without_a_traceback(words: list[str]) -> None:
    result = run("check", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert all(line.startswith("wasupervisor: ") for line in result.stderr.splitlines())


def test_an_unset_key_is_told_by_its_option() -> None:
    result = run(*look("http://127.0.0.1:9", "--api-key-env", "NOWHERE_TO_BE_FOUND"))
    assert result.exit_code == 2
    assert "--api-key-env" in result.stderr
    assert "NOWHERE_TO_BE_FOUND" in result.stderr


def test_a_dns_that_hangs_does_not_keep_the_answer_back(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, ended = threading.Event(), threading.Event()

    def hang() -> None:
        answers.wait(30)
        ended.set()

    async def look_and_leave_a_thread_behind(settings: Settings) -> Once:
        asyncio.get_running_loop().run_in_executor(None, hang)
        return await look_once(settings)

    monkeypatch.setattr(check_module, "look_once", look_and_leave_a_thread_behind)
    result = run(*look("http://127.0.0.1:9"))
    assert not ended.is_set()
    assert result.exit_code == 1
    answers.set()
