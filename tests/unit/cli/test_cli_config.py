"""`wasupervisor config`, as an operator types it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from wasupervisor.cli.config import config_group
from wasupervisor.config.jsonschema import json_schema
from wasupervisor.config.rendering import sample

GOOD = "gateway: {kind: waha, url: 'http://h:1', api_key: hunter2}\n"


@click.group()
@click.option("-c", "--config", type=click.Path(path_type=Path))
@click.pass_context
def root(context: click.Context, config: Path | None) -> None:
    """Stands for the whole program."""
    context.obj = {"config": config}


root.add_command(config_group)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    return path


def _run(*arguments: object, env: dict[str, str | None] | None = None) -> Result:
    return CliRunner().invoke(root, [str(argument) for argument in arguments], env=env, catch_exceptions=False)


def test_a_valid_file_is_said_to_be_so(file: Path) -> None:
    result = _run("config", "validate", "-c", file)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{file} is valid\n", "")


def test_the_file_may_be_named_before_the_sub_command(file: Path) -> None:
    result = _run("-c", file, "config", "validate")
    assert (result.exit_code, result.stdout) == (0, f"{file} is valid\n")


def test_the_file_named_last_wins(file: Path, tmp_path: Path) -> None:
    assert _run("-c", tmp_path / "none", "config", "validate", "-c", file).exit_code == 0


def test_the_command_family_works_alone(file: Path) -> None:
    assert CliRunner().invoke(config_group, ["validate", "-c", str(file)]).exit_code == 0


def test_every_problem_is_a_line_and_the_exit_status_is_2(file: Path) -> None:
    file.write_text("gateway: {kind: wah, api_key: hunter2}\nlgo: {}\n")
    result = _run("config", "validate", "-c", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"{file}:1:10: gateway.url: cannot be left out: write a URL such as http://127.0.0.1:3000",
        f"{file}:1:17: gateway.kind: cannot be 'wah': choose waha or evolution",
        f"{file}:2:1: lgo: cannot be set: there is no such key; did you mean `log`?",
    ]


def test_without_a_file_the_default_one_is_named() -> None:
    if Path("/etc/wasupervisor/config.yaml").exists():
        pytest.skip("this host has a configuration")
    result = _run("config", "validate")
    assert result.exit_code == 2
    assert result.stderr.startswith("/etc/wasupervisor/config.yaml: cannot be read: there is no such file")


def test_missing_secrets_and_what_is_not_acted_on_are_told_and_do_not_fail(file: Path, tmp_path: Path) -> None:
    file.write_text(
        "gateway: {kind: waha, url: 'http://h', api_key_file: none.key}\n"
        "redis: {url: '${WA_TEST_REDIS_URL}'}\nvault: {}\n"
    )
    result = _run("config", "validate", "-c", file, env={"WA_TEST_REDIS_URL": None, "CREDENTIALS_DIRECTORY": None})
    assert result.exit_code == 0
    assert result.stdout == f"{file} is valid\n"
    assert result.stderr.splitlines() == [
        f"warning: {file}:1:54: gateway.api_key_file: cannot be read: {tmp_path}/none.key: No such file or directory",
        f"warning: {file}:2:14: redis.url: cannot be filled in: the environment variable WA_TEST_REDIS_URL is not set",
        "note: vault is configured, and this version does not act on it yet",
    ]


def test_a_secret_that_is_there_and_cannot_be_used_is_an_error(file: Path, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("short\n")
    (tmp_path / "t").chmod(0o600)
    file.write_text("gateway: {kind: waha, url: 'http://h', api_key_file: none.key}\ncontrol: {token_file: t}\n")
    result = _run("config", "validate", "-c", file, env={"CREDENTIALS_DIRECTORY": None})
    assert (result.exit_code, result.stdout) == (2, "")
    warning, error = result.stderr.splitlines()
    assert warning.startswith(f"warning: {file}:1:")
    assert error.startswith(f"{file}:2:23: control.token_file: cannot be used: the token in {tmp_path}/t is too easily")
    (tmp_path / "t").unlink()
    result = _run("config", "validate", "-c", file, env={"CREDENTIALS_DIRECTORY": None})
    assert (result.exit_code, result.stdout) == (0, f"{file} is valid\n")
    assert result.stderr.splitlines()[1].startswith(f"warning: {file}:2:23: control.token_file: cannot be read")


def test_show_prints_what_is_in_force_without_secrets(file: Path) -> None:
    text = _run("config", "show", "-c", file)
    assert text.exit_code == 0
    assert "poll_every: 5s" in text.stdout
    assert "api_key: '***'" in text.stdout
    facts = _run("config", "show", "--json", "-c", file)
    assert json.loads(facts.stdout)["gateway"]["api_key"] == "***"
    assert "hunter2" not in text.output + facts.output


def test_show_of_a_bad_file_fails_as_validate_does(file: Path) -> None:
    file.write_text("gateway: []\n")
    result = _run("config", "show", "-c", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "gateway: cannot be a list" in result.stderr


def test_the_sample_that_is_printed_is_valid(tmp_path: Path) -> None:
    result = _run("config", "sample")
    assert (result.exit_code, result.stdout) == (0, sample())
    (tmp_path / "config.yaml").write_text(result.stdout)
    assert _run("config", "validate", "-c", tmp_path / "config.yaml").exit_code == 0


def test_the_schema_is_json() -> None:
    result = _run("config", "schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()
