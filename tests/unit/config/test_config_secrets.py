"""Secrets: where they come from, and that nobody sees them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from wasupervisor.config import loading
from wasupervisor.config.loading import Loaded, load, read, resolve_secrets
from wasupervisor.config.problems import ConfigError, Problem
from wasupervisor.config.rendering import plain, show
from wasupervisor.config.schema import Settings
from wasupervisor.config.secret import Secret, masked_url

SECRET = "hunter2sEcReT"
Problems = Callable[..., list[str]]


def _file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return file


def _key(settings: Settings) -> str | None:
    return None if settings.gateway.api_key is None else settings.gateway.api_key.reveal()


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret(SECRET)
    assert (str(secret), repr(secret), f"{secret}") == ("***", "Secret('***')", "***")
    assert secret.reveal() == SECRET
    assert secret == Secret(SECRET)
    assert secret != Secret("other")
    assert len({secret, Secret(SECRET)}) == 1
    with pytest.raises(TypeError):
        msgspec.json.encode({"key": secret})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:pw@127.0.0.1:6379/6", "redis://***@127.0.0.1:6379/***"),
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
        ("rediss://user:pw@[::1]:6379", "rediss://***@[::1]:6379"),
        ("https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com/***"),
        ("https://example.org?token=xyz", "https://example.org/***"),
        ("https://example.org/#xyz", "https://example.org/***"),
        ("tgram://123:token/chat", "tgram://***"),
        ("unix://user:pw@/run/redis.sock", "unix://***"),
        ("sentinel://u:pw@h1:26379,h2:26379/main/6", "sentinel://***@h1:26379,h2:26379/***"),
        ("cluster://:pw@h1:7000,[::1]:7001,h3", "cluster://***@h1:7000,[::1]:7001,h3"),
        ("redis://user:12/34@h:6379/6", "redis://***"),
        ("redis://user:12?34@h:6379/6", "redis://***"),
        ("redis://:12#34@h:6379/6", "redis://***"),
        ("redis://user:pw@x@h:6379", "redis://***@h:6379"),
        ("redis://user:pw,x:y", "redis://***"),
        ("https://[broken", "https://***"),
        ("xyz", "***"),
    ],
)
def test_of_a_url_only_scheme_and_host_are_shown(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_variables_are_filled_in_anywhere_in_keys_and_urls(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        """
gateway: {kind: waha, url: 'http://${HOST}:${PORT}', api_key: '${KEY}'}
redis: {url: 'redis://:${PW}@127.0.0.1/0'}
dead_man: ${DEAD_MAN}
alerts: [{to: '${HOOK}'}]
""",
    )
    environ = {"HOST": "h", "PORT": "1", "KEY": "k", "PW": "p", "DEAD_MAN": "https://d/x", "HOOK": "https://a/y"}
    settings = load(file, environ)
    assert settings.gateway.url == "http://h:1"
    assert _key(settings) == "k"
    assert settings.redis is not None
    assert settings.redis.url.reveal() == "redis://:p@127.0.0.1/0"
    assert settings.dead_man == Secret("https://d/x")
    assert settings.alerts[0].to == Secret("https://a/y")


def test_a_value_from_the_environment_is_not_filled_in_again(tmp_path: Path) -> None:
    file = _file(tmp_path, "gateway: {kind: waha, url: 'http://h', api_key: '${A}'}")
    assert _key(load(file, {"A": "${B}", "B": "x"})) == "${B}"


def test_an_unset_variable_is_told_and_only_run_minds(tmp_path: Path) -> None:
    file = _file(tmp_path, "gateway:\n  kind: waha\n  url: http://h\n  api_key: ${NOPE}${NOPE}${VOID}\n")
    loaded = read(file, {"VOID": ""})
    told = [
        f"{file}:4:12: gateway.api_key: cannot be filled in: the environment variable NOPE is not set",
        f"{file}:4:12: gateway.api_key: cannot be filled in: the environment variable VOID is empty",
    ]
    assert [str(problem) for problem in loaded.missing_secrets] == told
    with pytest.raises(ConfigError) as caught:
        resolve_secrets(loaded, {})
    assert [str(problem) for problem in caught.value.problems] == told


@pytest.mark.parametrize("text", ["${}", "${a-b}", "${A", "x${A}${", "${1A}"])
def test_what_only_looks_like_a_variable_is_told(problems_of: Problems, text: str) -> None:
    (problem,) = problems_of(f"gateway: {{kind: waha, url: 'http://h', api_key: '{text}'}}", {"A": "x"})
    assert problem.endswith("cannot be filled in: write ${NAME}, with the name of an environment variable")


def test_a_key_that_no_header_can_carry_is_told(problems_of: Problems) -> None:
    text = "gateway: {kind: waha, url: 'http://h', api_key: '${KEY}'}"
    for key in (f"{SECRET}\n", f"{SECRET} x", f"{SECRET}ñ"):
        (problem,) = problems_of(text, {"KEY": key})
        assert "gateway.api_key: cannot be used as a key: it holds a space, a line break" in problem
        assert SECRET not in problem


def test_the_key_of_a_file_is_read_without_its_line_break(tmp_path: Path) -> None:
    (tmp_path / "gateway.key").write_text(f"{SECRET}\n")
    for name in ("gateway.key", str(tmp_path / "gateway.key")):
        file = _file(tmp_path, f"gateway: {{kind: waha, url: 'http://h', api_key_file: {name}}}")
        assert _key(read(file, {}).settings) is None
        assert _key(load(file, {})) == SECRET


def test_a_relative_key_file_is_one_of_systemds_credentials(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (tmp_path / "gateway.key").write_text("beside")
    file = _file(tmp_path, "gateway: {kind: waha, url: 'http://h', api_key_file: gateway.key}")
    assert _key(load(file, {})) == "beside"
    (credentials / "gateway.key").write_text("from-systemd")
    assert _key(load(file, {"CREDENTIALS_DIRECTORY": str(credentials)})) == "from-systemd"
    (credentials / "gateway.key").unlink()
    assert _key(load(file, {"CREDENTIALS_DIRECTORY": str(credentials)})) == "beside"


def test_by_hand_a_key_is_found_where_systemd_takes_it_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "CREDENTIAL_STORE", tmp_path / "credstore")
    (tmp_path / "credstore").mkdir()
    (tmp_path / "credstore" / "wasupervisor.api_key").write_text("stored")
    file = _file(tmp_path, "gateway: {kind: waha, url: 'http://h', api_key_file: wasupervisor.api_key}")
    assert _key(load(file, {})) == "stored"
    (tmp_path / "wasupervisor.api_key").write_text("beside")
    assert _key(load(file, {})) == "beside"


def _no_key(tmp_path: Path) -> str:
    file = _file(tmp_path, "gateway:\n  kind: waha\n  url: http://h\n  api_key_file: gateway.key\n")
    assert read(file, {}).missing_secrets == ()
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    return str(caught.value).removeprefix(f"{file}:4:17: gateway.api_key_file: ")


def test_a_key_file_that_gives_no_key_is_told(tmp_path: Path) -> None:
    key = tmp_path / "gateway.key"
    assert _no_key(tmp_path) == f"cannot be read: {key}: No such file or directory"
    key.write_text("\n")
    assert _no_key(tmp_path) == f"cannot be used: {key} is empty; write the key into it"
    key.write_bytes(b"\xff\xfe")
    assert _no_key(tmp_path) == f"cannot be read: {key} holds no text"
    key.write_text(f"{SECRET}\n{SECRET}")
    assert _no_key(tmp_path).startswith("cannot be used as a key")
    assert SECRET not in _no_key(tmp_path)
    key.unlink()
    key.mkdir()
    assert _no_key(tmp_path) == f"cannot be read: {key} is no regular file"


def test_a_pipe_as_key_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gateway.key")
    assert _no_key(tmp_path).endswith("is no regular file")


TOKEN = "9f2c" * 7 + "0d1b"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A good one, and a configuration that names it."""
    _file(tmp_path, "gateway: {kind: waha, url: 'http://h'}\ncontrol:\n  token_file: control.token\n")
    file = tmp_path / "control.token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    return file


def _refusal(token: Path) -> Problem:
    config = token.with_name("config.yaml")
    assert read(config, {}).settings.control.token is None
    with pytest.raises(ConfigError) as caught:
        load(config, {})
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{config}:3:15: control.token_file: cannot ")
    return problem


def test_a_token_is_read_from_its_file_and_nobody_sees_it(token: Path) -> None:
    settings = load(token.with_name("config.yaml"), {})
    assert settings.control.token == Secret(TOKEN)
    for text in (show(settings), json.dumps(plain(settings)), repr(settings), str(settings)):
        assert TOKEN not in text
        assert "token:" not in text
    assert "control.token" in show(settings)


def test_a_look_without_the_daemon_needs_no_token(token: Path) -> None:
    token.unlink()
    assert load(token.with_name("config.yaml"), {}, token=False).control.token is None


def test_a_token_is_no_key_of_the_configuration(problems_of: Problems) -> None:
    (problem,) = problems_of(f"gateway: {{kind: waha, url: 'http://h'}}\ncontrol: {{token: {TOKEN}}}\n")
    assert problem.endswith("control.token: cannot be set: there is no such key; did you mean `token_file`?")


def test_a_relative_token_file_is_one_of_systemds_credentials(token: Path, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    token.rename(credentials / token.name)
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert load(tmp_path / "config.yaml", environ).control.token == Secret(TOKEN)


@pytest.mark.parametrize("mode", [0o601, 0o602, 0o604, 0o644, 0o660, 0o620, 0o610, 0o666])
def test_a_token_file_that_is_open_to_others_is_refused(token: Path, mode: int) -> None:
    token.chmod(mode)
    problem = _refusal(token)
    mend = "chmod 640" if os.geteuid() == 0 else "chmod 600"
    assert problem.text == (
        f"cannot be used: {token} is open to others (mode {mode:04o}), who may know the token by now; "
        f"write a new one into it and run `{mend} {token}`"
    )
    assert not problem.absent


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_the_group_may_read_the_token_when_the_file_is_roots(token: Path) -> None:
    for mode in (0o640, 0o440):  # systemd's credentials have the second
        token.chmod(mode)
        assert load(token.with_name("config.yaml"), {}).control.token == Secret(TOKEN)
    os.chown(token, 64123, 64123)
    assert "run `chmod 600 " in _refusal(token).text
    token.chmod(0o400)
    assert load(token.with_name("config.yaml"), {}).control.token == Secret(TOKEN)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty; write a token into it: `openssl rand -hex 32` makes one"),
        (b"\n \n", "is empty; write a token into it"),
        (SECRET.encode(), "is too easily guessed; write a random one of at least 32 characters into it"),
        (TOKEN[:31].encode(), "is too easily guessed"),
        (b"aB3" * 20, "is too easily guessed"),
        (f"{TOKEN} {SECRET}".encode(), "it holds other characters than a header takes; `openssl rand"),
        (f"{TOKEN}\n{SECRET}".encode(), "it holds other characters than a header takes"),
        (f'{TOKEN}"'.encode(), "it holds other characters than a header takes"),
        (f"{TOKEN}ä".encode(), "it holds other characters than a header takes"),
        (TOKEN.encode() + b"\xff", "holds no text"),
    ],
)
def test_a_file_without_a_good_token_is_refused_and_not_quoted(token: Path, content: bytes, told: str) -> None:
    token.write_bytes(content)
    problem = _refusal(token)
    assert told in problem.text
    assert SECRET not in problem.text
    assert TOKEN[:31] not in problem.text
    assert not problem.absent


def test_a_token_file_that_is_not_there_is_told_apart(token: Path) -> None:
    token.unlink()
    assert _refusal(token).absent
    os.mkfifo(token)
    assert _refusal(token).text.endswith("is no regular file")


def test_alerts_take_the_urls_of_apprise(load_section: Callable[..., Loaded]) -> None:
    settings = load_section("alerts: [{to: 'tgram://123:token/chat'}, {to: 'mailto://u:pw@example.org'}]").settings
    assert settings.alerts[0].to.reveal() == "tgram://123:token/chat"


def test_redis_may_be_behind_sentinels_or_a_socket(load_section: Callable[..., Loaded]) -> None:
    for url in (
        "sentinel://h1:26379,h2:26379/main/0",
        "sentinel://u:p@h1,[::1]:26379/main?tls=true",
        "cluster://h1:1,h2:2",
        "unix:///run/redis.sock?db=1",
        "rediss://:p%2Fw@h/1",
    ):
        assert load_section(f"redis: {{url: '{url}'}}").settings.redis


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"redis://:{SECRET}/x@h:6379/6", "its host or port is malformed"),
        (f"redis://:12/{SECRET}@h:6379/6", "write scheme://host:port"),
        (f"redis://u:12/{SECRET}@h/6", "its path is more than a number; in a password, write / as %2F"),
        (f"redis://u:12?{SECRET}@h", "after '?' it may have only db; in a password, write ? as %3F"),
        (f"redis://u:12#{SECRET}@h", "it has a '#'; in a password, write it as %23"),
        (f"redis://u:{SECRET}@h/six", "its path is not the number of a database"),
        (f"redis://u:{SECRET}@h1,h2/6", "it has several hosts, which only sentinel:// and cluster:// have"),
        (f"redis://:{SECRET}@h/0?ssl_cert_reqs=none", "after '?' it may have only db"),
        (f"sentinel://u:{SECRET}@h1,h2", "write the service that the sentinels watch too"),
        (f"sentinel://u:{SECRET}@h1,h2:x/main", "a host or port of it is malformed"),
        (f"sentinel://u:{SECRET}@h1/main?tls=yes", "its tls is neither true nor false"),
        (f"cluster://u:{SECRET}@h1,h2/6", "it has a database, but a cluster has only 0"),
        (f"cluster://u:{SECRET}@h1,,h2", "a host or port of it is malformed"),
        (f"unix://{SECRET}/redis.sock", "write a path after three slashes"),
        ("unix://", "write"),
    ],
)
def test_a_url_of_redis_that_is_wrong_is_told_without_its_password(problems_of: Problems, url: str, told: str) -> None:
    (problem,) = problems_of(f"gateway: {{kind: waha, url: 'http://h'}}\nredis: {{url: '{url}'}}")
    assert "redis.url: cannot be read as a URL" in problem
    assert told in problem
    assert SECRET not in problem


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("url: 'redis://h', tls: {ca_file: ca.pem}", "redis.tls: cannot be set for redis://: write rediss://"),
        ("url: 'unix:///s', tls: {ca_file: ca.pem}", "redis.tls: cannot be set for unix://: write rediss://"),
        (
            "url: 'rediss://h', tls: {key_file: k}",
            "redis.tls.key_file: cannot be set without `cert_file`: set that too",
        ),
    ],
)
def test_files_for_tls_must_go_together(problems_of: Problems, text: str, told: str) -> None:
    (problem,) = problems_of(f"gateway: {{kind: waha, url: 'http://h'}}\nredis: {{{text}}}")
    assert told in problem


def test_files_for_tls_lie_beside_the_configuration_or_among_the_credentials(tmp_path: Path) -> None:
    text = "gateway: {kind: waha, url: 'http://h'}\nredis: {url: 'rediss://h', tls: {ca_file: ca.pem, cert_file: /c}}"
    for environ, folder in (({}, tmp_path), ({"CREDENTIALS_DIRECTORY": "/run/credentials/x"}, "/run/credentials/x")):
        redis = load(_file(tmp_path, text), environ).redis
        assert redis is not None
        assert (redis.tls.ca_file, redis.tls.cert_file) == (Path(folder) / "ca.pem", Path("/c"))
        assert redis.tls.key_file is None


def test_one_key_is_enough(problems_of: Problems) -> None:
    (problem,) = problems_of("gateway: {kind: waha, url: 'http://h', api_key: k, api_key_file: /f}")
    assert problem.endswith("gateway.api_key_file: cannot be set together with `api_key`: keep one of them")


def test_nothing_that_is_shown_holds_a_secret(load_text: Callable[..., Loaded]) -> None:
    settings = load_text(
        f"""
gateway: {{kind: evolution, url: 'http://h', api_key: {SECRET}, metrics_auth: 'u:{SECRET}'}}
redis: {{url: 'redis://{SECRET}:{SECRET}@h/0'}}
alerts: [{{to: 'https://example.org/{SECRET}'}}, {{to: 'tgram://{SECRET}/1'}}]
dead_man: https://hc-ping.com/{SECRET}
"""
    ).settings
    for text in (show(settings), json.dumps(plain(settings)), repr(settings), str(settings)):
        assert SECRET not in text
        assert "redis://***@h/***" in text


@pytest.mark.parametrize(
    "text",
    [
        f"api_key:{SECRET}",
        f"api_key={SECRET}",
        f"api_key {SECRET}",
        f"api_key: {SECRET} : x",
        f"api_key: {SECRET}: x",
        f"api_key: *{SECRET}",
        f"api_key: !{SECRET} x",
        f"api_key: !{SECRET}!x x",
        f"api_key: &{SECRET}",
        f"api_key: #{SECRET}",
        f"api_key: '{SECRET}",
        f'api_key: "\\{SECRET}"',
        f"api_key: [{SECRET}]",
        f"api_key: {{{SECRET}: x}}",
        f"api_key: '{SECRET} x'",
        f"api_key: 'é{SECRET}'",
        f"api_key: '${{{SECRET}-}}'",
        f"api_kye: {SECRET}",
        f"? {SECRET}\n  : x",
        f"metrics_auth: {SECRET}",
        f"api_key_file: [{SECRET}]",
        f"url: http://user:{SECRET}@h",
        f"url: http://h/?{SECRET}",
        f"url: {SECRET}",
        f"url: 'http://h:{SECRET}'",
        f"api_key: %{SECRET}",
        f"api_key: @{SECRET}",
        f"api_key: {SECRET}\x07",
    ],
)
def test_no_mistake_makes_a_message_tell_the_secret(problems_of: Problems, text: str) -> None:
    problems = problems_of(f"gateway:\n  kind: waha\n  url: http://h\n  {text}\n")
    assert problems
    assert not any(SECRET in problem for problem in problems)


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.text("{}[]:,'\"\\&*!|>%@ #-?\n\tax", max_size=8), after=st.text("{}[]:,'\"\\& #\nax", max_size=8))
def test_no_character_beside_it_makes_a_message_tell_the_secret(tmp_path: Path, before: str, after: str) -> None:
    file = _file(tmp_path, f"gateway:\n  kind: waha\n  url: http://h\n  api_key: {before}{SECRET}{after}\n")
    try:
        text = show(read(file, {}).settings)
    except ConfigError as error:
        text = str(error)
    assert SECRET not in text
