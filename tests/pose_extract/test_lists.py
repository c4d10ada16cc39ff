"""Lists as spreadsheets and pandas write them: read, or refused with words."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from touch import touch

from skelact import SkelactError
from skelact.pose_extract import lists
from skelact.pose_extract.lists import ListColumns, read_frame, read_list, read_seconds
from skelact.pose_extract.sources import find_sources

COLUMNS = ListColumns(("path", "label", "start_frame"), {"start": "is 'start_frame' meant?"})


def read(path, data):
    """Return the rows of a list made of some bytes, with their lines."""
    path.write_bytes(data)
    return read_list(path, COLUMNS, lambda row, line: (line, *row.values()))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "list.csv"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"]
)
def test_each_encoding_separator_and_line_end_reads_alike(path, delimiter, end, encoding):
    text = end.join(
        delimiter.join(row) for row in (["path", "label"], ["ä.mp4", "Sprünge"], ["b.mp4", ""])
    )
    # The two without a mark get theirs: encode() writes none.
    data = text.encode(encoding)
    data = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"") + data
    assert read(path, data) == [(2, "ä.mp4", "Sprünge", ""), (3, "b.mp4", "", "")]


def test_windows_1252_is_refused_with_what_to_do(path):
    with pytest.raises(SkelactError) as error:
        read(path, "path,label\na.mp4,x\nb.mp4,Sprünge\n".encode("cp1252"))
    assert f"{path}: expected text in UTF-8, got byte 0xfc in line 3" in str(error.value)
    assert "if that line should read 'b.mp4,Sprünge', which is Windows-1252" in str(error.value)
    assert "iconv -f WINDOWS-1252 -t UTF-8 list.csv > list_utf8.csv" in str(error.value)


def test_other_bytes_are_refused(path, tmp_path):
    with pytest.raises(SkelactError, match="line 2 holds a NUL byte.* UTF-16 without a byte order"):
        read(path, b"path\na\0.mp4\n")
    with pytest.raises(SkelactError, match="NUL"):
        read(path, "path\na.mp4\n".encode("utf-16-le"))
    with pytest.raises(SkelactError, match="UTF-16-LE as its byte order mark says"):
        read(path, "path\na.mp4\n".encode("utf-16")[:-1])
    with pytest.raises(SkelactError, match="the list cannot be read: Is a directory"):
        read_list(tmp_path, COLUMNS, lambda row, line: line)
    with pytest.raises(SkelactError, match="the list cannot be read: No such file"):
        read_list(tmp_path / "none.csv", COLUMNS, lambda row, line: line)


def test_a_huge_file_is_refused_unread(path, monkeypatch):
    monkeypatch.setattr(lists, "_MOST_BYTES", 1 << 20)
    with path.open("wb") as stream:
        stream.truncate((1 << 20) + 1)
    with pytest.raises(SkelactError, match="expected a list of at most 1 MiB, got 1048577 B"):
        read_list(path, COLUMNS, lambda row, line: line)


def test_rows_without_content_are_passed_over(path):
    rows = read(path, b"\n  \npath,label\n\n,\n  ,\na.mp4,x\n\n")
    assert rows == [(7, "a.mp4", "x", "")]


def test_the_separator_told_to_a_spreadsheet(path):
    assert read(path, b"sep=;\npath;label\na,b.mp4;x\n") == [(3, "a,b.mp4", "x", "")]
    assert read(path, b"sep=\t\r\npath\tlabel\r\na.mp4\tx\r\n") == [(3, "a.mp4", "x", "")]
    with pytest.raises(SkelactError, match="unknown column 'sep='"):
        read(path, b"sep=")


def test_quoted_cells_may_hold_anything(path):
    rows = read(path, b'path,label\n"a,1.mp4","two\nlines"\nb.mp4,"say ""x"""\n')
    assert rows == [(2, "a,1.mp4", "two\nlines", ""), (4, "b.mp4", 'say "x"', "")]


def test_a_quotation_mark_left_open_does_not_swallow_the_rest(path):
    data = b'path,label\na.mp4,x\nb.mp4,"y\nc.mp4,z\n'
    with pytest.raises(SkelactError, match="line 3: .*is a quotation mark left open"):
        read(path, data)


def test_separators_at_the_ends_of_lines_are_no_column(path):
    assert read(path, b"path,label,\na.mp4,x,\nb.mp4,y,\n") == [
        (2, "a.mp4", "x", ""),
        (3, "b.mp4", "y", ""),
    ]
    with pytest.raises(SkelactError, match="line 2: expected 2 cells as in the header, got 3"):
        read(path, b"path,label,\na.mp4,x,z\n")


def test_rows_of_another_length_are_told(path):
    with pytest.raises(SkelactError, match="line 3: expected 3 cells as in the header, got 2"):
        read(path, b"path,label,start_frame\na.mp4,x,\nb.mp4,y\n")
    with pytest.raises(SkelactError, match="got 3; a cell that holds the separator is quoted"):
        read(path, b"path,label\na,1.mp4,x\n")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,start", "unknown column 'start': is 'start_frame' meant.; the known ones are path"),
        ("path,Start", "unknown column 'Start': is 'start_frame' meant?"),
        ("path,lable", "unknown column 'lable': is 'label' meant?"),
        ("Path,label", "unknown column 'Path': is 'path' meant?"),
        ("path,notes,x", "unknown column 'notes'; unknown column 'x'; the known ones are path, "),
        (",path,label", "unknown column without a name .pandas writes one: .*index=False"),
        ("path,label,path", "expected each column once, got 'path' twice"),
        ("label", "expected a column 'path', got .'label'."),
    ],
)
def test_headers_that_cannot_be(path, header, message):
    with pytest.raises(SkelactError, match=message):
        read(path, f"{header}\n1,2,3\n".encode())


@pytest.mark.parametrize("data", [b"", b"\n\n", b"path,label", b"path,label\n\n,\n"])
def test_a_list_without_rows(path, data):
    message = "no line after its header" if b"path" in data else "expected a column 'path', got"
    with pytest.raises(SkelactError, match=message):
        read(path, data)


def test_wrong_rows_are_told_together(tmp_path):
    touch(tmp_path, "a.mp4")
    rows = [f"a.mp4,{value}" for value in ("soon", "0", "nan", "inf", "-1")]
    (tmp_path / "l.csv").write_text("\n".join(["path,end_seconds", *rows, ",3", "a.mp4"]))
    with pytest.raises(SkelactError) as error:
        find_sources(tmp_path / "l.csv")
    first, *others = str(error.value).splitlines()
    assert first == f"{tmp_path / 'l.csv'}: 7 rows cannot be used:"
    assert [line.split(":")[0].strip() for line in others] == [f"line {n}" for n in range(2, 9)]


def test_of_many_wrong_rows_ten_are_told_and_the_rest_counted(path):
    def refuse(row, line):
        raise SkelactError("no")

    path.write_bytes(b"path\n" + b"a.mp4\n" * 1000)
    with pytest.raises(SkelactError) as error:
        read_list(path, COLUMNS, refuse)
    lines = str(error.value).splitlines()
    assert len(lines) == 12
    assert lines[0].endswith("1000 rows cannot be used:")
    assert lines[10:] == ["  line 11: no", "  and 990 more"]


@pytest.mark.parametrize(
    ("text", "value"), [("", None), ("12", 12), ("12.0", 12), ("1e3", 1000), ("-3.0", -3)]
)
def test_frame_numbers(text, value):
    assert read_frame("start_frame", text) == value
    assert not isinstance(read_frame("start_frame", text), float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.5", "start_frame: expected a whole number, got '1.5'"),
        ("nan", "whole number, got 'nan'; leave the cell empty"),
        ("inf", "whole number, got 'inf'"),
        ("1_0", "whole number, got '1_0'"),
        ("ten", "whole number, got 'ten'"),
        ("9" * 5000, "whole number, got '9"),
        ("1e17", "expected at most 9007199254740992, got '1e17'"),
    ],
)
def test_frame_numbers_that_cannot_be(text, message):
    with pytest.raises(SkelactError, match=message):
        read_frame("start_frame", text)


def test_seconds():
    assert read_seconds("start_seconds", "") is None
    assert read_seconds("start_seconds", "12.40") == 12.4
    assert read_seconds("start_seconds", "1e-3") == 0.001


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "start_seconds: expected a finite number of seconds, got 'NaN'; leave the cell"),
        ("-inf", "expected a finite number"),
        ("12,5", "with a decimal point, not a comma., got '12,5'"),
        ("00:01:30", "expected a number of seconds such as 90.5, got '00:01:30'"),
        ("1_0", "expected a number of seconds"),
    ],
)
def test_seconds_that_cannot_be(text, message):
    with pytest.raises(SkelactError, match=message):
        read_seconds("start_seconds", text)


def test_lists_that_pandas_writes(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    # Its column of whole numbers with an empty cell is one of floats.
    table = pd.DataFrame({"path": ["a.mp4", "b.mp4"], "label": ["v", None], "end_frame": [4, None]})
    table.to_csv(tmp_path / "l.csv", index=False)
    first, second = find_sources(tmp_path / "l.csv")
    assert (first.clip_id, first.label, first.end_frame) == ("a.mp4@f0-4", "v", 4)
    assert (second.clip_id, second.label, second.end_frame) == ("b.mp4", None, None)
    table.to_csv(tmp_path / "l.csv")
    with pytest.raises(SkelactError, match="index=False"):
        find_sources(tmp_path / "l.csv")


@pytest.mark.parametrize("seed", range(4))
def test_mutated_lists_are_read_or_refused(tmp_path, seed):
    rng = random.Random(seed)
    whole = 'path;label;start_seconds\na.mp4;"x ""1""";0.5\n\nb.mp4;ü;\n'
    path = tmp_path / "l.csv"
    num_refused = 0
    for _ in range(250):
        data = bytearray(whole.encode(rng.choice(["utf-8", "utf-16", "utf-8-sig"])))
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            if rng.random() < 0.3:
                del data[place : place + rng.randint(1, 9)]
            else:
                data[place] = rng.choice([0, 10, 13, 34, 44, 59, 255, rng.randrange(256)])
            if not data:
                break
        path.write_bytes(bytes(data))
        try:
            assert 1 <= len(find_sources(path)) <= 8
        except SkelactError:
            num_refused += 1
    assert 0 < num_refused < 250
