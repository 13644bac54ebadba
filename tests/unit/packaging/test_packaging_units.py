"""The units as files: what systemd says of their exposure, and that what is written about it is true."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from skipping import cannot

SYSTEMD = Path(__file__).parents[3] / "packaging/systemd"
UNITS = ("wasupervisor.service", "wasupervisor@.service")
LOOSER = ("allow-command.conf", "allow-ptrace.conf")
MOST = 15
"""Tenths of systemd's points."""


def security(unit: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        cannot("systemd-analyze is missing")
    argv = [program, "security", "--offline=true", "--no-pager", *options, str(unit)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})


def exposure(unit: Path) -> str:
    found = re.search(r"Overall exposure level for \S+: (\S+)", security(unit).stdout)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("unit", UNITS)
def test_the_exposure_is_low(unit: str) -> None:
    done = security(SYSTEMD / unit, f"--threshold={MOST}")
    assert done.returncode == 0, done.stdout


def test_each_line_that_cannot_be_set_is_explained() -> None:
    rows = json.loads(security(SYSTEMD / UNITS[0], "--json=short").stdout)
    names = {re.split("[=~]", row["name"])[0] for row in rows if row["exposure"] is not None}
    text = (SYSTEMD / UNITS[0]).read_text()
    explained = set(re.findall(r"(\w+)=", "\n".join(re.findall(r"^#   (.+?)   ", text, re.MULTILINE))))
    assert names <= explained
    assert f"# systemd-analyze security: {exposure(SYSTEMD / UNITS[0])}," in text


@pytest.mark.parametrize("name", LOOSER)
def test_a_drop_in_says_what_it_costs(name: str, tmp_path: Path) -> None:
    unit = tmp_path / UNITS[0]
    shutil.copy(SYSTEMD / UNITS[0], unit)
    before = exposure(unit)
    (tmp_path / f"{UNITS[0]}.d").mkdir()
    shutil.copy(SYSTEMD / name, tmp_path / f"{UNITS[0]}.d")
    assert f"says {exposure(unit)} instead of {before}" in (SYSTEMD / name).read_text()


OF_ITS_OWN = ("ExecStart", "EnvironmentFile", "LoadCredential", "StateDirectory", "RuntimeDirectory")


def test_the_unit_for_several_gateways_is_made_of_the_one() -> None:
    argv = ["sed", "-f", str(SYSTEMD / "instances.sed"), str(SYSTEMD / UNITS[0])]
    made = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert (SYSTEMD / UNITS[1]).read_text() == made, "it is to be made anew: see the head of instances.sed"
    lines = [line for line in made.splitlines() if line.partition("=")[0] in OF_ITS_OWN]
    assert len(lines) > len(OF_ITS_OWN)
    assert all("%i" in line for line in lines)
