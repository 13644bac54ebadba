"""From a file to settings: what is taken, and how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from wasupervisor.config.fields import Section, fields_of
from wasupervisor.config.loading import Loaded, from_arguments, read
from wasupervisor.config.places import Places
from wasupervisor.config.problems import ConfigError
from wasupervisor.config.recovery import Maintenance, Recovery
from wasupervisor.config.rules import Hours
from wasupervisor.config.schema import Find, Gateway, Memory, Settings, Uplink
from wasupervisor.config.secret import Secret
from wasupervisor.config.texts import Address
from wasupervisor.model.policy import ReadyWhen

Load = Callable[..., Loaded]
GATEWAY = "gateway: {kind: waha, url: 'http://127.0.0.1:3000'}\n"


def test_only_kind_and_url_are_needed(load_section: Load) -> None:
    assert load_section("").settings == Settings(gateway=Gateway(kind="waha", url="http://127.0.0.1:3000"))


def test_the_defaults_are_those_of_the_design() -> None:
    recovery = Recovery()
    assert (recovery.failing_after.samples, recovery.failing_after.duration) == (3, 15)
    assert (recovery.starting_timeout, recovery.startup_grace, recovery.stable_for) == (60, 30, 30)
    assert (recovery.gateway.hung_after, recovery.gateway.gone_after) == (60, 10)
    assert msgspec.structs.astuple(recovery.backoff) == (5, 2, 600)
    assert msgspec.structs.astuple(recovery.breaker) == (5, 1800, 60, 3600)
    assert msgspec.structs.astuple(recovery.budget) == (6, 60, 2, 6, 1, 2)
    assert msgspec.structs.astuple(recovery.incident) == (0.5, 3, 120)
    assert Uplink() == Uplink(host="web.whatsapp.com", port=443, check="upgrade", timeout=5)


def test_every_kind_of_value_is_read(load_section: Load) -> None:
    settings = load_section(
        """
sessions: {include: [sales-*, 5511999999999], exclude: ["no"], expect: [sales-1]}
process:
  find: {pid_file: /run/waha.pid}
  memory: {warn: 1.2GB, restart: 1.8GB, for: 2m}
  cpu: {restart: never, warn: 80%}
recovery:
  backoff: {factor: 1.5}
  restart_gateway: {by: command, argv: [pm2, restart, waha], force: true}
  maintenance: {days: [sat, sun], hours: "23:30-05:00", zone: America/Sao_Paulo}
uplink: null
redis: {url: 'redis://:pw@127.0.0.1/6', repair: off, rules: [{match: "a:*", type: string, ttl: required}]}
health: {listen: '[::1]:8090', ready_when: 80%, haproxy_agent: 127.0.0.1:8091}
alerts: [{to: 'https://example.org/x', on: [needs_human], remind: null}]
"""
    ).settings
    assert settings.sessions.include == ("sales-*", "5511999999999")
    assert settings.sessions.exclude == ("no",)
    assert settings.sessions.expect == ("sales-1",)
    assert settings.process.find == Find(pid_file=Path("/run/waha.pid"))
    assert settings.process.memory == Memory(warn=1_200_000_000, restart=1_800_000_000, for_=120)
    assert settings.process.cpu is not None
    assert (settings.process.cpu.warn, settings.process.cpu.restart) == (0.8, None)
    assert settings.recovery.backoff.factor == 1.5
    assert settings.recovery.restart_gateway.argv == ("pm2", "restart", "waha")
    assert settings.recovery.restart_gateway.force is True
    assert settings.recovery.maintenance == Maintenance(
        days=("sat", "sun"), hours=Hours(1410, 300), zone="America/Sao_Paulo"
    )
    assert settings.uplink is None
    assert settings.redis is not None
    assert settings.redis.url == Secret("redis://:pw@127.0.0.1/6")
    assert settings.redis.repair == "off"
    assert settings.redis.rules[0].ttl == "required"
    assert settings.redis.rules[0].type == ("string",)
    assert settings.health.listen == Address("::1", 8090)
    assert settings.health.ready_when == ReadyWhen(share=0.8)
    assert settings.health.haproxy_agent == Address("127.0.0.1", 8091)
    assert (settings.alerts[0].on, settings.alerts[0].remind) == (("needs_human",), None)


def test_expect_takes_its_two_words(load_section: Load) -> None:
    assert load_section("sessions: {expect: all}").settings.sessions.expect == "all"
    assert load_section("sessions: {expect: remembered}").settings.sessions.expect == "remembered"
    assert load_section("sessions: {expect: [all]}").settings.sessions.expect == ("all",)


def test_a_section_whose_keys_are_all_commented_out_has_its_defaults(load_section: Load) -> None:
    assert load_section("process:\n  # memory:\nhealth:\n").settings.health == Settings.__struct_defaults__[7]


def test_the_url_loses_its_last_slash(load_text: Load) -> None:
    settings = load_text("gateway: {kind: evolution, url: https://example.org/wa/}").settings
    assert settings.gateway.url == "https://example.org/wa"


def test_paths_follow_the_places_where_the_file_does_not_say(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(GATEWAY + "health: {rise: 1}\n")
    settings = read(file, {}, Places(Path("/r"), Path("/s"))).settings
    assert settings.health.file == Path("/r/health.json")
    assert settings.control.socket == Path("/r/control.sock")
    assert settings.state.directory == Path("/s")


def test_a_file_of_windows_is_read(load_text: Load) -> None:
    text = "\ufeffgateway:\r\n  kind: waha\r\n  url: http://h:1\r\n"
    assert load_text(text).settings.gateway.url == "http://h:1"


def test_json_is_read_too(load_text: Load) -> None:
    assert load_text('{"gateway": {"kind": "waha", "url": "http://h:1"}}').settings.gateway.kind == "waha"


def test_anchors_and_aliases_work(load_section: Load) -> None:
    recovery = load_section("recovery: {startup_grace: &g 7s, stable_for: *g}").settings.recovery
    assert (recovery.startup_grace, recovery.stable_for) == (7, 7)


def test_two_listeners_may_both_take_any_free_port(load_section: Load) -> None:
    health = load_section("health: {listen: 127.0.0.1:0, haproxy_agent: 127.0.0.1:0}").settings.health
    assert health.haproxy_agent == health.listen == Address("127.0.0.1", 0)


def test_the_command_line_is_enough_for_a_first_look() -> None:
    settings = from_arguments("evolution", "http://h:8080", "KEY", {"KEY": "abc", "HOME": "/root"})
    assert (settings.gateway.kind, settings.gateway.url) == ("evolution", "http://h:8080")
    assert settings.gateway.api_key == Secret("abc")
    assert from_arguments("waha", "http://h:1", None, {}).gateway.api_key is None


def test_the_command_line_is_told_by_its_options() -> None:
    with pytest.raises(ConfigError) as caught:
        from_arguments("wahaha", "h:8080", "KEY", {})
    assert str(caught.value).splitlines() == [
        "--gateway: cannot be 'wahaha': choose waha or evolution",
        "--url: cannot be read as a URL: write one that begins with http:// or https://",
        "--api-key-env: cannot be filled in: the environment variable KEY is not set",
    ]


def _sections(cls: type[Section] = Settings) -> list[type[Section]]:
    found = [cls]
    for field in fields_of(cls):
        item = field.rule if isinstance(field.rule, type) else getattr(field.rule, "item", None)
        if isinstance(item, type):
            found += _sections(item)
    return found


def test_every_default_has_the_type_that_its_annotation_says() -> None:
    for cls in _sections():
        for info in msgspec.structs.fields(cls):
            if info.default is not msgspec.NODEFAULT:
                convertible: Any = (str, int, float, bool, type(None))
                if isinstance(info.default, convertible):
                    msgspec.convert(info.default, info.type, strict=True)


def test_every_key_is_its_attribute() -> None:
    for cls in _sections():
        for field in fields_of(cls):
            assert field.name.rstrip("_") == field.key
            assert field.comment
