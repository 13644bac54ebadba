"""Which way is taken, and that nothing of the others is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wasupervisor.host.restarter import Restarter, open_restarter

LOADED = """
import sys
import wasupervisor.runtime.daemon
{more}
names = [name for name in sys.modules if name.startswith(("wasupervisor.host.r", "wasupervisor.runtime.restart"))]
print(*sorted(names))
"""
OPEN = 'from wasupervisor.host.restarter import open_restarter as o; o("kubelet", unit=None, container=None, argv=(),'


def opened(by: str, **given: object) -> Restarter:
    wanted: dict[str, object] = {"unit": None, "container": None, "argv": (), "file": None}
    return open_restarter(by, **{**wanted, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("by", "key", "value"),
    [
        ("systemd", "unit", "waha.service"),
        ("docker", "container", "waha"),
        ("command", "argv", ("pm2", "restart", "waha")),
        ("kubelet", "file", Path("/shared/restart-wanted")),
    ],
)
def test_each_way_is_opened_by_its_name(by: str, key: str, value: object) -> None:
    assert opened(by, **{key: value}).by == by
    with pytest.raises(ValueError, match=f"cannot restart the gateway by '{by}'"):
        opened(by)


def loaded(more: str) -> list[str]:
    program = LOADED.format(more=more)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_nothing_of_it_is_loaded_with_the_daemon_and_only_the_configured_one_later() -> None:
    assert loaded("") == []
    assert loaded(f"from pathlib import Path; {OPEN} file=Path('/f'))") == [
        "wasupervisor.host.restart_kubelet",
        "wasupervisor.host.restarter",
    ]
