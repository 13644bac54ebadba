"""Codes and names of engines: each means one thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasupervisor.gateways.codes import TABLE, cause_of_code, cause_of_name, codes_of
from wasupervisor.model.sessions import Reason


def test_no_code_and_no_name_stands_twice() -> None:
    codes = [cause.code for cause in TABLE if cause.code is not None]
    names = [name for cause in TABLE for name in cause.names]
    assert len(codes) == len(set(codes))
    assert len(names) == len(set(names))


def test_every_code_that_operators_report_is_there() -> None:
    assert {401, 402, 403, 405, 406, 408, 411, 428, 429, 440, 500, 503, 515} <= {cause.code for cause in TABLE}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("LoggedOut", 401),
        ("TemporaryBan", 402),
        ("ClientOutdated", 405),
        ("StreamReplaced", 440),
        ("LOGOUT", 401),
        ("CONFLICT", 440),
        ("TIMEOUT", 408),
    ],
)
def test_a_name_means_what_its_code_means(name: str, code: int) -> None:
    cause = cause_of_name(name)
    assert cause is not None
    assert cause is cause_of_code(code)


@pytest.mark.parametrize("unknown", ["", "loggedout", "CONNECTED", None, 440, ["CONFLICT"], {}])
def test_what_is_not_known_means_nothing(unknown: object) -> None:
    assert cause_of_name(unknown) is None


@pytest.mark.parametrize("unknown", [None, 0, 200, 999])
def test_a_code_that_is_not_known_means_nothing(unknown: int | None) -> None:
    assert cause_of_code(unknown) is None


def test_the_codes_of_a_reason() -> None:
    assert codes_of(Reason.BANNED) == (402, 403, 406)
    assert codes_of(Reason.QR_EXPIRED) == ()


def test_the_docs_tell_each_row_as_the_table_does() -> None:
    lines = (Path(__file__).parents[3] / "docs" / "gateways.md").read_text().splitlines()
    for cause in TABLE:
        (line,) = [line for line in lines if line.endswith(f"| {cause.sentence} ({cause.source}) |")]
        assert line.startswith(f"| {cause.code or ''} |")
        assert f"| `{cause.reason}` |" in line
        assert all(f"`{name}`" in line for name in cause.names)
