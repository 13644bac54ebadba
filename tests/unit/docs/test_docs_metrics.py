"""docs/metrics.md: its table is the program's, its examples are YAML and ask for what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from wasupervisor.report.series import AGE, PREFIX, ROWS

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
ALL = (AGE, *ROWS)


def example(name: str) -> Any:
    found = re.search(rf"<!-- example: {name} -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1])


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = example("rules")["groups"][0]["rules"]
    return found


def test_each_series_has_its_row() -> None:
    told = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert told == [
        f"| `{row.name}` | {row.kind} | {', '.join(f'`{one}`' for one in row.labels)} | "
        f"{'always' if row.lasting else ''} | {row.help} |"
        for row in ALL
    ]


def test_it_is_scraped_where_the_health_port_is() -> None:
    job = example("scrape")["scrape_configs"][0]
    assert set(job) == {"job_name", "scrape_interval", "static_configs"}
    assert job["static_configs"] == [{"targets": ["127.0.0.1:8090"]}]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_rule_asks_for_series_that_there_are(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["annotations"]) == {"summary", "description"}
    by_name = {PREFIX + row.name: row for row in ALL}
    asked = re.findall(rf"\b({PREFIX}\w+)(?:{{(\w+)=)?", rule["expr"])
    assert asked
    for name, label in asked:
        assert not label or label in by_name[name].labels
    labels = {one for name, _ in asked for one in by_name[name].labels} | {"instance"}
    assert set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))) <= labels


def test_there_are_five_rules_each_with_a_name_of_its_own() -> None:
    assert len({rule["alert"] for rule in rules()}) == 5
