"""The page of ``skelact inspect``: read from the manifest, worst first, with a sheet per clip."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import pytest
from click.testing import CliRunner
from scenes import make_sequence

from skelact import SkelactError
from skelact.pipeline.cli.main import main
from skelact.pipeline.drawing.sheet import worst_first
from skelact.pipeline.inference.results import ActionPrediction, LabelScore
from skelact.pipeline.report.inspection import write_inspection
from skelact.pose_extract.store.manifest import ManifestEntry, write_manifest
from skelact.pose_extract.store.npz import save_sequence

GOOD = ManifestEntry("good.mp4", "done", athlete_share=1.0, mean_score=0.9, output="good.mp4.npz")
WEAK = ManifestEntry("a/weak&.mp4", "done", athlete_share=0.5, mean_score=0.5, output="weak.npz")
BROKEN = ManifestEntry("broken.mp4", "failed", error="not a <video>")


def folder_with(tmp_path, *entries):
    write_manifest(tmp_path / "manifest.jsonl", entries)
    for entry in entries:
        if entry.output:
            save_sequence(tmp_path / entry.output, make_sequence(num_frames=8), {})
    return tmp_path


def contents(page):
    text = (page.parent / "data" / "clips.js").read_text(encoding="ascii")
    return json.loads(text[text.index(",") + 1 : text.rindex(")")])


def test_failed_clips_then_the_worst(tmp_path):
    entries = worst_first(folder_with(tmp_path, GOOD, WEAK, BROKEN))
    assert [entry.video for entry in entries] == ["broken.mp4", "a/weak&.mp4", "good.mp4"]


def test_the_page_keeps_the_order_and_has_a_sheet_for_each_clip(tmp_path):
    folder = folder_with(tmp_path, GOOD, WEAK, BROKEN)
    page = write_inspection(folder, worst_first(folder), None)
    broken, weak, good = contents(page)["clips"]
    assert (broken["error"], broken["figures"]) == ("not a <video>", None)
    assert (weak["name"], weak["sheet"]) == ("a/weak&.mp4", "a/weak%26.mp4.jpg")
    assert good["figures"]["athlete_share"] == 1.0
    # Eight frames of 240x320 as two rows of six tiles, 150 pixels high.
    assert cv2.imread(str(folder / "inspect" / "a" / "weak&.mp4.jpg")).shape == (300, 1200, 3)
    assert [tile["frame"] for tile in good["tiles"]] == list(range(0, 16, 2))
    # Nothing is known of where the videos are.
    assert {tile["href"] for tile in good["tiles"]} == {None}


def test_a_frame_leads_to_the_video_at_its_time(tmp_path):
    (tmp_path / "in").mkdir()
    video = tmp_path / "in" / "a #1.mp4"
    video.touch()
    cut = replace(GOOD, video="a #1.mp4@f5-9", source="/no/longer/there.mp4")
    folder = folder_with(tmp_path / "out", replace(GOOD, source=str(video)), cut)
    for videos in (None, tmp_path / "in"):
        clips = contents(write_inspection(folder, [cut, *worst_first(folder)], videos))["clips"]
        found = [clip["tiles"][1]["href"] for clip in clips if clip["name"] == cut.video]
        assert found[0] == (videos and f"{video.as_uri()}#t=0.068")  # frame 2 of 29.97 a second
    assert "%20%231.mp4#t=" in found[0]
    (good,) = (clip for clip in contents(folder / "inspect" / "index.html")["clips"]
               if clip["name"] == GOOD.video)  # fmt: skip
    assert good["tiles"][0]["href"] is None  # --videos has none of this name


class Bowls:
    """Says that each clip shows someone who bowls."""

    def predict_sequence(self, sequence):
        best = (LabelScore("bowl", 0.95),)
        return ActionPrediction(
            sequence.video_id, "bowl", 0.95, best, (), "net", label_names=("bowl", "squat")
        )


def test_labels_and_predictions_stand_side_by_side(tmp_path):
    """A prediction is another one only of a label that the classifier knows."""
    labels = ("bowl", "squat", "Bowling", None)
    entries = [replace(GOOD, video=f"{i}.mp4", label=label) for i, label in enumerate(labels)]
    folder = folder_with(tmp_path, *entries)
    clips = contents(write_inspection(folder, entries, None, labeller=Bowls()))["clips"]
    assert [clip["label"] for clip in clips] == list(labels)
    assert [clip["is_other"] for clip in clips] == [False, True, False, False]
    assert {(clip["predicted"], clip["confidence_words"]) for clip in clips} == {
        ("bowl", "very likely")
    }  # fmt: skip


def test_a_folder_without_a_manifest_or_with_one_of_another_version(tmp_path):
    with pytest.raises(SkelactError, match=r"expected manifest.jsonl, as `skelact extract"):
        worst_first(tmp_path)
    (tmp_path / "manifest.jsonl").write_text('{"video": "a.mp4", "status": "done", "later": 1}\n')
    with pytest.raises(SkelactError, match="from another version of skelact"):
        worst_first(tmp_path)


HOSTILE = "[red]a\x1b[2J\n\udcff#?%.mp4"


def test_one_clip_that_cannot_be_shown_leaves_the_others(tmp_path):
    """A damaged entry, one without frames, and a line that leads out of the folder."""
    damaged = ManifestEntry("damaged.mp4", "done", output="damaged.npz")
    empty = ManifestEntry("empty.mp4", "done", output="empty.npz")
    outside = ManifestEntry("../../outside.mp4", "done", output="good.mp4.npz")
    elsewhere = ManifestEntry("elsewhere.mp4", "done", output="/etc/passwd")
    entries = [damaged, empty, outside, elsewhere, GOOD]
    folder = folder_with(tmp_path / "out", GOOD)
    write_manifest(folder / "manifest.jsonl", entries)
    (folder / "damaged.npz").write_bytes(b"no entry")
    save_sequence(folder / "empty.npz", make_sequence(num_frames=0), {})
    clips = contents(write_inspection(folder, worst_first(folder), None))["clips"]
    reasons = [clip["no_image"] for clip in clips if "no_image" in clip]
    assert len(reasons) == 4
    assert sum("expected a path below" in reason for reason in reasons) == 2
    assert [clip["sheet"] for clip in clips if "sheet" in clip] == ["good.mp4.jpg"]
    assert not list(tmp_path.rglob("outside*"))


def test_names_and_errors_are_no_markup_and_steer_nothing(tmp_path):
    """In the page and on the terminal; a long error takes no room from the table."""
    bad = ManifestEntry(HOSTILE, "failed", error="[/]\x1b]0;title\x07 " + "long " * 100)
    odd = ManifestEntry(f"odd/{HOSTILE}", "done", athlete_share=0.12, output="odd.npz")
    folder = folder_with(tmp_path, bad, odd)
    failed, shown = contents(write_inspection(folder, worst_first(folder), None))["clips"]
    assert shown["sheet"] == "odd/%5Bred%5Da%1B%5B2J%0A%FF%23%3F%25.mp4.jpg"
    assert (folder / "inspect" / "odd" / f"{HOSTILE}.jpg").is_file()
    result = CliRunner().invoke(main, ["inspect", str(folder)])
    assert result.exit_code == 0, result.output
    for text in (f"{failed} {shown}".replace("\\\\", "\\"), result.output):
        assert "\x1b" not in text
        assert "[red]a\\x1b[2J\\x0a\\xff#?%.mp4" in text
        assert "[/]\\x1b]0;title\\x07 long" in text
    assert "0.12" in result.output


def test_what_was_typed_comes_back_without_control_characters(tmp_path):
    for arguments in (["inspect", "a\x1b[2J"], ["\x1b[2J"], ["predict", "a\x1b[2J.mp4"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code
        assert "\\x1b[2J" in result.output
        assert "\x1b" not in result.output
