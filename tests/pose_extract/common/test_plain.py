"""The decoder of our JSON and YAML: names, types and sizes are checked, faults are short errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from skelact import SkelactError
from skelact.pose_extract.common.plain import build_config, parse_json, read_text, shown


@dataclass(frozen=True)
class Inner:
    size: int = 1

    def __post_init__(self):
        if self.size < 1:
            raise ValueError("size: expected at least 1")


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    rate: float = 1.0
    names: tuple[str, ...] = ()
    pair: tuple[int, int] = (1, 2)
    notes: dict[str, Any] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    most: int | None = None


def test_plain_values_become_dataclasses():
    values = {"kind": "b", "rate": 2, "names": ["x"], "pair": [3, 4], "inner": {"size": 5}}
    assert build_config(Outer, values, "f") == Outer("b", 2.0, ("x",), (3, 4), {}, Inner(5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"knd": 1}, r"f: unknown key 'knd'; did you mean 'kind'\?"),
        ({"x" * 999: 1}, "f: unknown key 'xxx"),
        ({"kind": 1}, "f: kind: expected one of a, b, got 1"),
        ({"kind": ["a"]}, "f: kind: expected one of a, b"),
        ({"rate": 10**400}, "f: rate: expected a number"),
        ({"rate": True}, "f: rate: expected a number"),
        ({"rate": "0.5"}, "f: rate: expected a number, got '0.5'"),
        ({"names": "x"}, "f: names: expected a list, got 'x'"),
        ({"names": [1]}, "f: names: expected text, got 1"),
        ({"pair": [1, 2, 3]}, "f: pair: expected a list of 2"),
        ({"notes": [1]}, "f: notes: expected a mapping"),
        ({"inner": {"size": 0}}, "f: inner: size: expected at least 1"),
        ({"inner": None}, "f: inner: expected a mapping, got None"),
        ({"most": "3"}, "f: most: expected a whole number, got '3'"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_where(change, message):
    with pytest.raises(SkelactError, match=message) as raised:
        build_config(Outer, {"kind": "a", **change}, "f")
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "text", ["", "[", "[1]", "NaN", "{", '{"a": ' * 100_000, "9" * 5000, "\ud800"]
)
def test_no_json_object(text):
    with pytest.raises(SkelactError, match="^f: expected "):
        parse_json(text, "f")


def test_a_key_twice_is_no_json_of_ours():
    with pytest.raises(SkelactError, match="^f: expected JSON, got the key 'b' twice"):
        parse_json('{"a": [{"b": 1, "c": 2, "b": 1}]}', "f")


def test_a_value_is_shown_in_part():
    deep: list[Any] = []
    for _ in range(60):  # two to the power of sixty brackets
        deep = [deep, deep]
    for value in (deep, "x" * 10**6, list(range(10**6)), {"a": "b" * 999}, 1 << 99999):
        assert len(shown(value)) < 300
    assert shown([1, "a"]) == "[1, 'a']"


def test_only_small_files_of_text_are_read(tmp_path):
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(17 << 20)
    for name, message in {
        "latin": "expected text in UTF-8",
        "large": "at most 16 MiB",
        ".": "expected a file",
        "none": "cannot read .*No such file",
        "a\0b": "null byte",
        "n" * 300: "cannot read .*too long",
    }.items():
        with pytest.raises(SkelactError, match=message):
            read_text(tmp_path / name)
