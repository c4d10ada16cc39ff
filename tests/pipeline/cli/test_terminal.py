"""What commands show while they work, and where it goes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console
from scenes import make_sequence
from touch import touch

import skelact
from skelact.pipeline.cli.main import main
from skelact.pipeline.cli.terminal import ProgressDisplay, short_name, time_left
from skelact.pipeline.inference.clip_skeletons import ClipSkeletons
from skelact.pipeline.inference.pipeline import Pipeline
from skelact.pipeline.inference.results import ActionPrediction, LabelScore, PersonPrediction

BEST = (LabelScore("bowl", 0.9),)


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def in_context(capsys, steps):
    """Take steps inside a command, and return its lines on standard error."""
    with click.Context(click.Command("work")):
        steps()
    return capsys.readouterr().err.splitlines()


def test_a_log_has_a_line_every_ten_seconds_with_the_time_that_is_left(capsys, clock):
    log = Console(file=io.StringIO(), force_terminal=False)

    def steps():
        with ProgressDisplay(log, clock) as display:
            for done in range(0, 301, 10):
                display.show("one", "a.mp4", done, 300, "frames")
                clock.now += 2

    # Ten frames in two seconds: 60 for all.
    assert in_context(capsys, steps) == [
        f"a.mp4: {done}/300 frames, about {60 - done // 5} s left" for done in range(50, 300, 50)
    ] + ["a.mp4: 300/300 frames"]


def test_what_is_done_within_ten_seconds_has_no_line(capsys, clock):
    log = Console(file=io.StringIO(), force_terminal=False)

    def steps():
        with ProgressDisplay(log, clock) as display:
            display.show("one", "a.mp4", 5, 10, "frames")
            clock.now = 9.9
            display.show("one", "a.mp4", 10, 10, "frames")

    assert in_context(capsys, steps) == []


def test_a_line_guesses_only_from_what_it_has_seen(capsys, clock):
    log = Console(file=io.StringIO(), force_terminal=False)

    def steps():
        with ProgressDisplay(log, clock) as display:
            for name, done, total in (("a", 8, 72), ("\x1b[2Jb", 4, None), ("b", 80, 72)):
                clock.now += 10
                display.show("one", name, done, total, "frames")

    assert in_context(capsys, steps) == ["a: 8/72 frames", "\\x1b[2Jb: 4 frames", "b: 80/72 frames"]


def test_bars_fit_into_eighty_columns_and_show_the_end_of_a_long_name():
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80, height=24)
    with click.Context(click.Command("work")), ProgressDisplay(terminal) as display:
        display.clips(12, 345, "labelled")
        name = "a folder/" + "long " * 20 + "the_end_of_it.mp4"
        display.show("one", name, 12345, 67890, "frames, 12 people/s")
        display.pause()
    console = Console(file=io.StringIO(), force_terminal=False)
    lines = [console.render_str(line).plain for line in screen.getvalue().splitlines()]
    shown = [click.unstyle(line).strip("\r") for line in lines]
    of_clip = next(line for line in shown if "the_end_of_it.mp4" in line)
    assert "12345/67890 frames, 12 people/s" in of_clip
    assert "left" in of_clip
    assert any("12/345 clips" in line for line in shown)
    assert max(map(len, shown)) <= 80


def test_one_clip_alone_has_no_count_of_clips():
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80)
    with click.Context(click.Command("work")), ProgressDisplay(terminal) as display:
        display.clips(1, 1)
    assert terminal.file.getvalue() == ""


def test_names_and_times_are_short():
    assert len(short_name("x" * 100)) == 24
    assert short_name("a\x1b.mp4") == "a\\x1b.mp4"
    assert [time_left(seconds) for seconds in (0.2, 99, 100, 3540, 5400)] == [
        "0 s", "99 s", "2 min", "59 min", "1 h 30 min"
    ]  # fmt: skip


def answer(clip):
    """Broken files cannot be read, all others show two people who bowl."""
    name = clip.clip_id
    if "broken" in name:
        skeletons = ClipSkeletons(name, None, "no video", clip)
        return ActionPrediction(name, None, None, (), (), "net", "no video", skeletons)
    sequence = make_sequence(video_id=name)
    sequence.keypoint_scores[1, 0] = 0
    people = tuple(PersonPrediction(i, BEST) for i in range(2))
    return ActionPrediction(
        name, "bowl", 0.9, BEST, people, "net", family="sport",
        skeletons=ClipSkeletons(name, sequence, source=clip),
    )  # fmt: skip


@pytest.fixture
def predict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Pipeline, "stream", lambda model, clips, **_: map(answer, clips))
    touch(tmp_path, "in/a.mp4", "in/broken.mp4", "in/c.mp4", "a.mp4")
    return lambda *arguments: CliRunner().invoke(main, ["predict", *map(str, arguments)])


def test_json_on_standard_output_is_alone_there_and_errors_are_beside_it(predict):
    result = predict("in", "--json", "-")
    assert result.exit_code == 3
    assert [entry["video"] for entry in json.loads(result.stdout)] == [
        "a.mp4", "broken.mp4", "c.mp4"
    ]  # fmt: skip
    assert result.stderr == "broken.mp4: no video\n"


def test_an_entry_says_where_when_and_by_which_version(predict):
    (entry,) = json.loads(predict("a.mp4", "--json", "-").stdout)
    sequence = make_sequence()
    assert (entry["path"], entry["version"]) == ("a.mp4", skelact.__version__)
    assert (entry["fps"], entry["img_shape"]) == (pytest.approx(29.97, abs=0.01), [240, 320])
    assert entry["frame_inds"] == [0, 2, 4]
    assert entry["pts_seconds"] == pytest.approx(sequence.pts_seconds.tolist(), abs=1e-6)
    assert entry["duration_seconds"] == pytest.approx(5 * 1001 / 30000, abs=1e-6)
    first, second = (person["bboxes"] for person in entry["persons"])
    assert first[2] == pytest.approx(sequence.bboxes[0, 2].tolist(), abs=0.051)
    assert second[0] is None
    assert len(second) == 3


def test_a_clip_that_cannot_be_read_has_the_same_fields(predict):
    broken, good = (json.loads(predict(clip, "--json", "-").stdout)[0] for clip in
                    ("in/broken.mp4", "a.mp4"))  # fmt: skip
    assert broken.keys() == good.keys()
    assert (broken["path"], broken["fps"], broken["persons"]) == ("in/broken.mp4", None, [])


def test_numbers_of_a_list_stand_in_one_line(predict):
    text = predict("a.mp4", "--json", "-").stdout
    assert '  "frame_inds": [ 0, 2, 4 ],\n' in text


def test_lines_of_json_come_one_by_one_and_replace_a_file(predict, monkeypatch):
    Path("out.jsonl").write_text("old\n")
    real, seen = answer, []

    def watched(clip):
        seen.append(Path("out.jsonl").read_text().count("\n"))
        return real(clip)

    monkeypatch.setattr(Pipeline, "stream", lambda model, clips, **_: map(watched, clips))
    assert predict("in", "--json-lines", "out.jsonl").exit_code == 3
    entries = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [entry["error"] for entry in entries] == [None, "no video", None]
    assert seen == [1, 1, 2]  # the old line, then those of the clips before
    on_stdout = predict("in", "--json-lines", "-").stdout
    assert [json.loads(line) for line in on_stdout.splitlines()] == entries


def test_quiet_is_errors_alone(predict):
    result = predict("in", "--quiet", "--timeline", "t.csv")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "broken.mp4: no video\n"
    assert Path("t.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--json", "-", "--json-lines", "-"), "one of them can be standard output"),
        (("--slow", "4"), "--slow is for an overlay: give --overlay, too"),
        (("--crop", "athlete"), "--crop is for an overlay"),
        (("--overlay", "o.mp4", "--slow", "0.5"), "0.5 is not in the range"),
        (("--overlay", "o.mp4", "--crop", "me"), "'me' is not 'athlete'"),
    ],
)
def test_wrong_usage_is_two(predict, arguments, message):
    result = predict("a.mp4", *arguments)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_the_run_failed_is_one(predict):
    assert predict("nowhere.mp4").exit_code == 1
    assert predict("a.mp4", "--checkpoint", "none.json").exit_code == 1
