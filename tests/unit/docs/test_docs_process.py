"""docs/process.md: each of its examples is read by whoever it is written for, as far as this machine has them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from wasupervisor.config.loading import Loaded
from wasupervisor.config.policy import policy_of
from wasupervisor.config.recovery import RestartGateway
from wasupervisor.config.schema import Settings
from wasupervisor.host import ending, restart_command, restart_docker, restart_kubelet, restart_systemd

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "process.md").read_text(encoding="utf-8")
UNIT = (ROOT / "packaging" / "systemd" / "wasupervisor.service").read_text(encoding="utf-8")
KEY = {"WAHA_API_KEY": "k"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def of_ours() -> list[str]:
    """The configurations, that of the Kubernetes manifest too."""
    return [one for one in blocks("yaml") if one.startswith("gateway:")] + [manifest()[0]["data"]["config.yaml"]]


def manifest() -> list[dict[str, Any]]:
    (text,) = [one for one in blocks("yaml") if "kind: Deployment" in one]
    return list(yaml.safe_load_all(text))


def containers() -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in manifest()[1]["spec"]["template"]["spec"]["containers"]}


def settings_of(text: str, load_text: Callable[..., Loaded]) -> Settings:
    return load_text(text, KEY).settings


def test_no_example_is_left_out() -> None:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    others = [text for language, text in found if language == "yaml" and not text.startswith("gateway:")]
    assert [text.split()[0] for text in others] == ["services:", "apiVersion:"]
    assert {language for language, _ in found} == {"", "yaml", "ini", "js"}
    commands = [line for language, text in found if not language for line in text.splitlines()]
    assert [line.split()[:2] for line in commands] == [["sudo", "packaging/systemd/install.sh"], ["docker", "run"]]
    for script in re.findall(r"`?sudo (packaging/\S+) (--[a-z-]+)", PAGE):
        assert script[1] in (ROOT / script[0]).read_text(encoding="utf-8")


def test_every_configuration_loads_and_is_acted_on(load_text: Callable[..., Loaded]) -> None:
    ways = []
    for text in of_ours():
        settings = settings_of(text, load_text)
        ways.append(settings.recovery.restart_gateway.by)
        assert policy_of(settings).notes == ()
    assert sorted(set(ways)) == ["command", "docker", "kubelet", "systemd"]
    sections = set(RestartGateway.__struct_fields__) | {"memory", "cpu", "maintenance", "hung_after", "gone_after"}
    assert [name for name in sorted(sections) if name not in PAGE] == []


def test_the_units_hold_nothing_that_systemd_does_not_know(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd-analyze")
    waha, drop_in = blocks("ini")
    for name, text in (("waha.service", waha), ("wasupervisor.service", UNIT + drop_in)):
        file = tmp_path / name
        file.write_text(re.sub(r"^Exec(Start|Reload)=\S+", rf"Exec\1={sys.executable}", text, flags=re.MULTILINE))
        done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
        assert [line for line in (done.stdout + done.stderr).splitlines() if name in line] == []
    assert f"TimeoutStopSec={restart_systemd.STOP:g}\n" in waha


def test_compose_gives_the_container_its_time_to_stop() -> None:
    (text,) = [one for one in blocks("yaml") if one.startswith("services:")]
    (service,) = yaml.safe_load(text)["services"].values()
    assert service["stop_grace_period"] == f"{restart_docker.STOP}s"
    assert f"--stop-timeout {restart_docker.STOP} " in PAGE


def test_pm2_gives_it_too() -> None:
    if shutil.which("node") is None:
        pytest.skip("this machine has no node")
    (text,) = blocks("js")
    program = f"{text}\nconsole.log(JSON.stringify(module.exports.apps[0]))"
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    app = json.loads(done.stdout)
    assert app["kill_timeout"] == 1000 * ending.TERM_WITHIN
    assert {"max_restarts", "max_memory_restart"}.isdisjoint(app)


def test_the_pods_liveness_fails_while_the_file_is_there(load_text: Callable[..., Loaded], tmp_path: Path) -> None:
    config = settings_of(manifest()[0]["data"]["config.yaml"], load_text)
    wanted, probe = str(config.recovery.restart_gateway.file), containers()["waha"]["livenessProbe"]
    file = tmp_path / "restart-wanted"
    argv = [str(file) if word == wanted else word for word in probe["exec"]["command"]]
    assert str(file) in argv
    assert subprocess.run(argv, check=False).returncode == 0
    file.touch()
    assert subprocess.run(argv, check=False).returncode == 1


def test_the_pods_times_fit_into_what_the_file_stays(load_text: Callable[..., Loaded]) -> None:
    probe = containers()["waha"]["livenessProbe"]
    fails = probe["periodSeconds"] * probe["failureThreshold"]
    stops = probe["terminationGracePeriodSeconds"]
    assert stops >= 30
    assert fails + stops + probe["initialDelaySeconds"] < restart_kubelet.WANTED_FOR
    ready = containers()["wasupervisor"]["readinessProbe"]
    drain = settings_of(manifest()[0]["data"]["config.yaml"], load_text).recovery.restart_gateway.drain
    assert ready["periodSeconds"] * ready["failureThreshold"] < drain


def test_the_pods_folders_are_where_our_configuration_wants_them(load_text: Callable[..., Loaded]) -> None:
    settings = settings_of(manifest()[0]["data"]["config.yaml"], load_text)
    mounts = {name: {one["mountPath"]: one for one in it["volumeMounts"]} for name, it in containers().items()}
    ours = mounts["wasupervisor"]
    paths = (settings.recovery.restart_gateway.file, settings.health.file, settings.control.socket)
    assert [str(path) for path in paths if path is None or str(path.parent) not in ours] == []
    assert str(settings.state.directory) in ours
    shared = mounts["waha"]["/shared"]
    assert shared["name"] == ours["/shared"]["name"]
    assert shared["readOnly"]
    volumes = {one["name"] for one in manifest()[1]["spec"]["template"]["spec"]["volumes"]}
    assert {one["name"] for of in mounts.values() for one in of.values()} == volumes


@pytest.mark.parametrize(
    "text",
    [
        f"at most {restart_systemd.LONGEST:g} s |",
        f"`t` {restart_docker.STOP} s or the container's own longer StopTimeout | `t` and {restart_docker.BESIDES:g} s",
        f"| {restart_command.DEADLINE:g} s, then it is killed with its group",
        f"| a new process, {restart_kubelet.WANTED_FOR:g} s; then the file goes",
        f"TERM, {ending.TERM_WITHIN:g} s, KILL",
    ],
)
def test_the_times_are_those_of_the_code(text: str) -> None:
    assert text in PAGE
