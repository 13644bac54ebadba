"""Whatever stands in the file: settings, or a ConfigError that can be printed."""

from __future__ import annotations

import random
from pathlib import Path

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wasupervisor.config.loading import read
from wasupervisor.config.policy import policy_of
from wasupervisor.config.problems import ConfigError
from wasupervisor.config.rendering import plain, sample, show

SAMPLE = sample()
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 100_000),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from(["5s", "80%", "1GB", "waha", "http://h", "${A}", "${B}", "/p", "h:1", "all", "off", "redis://h"]),
)
SHAPES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(SCALARS, inner, max_size=3))
)

calm = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
fuzz = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _never_raises_anything_else(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(data)
    try:
        settings = read(file, {"A": "x"}).settings
        policy_of(settings)
        text = show(settings)
    except ConfigError as error:
        text = str(error)
    assert text
    text.encode()
    assert all(character.isprintable() or character == "\n" for character in text)


@fuzz
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    _never_raises_anything_else(tmp_path, data)


@fuzz
@given(st.text(st.characters(codec="utf-8"), max_size=100))
@example('"\\UFFFFFFFF": 1')
@example('"\\ud800": 1')
@example("%YAML 9.9\n---\na: 1")
@example("%YAML 1." + "9" * 5000 + "\n---\na: 1")
@example("a: &a [*a]")
@example("gateway: &a {kind: *a, gateway: *a}")
@example("[" * 1500)
@example("{" * 1500)
@example("? " * 1000)
@example("a: !!binary x")
@example("=: =")
@example("gateway: =")
@example("!!set {a, b}")
@example("a: " + "9" * 10_000)
@example("health: {rise: " + "9" * 5000 + "}")
def test_any_text(tmp_path: Path, text: str) -> None:
    _never_raises_anything_else(tmp_path, text.encode())


@calm
@given(st.sampled_from(sorted(yaml.safe_load(SAMPLE))), st.sampled_from(SAMPLE.split()), SHAPES)
def test_any_value_at_any_key(tmp_path: Path, section: str, key: str, value: object) -> None:
    for document in ({section: value}, {section: {key.strip("#:"): value}}):
        whole = {"gateway": {"kind": "waha", "url": "http://h"}, **document}
        _never_raises_anything_else(tmp_path, yaml.dump(whole, allow_unicode=True).encode("utf-8", "surrogatepass"))


@calm
@given(st.integers(0, len(SAMPLE)), st.integers(0, 40), st.text("{}[]:,'\"\\&*!|>%@ #-?\n\tax0", max_size=6))
def test_any_slip_in_the_sample(tmp_path: Path, at: int, cut: int, typed: str) -> None:
    _never_raises_anything_else(tmp_path, (SAMPLE[:at] + typed + SAMPLE[at + cut :]).encode())


def test_two_lines_of_the_sample_swapped_still_read_or_are_told(tmp_path: Path) -> None:
    dice = random.Random(7)
    lines = SAMPLE.splitlines()
    for _ in range(15):
        one, other = dice.sample(range(len(lines)), 2)
        lines[one], lines[other] = lines[other], lines[one]
        _never_raises_anything_else(tmp_path, "\n".join(lines).encode())


def test_what_show_prints_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("gateway: {kind: waha, url: 'http://h'}\nsessions: {expect: ['no', '010', 'a: b', '#x', '*']}\n")
    settings = read(file, {}).settings
    file.write_text(show(settings))
    assert plain(read(file, {}).settings) == plain(settings)
