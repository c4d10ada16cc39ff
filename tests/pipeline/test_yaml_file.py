"""YAML as configs hold it: plain values, each key once, and no numbers of base 60."""

from __future__ import annotations

import time

import pytest

from skelact import SkelactError
from skelact.pipeline.yaml_file import parse_override, read_yaml


def read(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    return read_yaml(tmp_path / "a.yaml")


def test_numbers_of_base_60_are_text(tmp_path):
    values = read(tmp_path, "a: 1:30\nb: 1:30.5\nc: !!int 1:30\nd: 90\ne: 1.5\n")
    assert values == {"a": "1:30", "b": "1:30.5", "c": "1:30", "d": 90, "e": 1.5}
    assert parse_override("a=1:30") == {"a": "1:30"}


def test_numbers_without_a_point_are_numbers_and_words_are_not(tmp_path):
    values = read(
        tmp_path, "a: 1e-4\nb: -2E3\nc: .5e1\nd: 1.e+2\ne: '1e-4'\nf: 1e\ng: e4\nh: 1e4x\n"
    )
    assert values == {
        "a": 1e-4, "b": -2000.0, "c": 5.0, "d": 100.0, "e": "1e-4", "f": "1e", "g": "e4",
        "h": "1e4x",
    }  # fmt: skip
    assert parse_override("a=1e-4") == {"a": 1e-4}


def test_a_long_one_takes_no_time(tmp_path):
    begin = time.monotonic()
    read(tmp_path, "a: " + "1:" * 500_000 + "1")
    assert time.monotonic() - begin < 10  # PyYAML's own loader takes minutes


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [("a: 1\nb: 2\na: 3\n", 3, "a"), ("a:\n  b: 1\n  b: 1\n", 3, "b"), ("a: {1: 2, 1: 3}", 1, "1")],
)
def test_a_key_twice_is_an_error(tmp_path, text, line, key):
    with pytest.raises(SkelactError, match=rf"a.yaml: .*line {line} has the key '{key}' again"):
        read(tmp_path, text)


def test_a_merged_key_may_be_replaced(tmp_path):
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\n"
    values = read(tmp_path, text)
    assert (values["b"], values["c"]) == ({"x": 3, "y": 2}, {"x": 3, "y": 4})
