"""What a person is told of a file that cannot be used: all at once, each with its place and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wasupervisor.config.document import LARGEST_FILE
from wasupervisor.config.loading import read
from wasupervisor.config.problems import ConfigError

Problems = Callable[..., list[str]]
GATEWAY = "gateway: {kind: waha, url: 'http://127.0.0.1:3000'}\n"
RULE = "redis: {{url: 'redis://h', rules: [{{{}}}]}}"


def test_all_problems_are_told_at_once_in_the_order_of_the_file(problems_of: Problems) -> None:
    assert problems_of(
        """gateway:
  kind: wah
  url: 127.0.0.1:3000
  poll_evry: 5s
  timeout: 10
recovery:
  failing_after: [3]
  backoff: {first: 20m, max: 10m}
health:
  rise: 0
"""
    ) == [
        "2:9: gateway.kind: cannot be 'wah': choose waha or evolution",
        "3:8: gateway.url: cannot be read as a URL: write one that begins with http:// or https://",
        "4:3: gateway.poll_evry: cannot be set: there is no such key; did you mean `poll_every`?",
        "5:12: gateway.timeout: cannot be '10': write the unit too, for instance 10s",
        "7:18: recovery.failing_after: cannot be a list: write a mapping with the keys samples, duration",
        "8:30: recovery.backoff.max: cannot be shorter than `first`: raise it, or lower `first`",
        "10:9: health.rise: cannot be 0: write 1 to 1000",
    ]


def test_a_message_begins_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "wa.yaml"
    file.write_text(GATEWAY + "helth: {}\n")
    with pytest.raises(ConfigError) as caught:
        read(file, {})
    assert str(caught.value) == f"{file}:2:1: helth: cannot be set: there is no such key; did you mean `health`?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("poll_every: 5s", "2:1: poll_every: cannot be set: there is no such key; did you mean `gateway.poll_every`?"),
        ("zzz: 1", "2:1: zzz: cannot be set: there is no such key; the keys here are gateway, sessions"),
        ("log: {level: info, level: debug}", "2:20: log.level: cannot stand here twice: it is in line 2 already"),
        ("log: {<<: {level: info}}", "2:7: log: cannot merge mappings with <<: write the keys out"),
        ("log: {? [a] : 1}", "2:9: log: cannot have a list or a mapping as a key"),
        ("log: info", "2:6: log: cannot be a single value: write a mapping with the keys level, format"),
        ("log: null", "2:6: log: cannot be empty: write a mapping of keys, or delete the line for the default"),
        ("log: {level: }", "2:13: log.level: cannot be empty: write debug | info | warning | error, or delete"),
        ("log: {level: [info]}", "2:14: log.level: cannot be a list: write debug"),
        ("log: {level: !x info}", "2:14: log.level: cannot have a tag: a value with '!' at its start must stand in"),
        ("redis:", "2:7: redis: cannot be empty: write null to have none, or keys below it"),
        # It was taken for a name that cannot be resolved, so that nothing was ever healed.
        ("uplink: {host: web.whatsapp.com:443}", "2:16: uplink.host: cannot be this: write a host name without a port"),
        ("uplink:\n  # host: h\n", "2:8: uplink: cannot be empty: write null to have none, or keys below it"),
        ("redis: {}", "2:8: redis.url: cannot be left out: write a URL such as redis://127.0.0.1:6379/6"),
        ("sessions: {include: sales}", "2:21: sessions.include: cannot be a single value: write a list [...] of"),
        ("sessions: {include: []}", "2:21: sessions.include: cannot be an empty list"),
        ("sessions: {expect: al}", "2:20: sessions.expect: cannot be a single value: write remembered or all or a"),
        ("sessions: {exclude: [a, ~]}", "2:25: sessions.exclude[1]: cannot be empty: write an item, or delete it"),
        ("alerts: [{on: [deaf]}]", "2:10: alerts[0].to: cannot be left out: write a URL such as"),
        (
            "alerts: [{to: 'https://h/', on: [need_human]}]",
            "2:34: alerts[0].on[0]: cannot be 'need_human': there is no such word; did you mean `needs_human`?",
        ),
        (
            "alerts: [{to: 'https://h/', on: [x]}]",
            "2:34: alerts[0].on[0]: cannot be 'x': there is no such word; choose of needs_human, gateway_down,",
        ),
        ("alerts: {to: x}", "2:9: alerts: cannot be a mapping: write a list [...] of: mappings"),
    ],
)
def test_a_wrong_shape_is_told(problems_of: Problems, text: str, message: str) -> None:
    (problem,) = problems_of(GATEWAY + text)
    assert problem.startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recovery: {starting_timeout: 12:30:45}", "recovery.starting_timeout: cannot be '12:30:45': write a number"),
        ("recovery: {failing_after: {samples: 010}}", "samples: cannot be '010': write a whole number in plain digits"),
        ("recovery: {failing_after: {samples: 1_0}}", "samples: cannot be '1_0': write a whole number in plain digits"),
        ("recovery: {failing_after: {samples: 0x10}}", "samples: cannot be '0x10': write a whole number in plain"),
        ("recovery: {failing_after: {samples: '3'}}", "samples: cannot be '3': write a whole number in plain digits"),
        ("recovery: {failing_after: {samples: 3.0}}", "samples: cannot be '3.0': write a whole number"),
        ("recovery: {failing_after: {samples: 1:30}}", "samples: cannot be '1:30': write a whole number"),
        ("recovery: {backoff: {factor: .inf}}", "factor: cannot be '.inf': write a number in plain digits"),
        ("recovery: {restart_gateway: {force: yes}}", "force: cannot be 'yes': write true or false, without quotes"),
        ("recovery: {restart_gateway: {force: 'true'}}", "force: cannot be 'true': write true or false, without"),
        (
            "sessions: {exclude: [no]}",
            "sessions.exclude[0]: cannot be read as text: YAML takes it for a number, a date",
        ),
        ("sessions: {exclude: [010]}", "cannot be read as text: YAML takes it for a number"),
        ("sessions: {exclude: [12:30:45]}", 'put it in "quotes"'),
        ("sessions: {exclude: [1.10]}", 'put it in "quotes"'),
        ("sessions: {exclude: [2024-10-08]}", 'put it in "quotes"'),
    ],
)
def test_the_traps_of_yaml_are_told_and_not_fallen_into(problems_of: Problems, text: str, message: str) -> None:
    (problem,) = problems_of(GATEWAY + text)
    assert message in problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recovery: {budget: {concurrent: 0}}", "concurrent: cannot be 0: write 1 to 100"),
        ("log: {level: INFO}", "log.level: cannot be 'INFO': choose debug or info"),
        ("recovery: {incident: {share: 0.5}}", "share: cannot be '0.5': write whole per cent"),
        ("process: {memory: {warn: 900}}", "warn: cannot be '900': write the unit too, for instance 900MB"),
        ("process: {memory: {warn: 1kB}}", "warn: cannot be '1kB': write from 1MB"),
        ("process: {find: {port: 70000}}", "port: cannot be 70000: write 1 to 65535"),
        ("process: {find: {systemd_unit: '${UNIT}'}}", "cannot take ${...}: only keys, tokens and URLs are filled in"),
        ('process: {find: {systemd_unit: "a\\e[2Jb"}}', "systemd_unit: cannot hold control characters"),
        ("health: {listen: 8090}", "health.listen: cannot be '8090': write host:port, such as 127.0.0.1:8090"),
        ("health: {listen: ':8090'}", "health.listen: cannot be ':8090': write host:port"),
        ("health: {listen: 'h:99999'}", "health.listen: cannot be 'h:99999': write host:port"),
        ("health: {file: health.json}", "health.file: cannot be 'health.json': write a path from the root"),
        ("health: {ready_when: half}", "ready_when: cannot be 'half': write any, all, or a share such as 80%"),
        (f"control: {{socket: /{'s' * 107}}}", "the path of a socket has at most 107 bytes"),
        ("recovery: {maintenance: {hours: '25:00-26:00'}}", "hours: cannot be '25:00-26:00': write hours such as \"03"),
        ("recovery: {maintenance: {hours: '03:00-03:00'}}", "the start is the end"),
        ("recovery: {maintenance: {hours: '03:00-05:00', zone: '../x'}}", "zone: cannot be this: write a time zone"),
        (RULE.format("match: '*', type: hash"), "rules[0].match: cannot be so wide: it would touch keys whose role is"),
        (RULE.format("match: '*:session', type: hash"), "match: cannot be so wide"),
        (RULE.format("match: '?app:*', type: hash"), "match: cannot be so wide"),
        (RULE.format("match: 'w*', type: hash"), "match: cannot be so wide"),
        (RULE.format("match: 'wasupervisor:*', type: hash"), "cannot begin with wasupervisor: for those keys are"),
        (RULE.format("match: 'wasupervisor:q*', type: hash"), "cannot begin with wasupervisor: for those keys are"),
        (RULE.format("match: 'wa\\supervisor:q*', type: hash"), "cannot begin with wasupervisor: for those keys"),
        (RULE.format("match: 'a*b*c*d*', type: hash"), "match: cannot hold more than 3 stars"),
        (RULE.format("match: 'a:*', type: hash, json: true"), "json: cannot be true: only a string can be JSON"),
        (RULE.format("match: 'a:*', type: strin"), "type: cannot be 'strin': choose string or hash or list"),
        (RULE.format("match: 'a:*', type: [hash, no]"), "type[1]: cannot be 'no': choose string or hash or list"),
        (RULE.format("match: 'a:*', type: []"), "type: cannot be an empty list: write string | hash | list | set"),
        (RULE.format("match: 'a:*', type: {}"), "type: cannot be a mapping: write string | hash | list | set"),
        (RULE.format("match: 'a:*', type: hash, on_wrong: delete"), "on_wrong: cannot be 'delete': choose quarantine"),
        ("redis: {url: 'http://h'}", "redis.url: cannot be read as a URL: write one that begins with redis:// or"),
    ],
)
def test_a_value_out_of_its_rule_is_told(problems_of: Problems, text: str, message: str) -> None:
    (problem,) = problems_of(GATEWAY + text)
    assert message in problem


@pytest.mark.parametrize("text", ["99ms", "2h", "0s"])
def test_polling_has_its_bounds(problems_of: Problems, text: str) -> None:
    (problem,) = problems_of(f"gateway: {{kind: waha, url: 'http://h', poll_every: {text}}}")
    assert problem.endswith(f"cannot be '{text}': write 100ms to 1h")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://", "write scheme://host:port"),
        ("http://h:port", "its host or port is malformed"),
        ("http://h:0", "its port is 0"),
        ("http://[::1", "its host or port is malformed"),
        ("http://h/a b", "hold spaces or control characters"),
        ("http://h/?key=1", "a key belongs into api_key"),
        ("http://us%er:pw@h", "a key belongs into api_key"),
        ("http://mün", "its host has characters that no host name has"),
        ("ftp://h", "write one that begins with http:// or https://"),
    ],
)
def test_a_url_that_no_call_could_use_is_told(problems_of: Problems, url: str, message: str) -> None:
    (problem,) = problems_of(f"gateway: {{kind: waha, url: '{url}'}}")
    assert problem.startswith("1:28: gateway.url: cannot ")
    assert message in problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recovery: {breaker: {open_for: 2h}}", "2:21: recovery.breaker.open_max: cannot be shorter than `open_for`"),
        ("process: {find: {}}", "2:17: process.find: cannot be empty: set one of port, systemd_unit, pid_file"),
        ("process: {find: {port: 1, docker: x}}", "2:35: process.find.docker: cannot be set together with `port`"),
        ("process: {memory: {for: 1s}}", "2:19: process.memory: cannot be without a limit: set `warn` or `restart`"),
        ("process: {memory: {warn: 2GB, restart: 1GB}}", "process.memory.restart: cannot be lower than `warn`"),
        ("process: {cpu: {warn: 90%, restart: 80%}}", "process.cpu.restart: cannot be lower than `warn`"),
        ("recovery: {restart_gateway: {by: systemd}}", "by: cannot be systemd without `unit`: set it beside"),
        ("recovery: {restart_gateway: {by: docker}}", "by: cannot be docker without `container`"),
        ("recovery: {restart_gateway: {by: command}}", "by: cannot be command without `argv`"),
        ("recovery: {restart_gateway: {by: kubelet}}", "by: cannot be kubelet without `file`"),
        (
            "recovery: {restart_gateway: {unit: x}}",
            "unit: cannot be set with by: none: delete it, or write by: systemd",
        ),
        ("recovery: {restart_gateway: {force: true}}", "force: cannot be true with by: none"),
        ("health: {haproxy_agent: 127.0.0.1:8090}", "haproxy_agent: cannot be the address of `listen` too"),
        ("health: {listen: '0.0.0.0:1', haproxy_agent: 10.0.0.1:1}", "haproxy_agent: cannot be the address of"),
        ("health: {listen: 0.0.0.0:3000}", "health.listen: cannot be the port of gateway.url"),
        ("queue: {names: [a]}", "queue: cannot be watched without `redis`: set redis.url"),
        ("health: {listen: 127.0.0.1:3000}", "health.listen: cannot be the port of gateway.url"),
        ("health: {file: /run/wasupervisor/control.sock}", "health.file: cannot be the path of control.socket too"),
    ],
)
def test_values_that_do_not_go_together_are_told(problems_of: Problems, text: str, message: str) -> None:
    (problem,) = problems_of(GATEWAY + text)
    assert message in problem


def test_metrics_auth_is_for_evolution_only(problems_of: Problems, load_text: Callable[..., object]) -> None:
    (problem,) = problems_of("gateway: {kind: waha, url: 'http://h', metrics_auth: 'a:b'}")
    assert "gateway.metrics_auth: cannot be set for waha: only Evolution has it" in problem
    assert load_text("gateway: {kind: evolution, url: 'http://h', metrics_auth: 'a:b'}")


def test_a_value_that_is_wrong_by_itself_is_not_blamed_for_its_neighbour_too(problems_of: Problems) -> None:
    (problem,) = problems_of(GATEWAY + "recovery: {backoff: {first: 20m, max: ten}}")
    assert "recovery.backoff.max: cannot be 'ten'" in problem


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        ("gateway:\n\tkind: waha\n", "2:1", "here is a tab; indent with spaces"),
        ("gateway:\n  kind waha\n  url: x\n", "3:6", "a ':' too many, or the line above misses its own"),
        ("gateway:\n  kind: waha\n  url\n", "3:3", "without its ':'"),
        ("a: b: c\n", "1:5", "put texts with ': ' in quotes"),
        ("include: [*]\n", "1:12", "a value with '*' at its start must stand in quotes"),
        ("key: *undefined\n", "1:6", "a value with '*' at its start must stand in quotes"),
        ("key: @x\n", "1:6", "must stand in quotes"),
        ("key: 'open\n", "2:1", "a text in quotes is not closed"),
        ("key: [a, b\n", "2:1", "is not closed, or misses a comma"),
        ("key: 'a' b\n", "1:10", "the indentation is off"),
        ("---\na: 1\n---\nb: 1\n", "3:1", "here a second document begins"),
        ('key: "\\q"\n', "1:8", "unknown escape"),
        ('key: "\\UFFFFFFFF"\n', "1:1", "an escape or a number that YAML does not know"),
        ("key: !<tag x\n", "1:11", "must stand in quotes"),
        ("key: " + "[" * 1500 + "\n", "1:1", "nested too deeply"),
        ("gateway: x\n" + "a: b\x07\n", "2:5", "here is a control character; delete it"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(problems_of: Problems, text: str, place: str, advice: str) -> None:
    (problem,) = problems_of(text)
    assert problem.startswith(f"{place}: cannot be read as YAML: ")
    assert advice in problem


@pytest.mark.parametrize("text", ["", "\n# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_is_told(problems_of: Problems, text: str) -> None:
    (problem,) = problems_of(text)
    assert "cannot be used: it holds no settings; `wasupervisor config sample` prints an example" in problem


@pytest.mark.parametrize("text", ["- gateway\n", "gateway\n", "42\n"])
def test_a_file_of_another_shape_is_told(problems_of: Problems, text: str) -> None:
    (problem,) = problems_of(text)
    assert "write a mapping with the keys gateway, sessions" in problem


def test_a_file_that_is_not_utf_8_is_told_with_its_place(problems_of: Problems) -> None:
    assert problems_of("gateway:\n  # año\n".encode("latin-1")) == [
        "2:6: cannot be read: not UTF-8 from here on; save it as UTF-8"
    ]


def _whole(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read(file, {})
    return str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"
    assert _whole(file).startswith(f"{file}: cannot be read: there is no such file; `wasupervisor config sample`")


def test_a_folder_in_place_of_a_file_is_told(tmp_path: Path) -> None:
    assert _whole(tmp_path) == f"{tmp_path}: cannot be read: it is a folder; name the file in it"


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(GATEWAY)
    file.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        assert "has no permission; see its owner and mode" in _whole(file)
    finally:
        if root:
            os.seteuid(0)


def test_a_file_that_is_far_too_large_is_told(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"#" * (LARGEST_FILE + 1))
    assert "it has more than 256 KiB; is it another file?" in _whole(file)


@pytest.mark.parametrize("name", ["a\0b", "n" * 300])
def test_a_name_that_no_file_can_have_is_told(tmp_path: Path, name: str) -> None:
    assert "cannot be read: " in _whole(tmp_path / name)


def test_a_file_below_another_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert _whole(tmp_path / "file" / "config.yaml").endswith("cannot be read: Not a directory")
