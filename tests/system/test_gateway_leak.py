"""A gateway that really leaks is forecast, drained, restarted once and verified, while the health port answers.

By a command, a container engine and a kubelet here; by systemd and by PM2 in the modules beside.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gateway_runners import ChildGateway, Engine, KeptGateway, Kubelet, running
from leak_story import Lapse, configure, hook, is_verified, leak_and_heal, leak_on, of_restarts
from stage import Gateway, wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def uplink_port(gateways: Callable[..., Gateway]) -> int:
    """WhatsApp, for all gateways of the test."""
    return gateways().uplink_port


@pytest.fixture
def place(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        return folder

    return make


def by_command(folder: Path, uplink_port: int) -> None:
    (folder / "kept").mkdir()
    with hook() as alerts, closing(KeptGateway(folder / "kept", uplink_port)) as gateway:
        with closing(Lapse(folder, gateway)) as it:
            configure(it, gateway, f"by: command, argv: {json.dumps(gateway.command)}", alerts)
            told = leak_and_heal(it, gateway, alerts)
        assert told.endswith(f"ended well: started {gateway.pid}")


def by_docker(folder: Path, uplink_port: int) -> None:
    socket = folder / "docker.sock"
    with ExitStack() as stack:
        alerts = stack.enter_context(hook())
        gateway = stack.enter_context(closing(ChildGateway(uplink_port)))
        engine = stack.enter_context(Engine(socket, gateway))
        stack.enter_context(running(engine.serve_forever, engine.shutdown))
        it = stack.enter_context(closing(Lapse(folder, gateway, environ={"DOCKER_HOST": f"unix://{socket}"})))
        configure(it, gateway, "by: docker, container: waha", alerts, find="{docker: waha}")
        told = leak_and_heal(it, gateway, alerts)
        assert [one for one in engine.asked if one.startswith("POST")] == ["POST /containers/waha/restart?t=45"]
    assert told.endswith("the engine restarted the container waha, with 45 s to stop")


def by_kubelet(folder: Path, uplink_port: int) -> None:
    file = folder / "restart-wanted"
    with ExitStack() as stack:
        alerts = stack.enter_context(hook())
        gateway = stack.enter_context(closing(ChildGateway(uplink_port)))
        kubelet = Kubelet(["test", "!", "-e", str(file)], gateway)
        stack.enter_context(running(kubelet.run, kubelet.stop))
        it = stack.enter_context(closing(Lapse(folder, gateway)))
        configure(it, gateway, f"by: kubelet, file: {file}", alerts)
        told = leak_and_heal(it, gateway, alerts)
        assert not file.exists()
        assert len(gateway.ends) == 1
    assert told.endswith(f"{file} is there for the liveness probe; a new process was seen")


def test_a_leaking_gateway_is_forecast_drained_restarted_once_and_verified_by_whoever_restarts_it(
    place: Callable[[str], Path], uplink_port: int
) -> None:
    ways = (by_command, by_docker, by_kubelet)
    with ThreadPoolExecutor(len(ways)) as side_by_side:
        ended = [side_by_side.submit(way, place(way.__name__), uplink_port) for way in ways]
    if failures := [error for one in ended if isinstance(error := one.exception(), Exception)]:
        raise ExceptionGroup("not all of them", failures)


def test_in_a_window_of_maintenance_it_is_restarted_ahead_of_its_limit(
    place: Callable[[str], Path], uplink_port: int, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    hours = "-".join(f"{now + timedelta(hours=apart):%H:%M}" for apart in (-1, 2))
    with ExitStack() as stack:
        alerts = stack.enter_context(hook())
        gateway = stack.enter_context(closing(KeptGateway(place("kept"), uplink_port)))
        it = stack.enter_context(closing(Lapse(tmp_path, gateway)))
        configure(it, gateway, f"by: command, argv: {json.dumps(gateway.command)}", alerts)
        window = f'recovery:\n  maintenance: {{hours: "{hours}"}}\n'
        it.config.write_text(it.config.read_text().replace("recovery:\n", window))
        it.start()
        first = gateway.pid
        for _ in range(14):
            if not of_restarts(it):
                leak_on(it, gateway)
        wait_until("it is verified", lambda: is_verified(it))
        assert [one["reason"] for one in of_restarts(it) if one["kind"] == "remedy"] == ["memory_leak"]
        assert gateway.pid != first
        assert alerts.told("resources") == []


def test_one_that_leaks_at_its_start_is_not_restarted_for_ever(
    place: Callable[[str], Path], uplink_port: int, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        alerts = stack.enter_context(hook())
        gateway = stack.enter_context(closing(KeptGateway(place("kept"), uplink_port, "--memory", "350")))
        it = stack.enter_context(closing(Lapse(tmp_path, gateway)))
        configure(it, gateway, f"by: command, argv: {json.dumps(gateway.command)}", alerts)
        it.config.write_text(it.config.read_text().replace("open_for: 1h", "open_for: 1m"))
        it.start()
        for _ in range(20):
            it.look_again()
            wait_until("no restart is under way", lambda: is_judged(it))
            it.let_pass(140.0)
        told = [(one["kind"], one["outcome"]) for one in of_restarts(it)]
        assert told == [*IN_VAIN, ("withheld", "breaker"), *IN_VAIN, ("withheld", "breaker"), ("withheld", "budget")]
        assert [event for event, _ in alerts.told("resources")] == ["begin"]
        assert it.get("/livez").status_code == 200
        assert "The gateway uses 3" in str(it.document()["notes"])


IN_VAIN = (("remedy", None), ("result", "accepted"), ("verified", "not_healed"))


def is_judged(it: Lapse) -> bool:
    begun = it.logged().count("restart_gateway for the gateway: ")
    return 0 < begun == it.logged().count("restart_gateway did not heal: ")
