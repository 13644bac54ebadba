"""Where files lie when the configuration does not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasupervisor.config.places import Places

HOME = Path("/home/ana")


@pytest.mark.parametrize(
    ("environ", "uid", "runtime", "state"),
    [
        ({}, 0, "/run/wasupervisor", "/var/lib/wasupervisor"),
        ({}, 1000, "/home/ana/.local/state/wasupervisor/run", "/home/ana/.local/state/wasupervisor"),
        ({"XDG_RUNTIME_DIR": "/run/user/1"}, 1, "/run/user/1/wasupervisor", "/home/ana/.local/state/wasupervisor"),
        ({"XDG_STATE_HOME": "/s"}, 1, "/s/wasupervisor/run", "/s/wasupervisor"),
        ({"XDG_RUNTIME_DIR": "r", "XDG_STATE_HOME": "s"}, 0, "/run/wasupervisor", "/var/lib/wasupervisor"),
        (
            {"XDG_STATE_HOME": "not/absolute"},
            1,
            f"{HOME}/.local/state/wasupervisor/run",
            f"{HOME}/.local/state/wasupervisor",
        ),
        ({"RUNTIME_DIRECTORY": "/run/wa", "STATE_DIRECTORY": "/var/lib/wa"}, 1000, "/run/wa", "/var/lib/wa"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b", "STATE_DIRECTORY": "/s/a:/s/b"}, 0, "/run/a", "/s/a"),
        ({"RUNTIME_DIRECTORY": "", "STATE_DIRECTORY": ""}, 0, "/run/wasupervisor", "/var/lib/wasupervisor"),
    ],
)
def test_the_folders_follow_systemd_then_root_then_xdg(
    environ: dict[str, str], uid: int, runtime: str, state: str
) -> None:
    assert Places.of(environ, uid, HOME) == (Path(runtime), Path(state))
