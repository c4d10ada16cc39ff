"""Segments and elements as rows and as subtitles that players read."""

from __future__ import annotations

import re

import av
import pytest

from skelact import SkelactError
from skelact.pipeline.elements.element import Element
from skelact.pipeline.elements.recognise import RecognisedElement
from skelact.pipeline.inference.clip_skeletons import ClipSkeletons
from skelact.pipeline.inference.results import ActionPrediction, LabelScore
from skelact.pipeline.inference.segments import Segment
from skelact.pipeline.inference.timeline import TIMELINE_COLUMNS, subtitles

BOWL = Segment(0.0, 10.0, "bowl", 0.876)
SQUAT = Segment(10.0, 12.5, "squat", 0.5)
DIVE = RecognisedElement(3.25, 4.5, 0, Element.from_dive_number("205B"), 0.934)
HANDSTAND = RecognisedElement(4.0, 5.0, 1, Element("handstand"), 0.5)

TIMES = r"(\d\d+):([0-5]\d):([0-5]\d),(\d{3})"


def parse(text):
    """Return the cues of a SubRip text as (start, end, lines), in ms; no looseness is borne."""
    cues = []
    assert text == "" or (text.endswith("\n\n") and not text.endswith("\n\n\n"))
    for number, block in enumerate(text.split("\n\n")[:-1], 1):
        index, times, *lines = block.split("\n")
        assert index == str(number)
        found = re.fullmatch(f"{TIMES} --> {TIMES}", times)
        hours, minutes, seconds, rest = ([int(found[i]), int(found[4 + i])] for i in range(1, 5))
        start, end = (
            ((hours[i] * 60 + minutes[i]) * 60 + seconds[i]) * 1000 + rest[i] for i in (0, 1)
        )
        assert start < end
        assert not cues or cues[-1][1] <= start
        assert lines
        assert all(line.strip() and line.isprintable() for line in lines)
        cues.append((start, end, lines))
    return cues


def prediction_of(*entries, **changes):
    fields = {
        "video": "a.mp4", "label": "bowl", "score": 0.9, "top_k": (LabelScore("bowl", 0.9),),
        "persons": (), "checkpoint": "net", "family": "sport",
        "segments": tuple(entry for entry in entries if isinstance(entry, Segment)),
        "elements": tuple(entry for entry in entries if isinstance(entry, RecognisedElement)),
    }  # fmt: skip
    return ActionPrediction(**(fields | changes))


def test_the_text_of_two_cues():
    assert subtitles([SQUAT, BOWL]) == (
        "1\n00:00:00,000 --> 00:00:10,000\nbowl 88 %\n\n"
        "2\n00:00:10,000 --> 00:00:12,500\nsquat 50 %\n\n"
    )


def test_what_is_there_at_one_time_has_a_line_each():
    """A dive in a segment, and another person's handstand that begins in it."""
    dive = "205B: back, 2 1/2 somersaults, pike 93 %"
    handstand = "person 1: handstand 50 %"
    assert parse(subtitles([HANDSTAND, DIVE, BOWL])) == [
        (0, 3250, ["bowl 88 %"]),
        (3250, 4000, ["bowl 88 %", dive]),
        (4000, 4500, ["bowl 88 %", dive, handstand]),
        (4500, 5000, ["bowl 88 %", handstand]),
        (5000, 10000, ["bowl 88 %"]),
    ]


def test_ffmpeg_reads_the_same_cues(tmp_path):
    path = prediction_of(BOWL, DIVE, HANDSTAND, SQUAT).save(tmp_path / "a.srt")
    with av.open(str(path)) as file:
        (stream,) = file.streams
        assert file.format.name == "srt"
        packets = [packet for packet in file.demux(stream) if packet.size]
    cues = [
        (p.pts * p.time_base * 1000, (p.pts + p.duration) * p.time_base * 1000,
         bytes(p).decode("utf-8").split("\n"))
        for p in packets
    ]  # fmt: skip
    assert cues == parse(path.read_text(encoding="utf-8"))
    assert len(cues) == 6


def test_a_gap_has_no_cue():
    late = Segment(20.0, 21.0, "bowl", 1.0)
    assert [cue[:2] for cue in parse(subtitles([BOWL, late]))] == [(0, 10000), (20000, 21000)]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.0004, 0.0006, (0, 1)),
        (1.0, 1.0, (1000, 1001)),
        (-0.04, 0.08, (0, 80)),  # SubRip has no negative times
        (59.9996, 3599.9996, (60000, 3600000)),
        (359999.5, 360000.25, (359999500, 360000250)),  # a hundred hours
    ],
)
def test_times_are_whole_milliseconds(start, end, expected):
    assert parse(subtitles([Segment(start, end, "bowl", 1.0)]))[0][:2] == expected


@pytest.mark.parametrize(
    "label", ["two\n\nlines", "a\r\n1\n00:00:00,000 --> 00:00:01,000", " ", ""]
)
def test_a_label_never_ends_its_cue(label):
    cues = parse(subtitles([Segment(0.0, 1.0, label, 0.5), SQUAT]))
    assert [(cue[:2], len(cue[2])) for cue in cues] == [((0, 1000), 1), ((10000, 12500), 1)]


def test_letters_of_any_script_are_utf_8(tmp_path):
    path = prediction_of(Segment(0.0, 1.0, "Überschlag 空翻", 0.5)).save(tmp_path / "a.srt")
    assert parse(path.read_bytes().decode("utf-8"))[0][2] == ["Überschlag 空翻 50 %"]


def test_a_clip_of_nothing_known_has_a_file_without_a_cue(tmp_path):
    unknown = prediction_of(label=None, score=None, family="unknown")
    assert unknown.save(tmp_path / "a.srt").read_bytes() == b""
    assert unknown.timeline() == {name: [] for name in TIMELINE_COLUMNS}


def test_a_clip_that_could_not_be_read_leaves_the_file_that_is_there(tmp_path):
    (tmp_path / "b.srt").write_text("kept")
    skeletons = ClipSkeletons("b.mp4", None, "no video")
    broken = prediction_of(label=None, score=None, family=None, error="no video",
                           skeletons=skeletons)  # fmt: skip
    with pytest.raises(SkelactError, match=r"b\.mp4 has no skeletons: no video"):
        broken.save(tmp_path / "b.srt")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]


def test_a_row_per_segment_and_element_in_the_order_of_time():
    table = prediction_of(SQUAT, BOWL, HANDSTAND, DIVE).timeline()
    assert tuple(table) == TIMELINE_COLUMNS
    rows = list(zip(*table.values()))
    none = (None,) * 6
    assert rows == [
        ("a.mp4", 0.0, 10.0, None, "segment", "bowl", 0.876, *none),
        (
            "a.mp4", 3.25, 4.5, 0, "dive", "back, 2 1/2 somersaults, pike", 0.934, "back", 5, 0,
            "pike", "205B", "Back 25som NoTwis PIKE",
        ),
        ("a.mp4", 4.0, 5.0, 1, "handstand", "handstand", 0.5, *none),
        ("a.mp4", 10.0, 12.5, None, "segment", "squat", 0.5, *none),
    ]  # fmt: skip


def test_pandas_reads_the_columns(tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs pandas (pip install 'skelact[pandas]')")
    table = pandas.DataFrame(prediction_of(BOWL, DIVE).timeline())
    assert table["person"].isna().tolist() == [True, False]
    assert (table["end_seconds"] - table["start_seconds"]).tolist() == [10.0, 1.25]
    assert table.query("kind == 'dive'")["code"].tolist() == ["205B"]
