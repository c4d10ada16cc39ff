"""What `skelact predict` writes of segments and elements, and where."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from scenes import make_sequence
from touch import touch

from skelact.pipeline.cli.main import main
from skelact.pipeline.elements.element import Element
from skelact.pipeline.elements.recognise import RecognisedElement
from skelact.pipeline.inference.clip_skeletons import ClipSkeletons
from skelact.pipeline.inference.pipeline import Pipeline
from skelact.pipeline.inference.results import ActionPrediction, LabelScore
from skelact.pipeline.inference.segments import Segment

BEST = (LabelScore("bowl", 0.9),)
BOWL = Segment(0.0, 4.0, "bowl", 0.9)
DIVE = RecognisedElement(1.0, 2.5, 0, Element.from_dive_number("205B"), 0.8)


def answer(clip):
    """Broken files cannot be read, empty ones show nothing known, all others a sport and a dive."""
    name = clip.clip_id
    if "broken" in name:
        skeletons = ClipSkeletons(name, None, "no video", clip)
        return ActionPrediction(name, None, None, (), (), "net", "no video", skeletons)
    skeletons = ClipSkeletons(name, make_sequence(), source=clip)
    if "empty" in name:
        return ActionPrediction(
            name, None, None, BEST, (), "net", skeletons=skeletons, family="unknown"
        )
    return ActionPrediction(
        name, "bowl", 0.9, BEST, (), "net", skeletons=skeletons, family="sport",
        elements=(DIVE,), segments=(BOWL,),
    )  # fmt: skip


@pytest.fixture
def predict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Pipeline, "stream", lambda model, clips, **_: map(answer, clips))
    return lambda *arguments: CliRunner().invoke(main, ["predict", *map(str, arguments)])


def rows_of(path):
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_clip_has_an_srt_and_a_csv(predict, tmp_path):
    touch(tmp_path, "a.mp4")
    result = predict("a.mp4", "--timeline", "out/a.srt", "--timeline", "out/a.csv")
    assert result.exit_code == 0, result.output
    assert "  subtitles: out/a.srt\n" in result.output
    text = Path("out/a.srt").read_text(encoding="utf-8")
    assert text.count(" --> ") == 3
    assert "205B: back, 2 1/2 somersaults, pike 80 %\n" in text
    assert Path("out/a.csv").read_bytes().startswith(b"clip,start_seconds,end_seconds,person,kind")
    rows = rows_of("out/a.csv")
    assert [(row["kind"], row["start_seconds"], row["code"]) for row in rows] == [
        ("segment", "0.0", ""), ("dive", "1.0", "205B")
    ]  # fmt: skip
    assert rows[1]["label"] == "back, 2 1/2 somersaults, pike"


def test_a_folder_gets_an_srt_per_clip_by_the_name_that_players_look_for(predict, tmp_path):
    touch(tmp_path, "in/a.mp4", "in/b/a.mp4", "in/c.mp4", "in/c.avi", "in/c.avi.mkv", "in/d.e.MOV")
    result = predict("in", "--timeline", "subs", "--timeline", "all.csv")
    assert result.exit_code == 0, result.output
    found = sorted(path.relative_to("subs").as_posix() for path in Path("subs").rglob("*.srt"))
    assert found == ["a.srt", "b/a.srt", "c.avi.mkv.srt", "c.avi.srt", "c.mp4.srt", "d.e.srt"]
    assert len(rows_of("all.csv")) == 12
    assert [row["clip"] for row in rows_of("all.csv")][::2] == sorted(
        path.relative_to("in").as_posix() for path in Path("in").rglob("*.*")
    )


def test_cuts_of_one_file_have_an_srt_each(predict, tmp_path):
    touch(tmp_path, "a.mp4")
    Path("list.csv").write_text("path,start_frame,end_frame\na.mp4,0,10\na.mp4,10,20\n")
    assert predict("list.csv", "--timeline", "subs").exit_code == 0
    assert sorted(path.name for path in Path("subs").iterdir()) == [
        "a.mp4@f0-10.srt", "a.mp4@f10-20.srt"
    ]  # fmt: skip


def test_nothing_known_is_an_empty_file_and_said(predict, tmp_path):
    touch(tmp_path, "empty.mp4")
    result = predict("empty.mp4", "--timeline", "a.srt", "--timeline", "a.csv")
    assert result.exit_code == 0, result.output
    assert "  subtitles: a.srt (empty: no segment and no element)\n" in result.output
    assert Path("a.srt").read_bytes() == b""
    assert rows_of("a.csv") == []
    assert Path("a.csv").read_text().startswith("clip,start_seconds")


def test_a_broken_clip_costs_no_other_one_its_files(predict, tmp_path):
    touch(tmp_path, "in/a.mp4", "in/broken.mp4", "in/z.mp4")
    touch(tmp_path, "subs/broken.srt")
    result = predict("in", "--timeline", "subs", "--timeline", "all.csv")
    assert result.exit_code == 3
    assert sorted(path.name for path in Path("subs").iterdir()) == ["a.srt", "broken.srt", "z.srt"]
    assert Path("subs/broken.srt").read_text() == ""
    assert {row["clip"] for row in rows_of("all.csv")} == {"a.mp4", "z.mp4"}


def test_one_srt_whose_place_is_taken_stops_no_other(predict, tmp_path):
    touch(tmp_path, "in/a.mp4", "in/b.mp4", "in/c/d.mp4", "subs/c")
    Path("subs/b.srt").mkdir(parents=True)
    result = predict("in", "--timeline", "subs")
    assert result.exit_code == 3
    assert result.output.count("no subtitles: ") == 2
    assert Path("subs/a.srt").read_text().startswith("1\n00:00:00,000 --> ")


def test_one_srt_that_cannot_be_written_stops_no_other(predict, tmp_path, monkeypatch):
    touch(tmp_path, "in/a.mp4", "in/b.mp4")
    save = ActionPrediction.save

    def full(prediction, path):
        if path.name == "a.srt":
            raise OSError(28, "No space left on device", str(path))
        return save(prediction, path)

    monkeypatch.setattr(ActionPrediction, "save", full)
    result = predict("in", "--timeline", "subs")
    assert result.exit_code == 3
    assert "no subtitles: [Errno 28] No space left on device: 'subs/a.srt'" in result.output
    assert [path.name for path in Path("subs").iterdir()] == ["b.srt"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_the_rows_of_the_clips_that_are_done(
    predict, tmp_path, monkeypatch, sent
):
    touch(tmp_path, "in/a.mp4", "in/b.mp4")

    def stopped(model, clips, **_):
        yield answer(clips[0])
        signal.raise_signal(sent)
        yield answer(clips[1])

    monkeypatch.setattr(Pipeline, "stream", stopped)
    # Tests that run in the background of a shell are started with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert predict("in", "--timeline", "all.csv").exit_code == 1
    finally:
        signal.signal(signal.SIGINT, before)
    assert {row["clip"] for row in rows_of("all.csv")} == {"a.mp4"}


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("a.txt", "--timeline: expected a .csv or a folder for 2 clips, got a.txt"),
        ("a.srt", "expected a .csv or a folder for 2 clips, got a.srt"),
        ("in/a.mp4", "expected a .csv or a folder for 2 clips, got in/a.mp4"),
    ],
)
def test_other_places_are_refused_before_any_work(predict, tmp_path, monkeypatch, place, message):
    touch(tmp_path, "in/a.mp4", "in/b.mp4")
    monkeypatch.setattr(Pipeline, "__init__", None)  # nothing is loaded
    result = predict("in", "--timeline", place)
    assert (result.exit_code, message in result.output) == (1, True), result.output
    assert sorted(path.name for path in Path("in").iterdir()) == ["a.mp4", "b.mp4"]
