"""The page of ``skelact inspect``: read from the manifest, worst first, with a sheet per clip."""

from __future__ import annotations

import cv2
import pytest
from click.testing import CliRunner
from scenes import make_sequence

from skelact import SkelactError
from skelact.pipeline.cli.main import main
from skelact.pipeline.drawing.sheet import worst_first, write_page
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


def test_failed_clips_then_the_worst(tmp_path):
    entries = worst_first(folder_with(tmp_path, GOOD, WEAK, BROKEN))
    assert [entry.video for entry in entries] == ["broken.mp4", "a/weak&.mp4", "good.mp4"]


def test_the_page_keeps_the_order_and_has_a_sheet_for_each_clip(tmp_path):
    folder = folder_with(tmp_path, GOOD, WEAK, BROKEN)
    page = write_page(folder, worst_first(folder), None)
    text = page.read_text()
    assert text.index("not a &lt;video&gt;") < text.index("a/weak&amp;.mp4")
    assert text.index("a/weak%26.mp4.jpg") < text.index("seen 1.0") < text.index("good.mp4.jpg")
    # Eight frames of 240x320 as two rows of six tiles, 150 pixels high.
    assert cv2.imread(str(folder / "inspect" / "a" / "weak&.mp4.jpg")).shape == (300, 1200, 3)


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
    text = write_page(folder, worst_first(folder), None).read_text()
    assert text.count("no image: ") == 4
    assert text.count("expected a path below") == 2
    assert "src='good.mp4.jpg'" in text
    assert not list(tmp_path.rglob("outside*"))


def test_names_and_errors_are_no_markup_and_steer_nothing(tmp_path):
    """In the page and on the terminal; a long error takes no room from the table."""
    bad = ManifestEntry(HOSTILE, "failed", error="[/]\x1b]0;title\x07 " + "long " * 100)
    odd = ManifestEntry(f"odd/{HOSTILE}", "done", athlete_share=0.123, output="odd.npz")
    folder = folder_with(tmp_path, bad, odd)
    page = write_page(folder, worst_first(folder), None).read_text(encoding="utf-8")
    assert "src='odd/%5Bred%5Da%1B%5B2J%0A%FF%23%3F%25.mp4.jpg'" in page
    assert (folder / "inspect" / "odd" / f"{HOSTILE}.jpg").is_file()
    result = CliRunner().invoke(main, ["inspect", str(folder)])
    assert result.exit_code == 0, result.output
    for text in (page, result.output):
        assert "\x1b" not in text
        assert "[red]a\\x1b[2J\\x0a\\xff#?%.mp4" in text
        assert "[/]\\x1b]0;title\\x07 long" in text
    assert "0.123" in result.output


def test_what_was_typed_comes_back_without_control_characters(tmp_path):
    for arguments in (["inspect", "a\x1b[2J"], ["\x1b[2J"], ["predict", "a\x1b[2J.mp4"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code
        assert "\\x1b[2J" in result.output
        assert "\x1b" not in result.output
