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


@pytest.mark.parametrize(
    ("file", "runtime", "state"),
    [
        ("/etc/wasupervisor/config.yaml", "/run/wasupervisor", "/var/lib/wasupervisor"),
        ("/etc/wasupervisor/waha2.yaml", "/run/wasupervisor/waha2", "/var/lib/wasupervisor/waha2"),
        ("/etc/wasupervisor/../wasupervisor/waha2.yaml", "/run/wasupervisor/waha2", "/var/lib/wasupervisor/waha2"),
        ("/etc/wasupervisor/old/waha2.yaml", "/home/ana/.local/state/wasupervisor/run", None),
        ("/etc/wasupervisor/waha2.yaml.bak", "/home/ana/.local/state/wasupervisor/run", None),
        ("waha2.yaml", "/home/ana/.local/state/wasupervisor/run", None),
    ],
)
def test_a_configuration_of_a_unit_means_the_units_folders_whoever_asks(
    file: str, runtime: str, state: str | None
) -> None:
    expected = Places(Path(runtime), Path(state or "/home/ana/.local/state/wasupervisor"))
    assert Places.of({}, 1000, HOME, Path(file)) == expected


def test_systemds_word_is_above_the_name_of_the_file() -> None:
    environ = {"RUNTIME_DIRECTORY": "/run/wa"}
    expected = (Path("/run/wa"), Path("/var/lib/wasupervisor/waha2"))
    assert Places.of(environ, 1000, HOME, Path("/etc/wasupervisor/waha2.yaml")) == expected
