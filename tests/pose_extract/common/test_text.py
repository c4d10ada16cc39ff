"""What a terminal may be sent."""

from __future__ import annotations

import os

import pytest

from skelact.pose_extract.common.text import one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clip é 跳水 [red].mp4", "clip é 跳水 [red].mp4"),
        ("a\x1b]0;title\x07b", "a\\x1b]0;title\\x07b"),
        ("one\ntwo\r\t", "one\\x0atwo\\x0d\\x09"),
        ("c1 \x9b2J", "c1 \\x9b2J"),
        ("gpj.\u202emp4", "gpj.\\u202emp4"),
        (os.fsdecode(b"caf\xe9.mp4"), "caf\\xe9.mp4"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_characters_that_steer_a_terminal_are_written_out(text, shown):
    assert printable(text) == shown
    assert printable(text).encode()  # it can be sent


def test_newlines_of_a_message_may_stay():
    assert printable("row 1: bad\nrow 2: \x1b[m", keep="\n") == "row 1: bad\nrow 2: \\x1b[m"


def test_anything_is_shown():
    assert printable(ValueError("no\x00")) == "no\\x00"


def test_a_message_of_many_lines_becomes_one_of_bounded_length():
    assert one_line("Error:\n  a\tb\n") == "Error: a b"
    assert one_line("x" * 1000, 10) == "xxxxxxx..."
