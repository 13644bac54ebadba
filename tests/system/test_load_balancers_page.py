"""docs/load-balancers.md: what it says is what the program does, and each of its examples is run somewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from balancers import PAGE, Site, example

from wasupervisor.report.agent import NOT_LOOKED, ROWS, SILENT

HERE = Path(__file__).parent


def names() -> set[str]:
    return set(re.findall(r"<!-- example: (\w+) -->", PAGE.read_text()))


def test_each_example_is_used_by_a_test() -> None:
    text = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    assert names() == {name for name in names() if re.search(rf'(haproxy|nginx|example)\("{name}"', text)}
    assert PAGE.read_text().count("```") == 2 * len(names()), "each block is an example"


def test_the_agents_words_are_those_of_its_table() -> None:
    said = re.findall(r"^\| `(.+) # ...`.* \| (.+) \|$|^\| `(#) ...`.* \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    told = {(words or "", sentence or quiet) for words, sentence, _, quiet in said}
    assert told == {(row.words, row.sentence) for row in (*ROWS, NOT_LOOKED, SILENT)}


def test_the_supervisors_configuration_is_understood(load_section: Callable[..., Any]) -> None:
    health = load_section(example("supervisor")).settings.health
    assert (str(health.listen), str(health.haproxy_agent)) == ("0.0.0.0:8090", "0.0.0.0:8091")


def probes() -> dict[str, dict[str, Any]]:
    """Of the manifest, by container and kind."""
    found = {}
    for container in yaml.safe_load(example("kubernetes"))["containers"]:
        for key, probe in container.items():
            if key.endswith("Probe"):
                found[f"{container['name']} {key}"] = probe
    return found


def test_the_probes_of_kubernetes_ask_what_they_are_for() -> None:
    found = probes()
    assert set(found) == {"waha readinessProbe", "wasupervisor startupProbe", "wasupervisor livenessProbe"}
    paths = {name: probe["httpGet"]["path"].partition("?")[0] for name, probe in found.items()}
    assert paths == {
        "waha readinessProbe": "/readyz",
        "wasupervisor startupProbe": "/startupz",
        "wasupervisor livenessProbe": "/livez",
    }
    port = yaml.safe_load(example("supervisor"))["health"]["listen"].partition(":")[2]
    assert {probe["httpGet"]["port"] for probe in found.values()} == {int(port)}
    # Out before the gateway is restarted: recovery.restart_gateway.drain is 5 s.
    ready = found["waha readinessProbe"]
    assert ready["periodSeconds"] * ready["failureThreshold"] < 5
    assert set(ready) == {"httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold"}


@pytest.mark.timeout(120)
def test_each_path_that_is_named_is_answered_by_a_healthy_supervisor(sites: Callable[..., Site]) -> None:
    site = sites("a", "sales,support,NAME").start()
    asked = [probe["httpGet"]["path"] for probe in probes().values()]
    asked += re.findall(r"`(?:--request-path=)?(/(?:readyz|livez|startupz|health)\b[^`\s]*)`", PAGE.read_text())
    asked += re.findall(r"uri (/\S+)", PAGE.read_text())
    assert len(set(asked)) >= 8
    for path in asked:
        # As the kubelet and HAProxy send it: nothing is encoded again.
        url = httpx.URL(f"http://127.0.0.1:{site.health}", raw_path=path.encode())
        answer = httpx.get(url, trust_env=False)
        assert (path, answer.status_code) == (path, 200), answer.text
