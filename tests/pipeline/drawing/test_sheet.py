"""The page of ``skelact inspect``: read from the manifest, worst first, with a sheet per clip."""

from __future__ import annotations

import cv2
import pytest
from scenes import make_sequence

from skelact import SkelactError
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
    assert text.index("not a &lt;video&gt;") < text.index("a/weak&amp;.mp4.jpg")
    assert text.index("a/weak&amp;.mp4.jpg") < text.index("seen 1.0") < text.index("good.mp4.jpg")
    # Eight frames of 240x320 as two rows of six tiles, 150 pixels high.
    assert cv2.imread(str(folder / "inspect" / "a" / "weak&.mp4.jpg")).shape == (300, 1200, 3)


def test_a_folder_without_a_manifest_or_with_one_of_another_version(tmp_path):
    with pytest.raises(SkelactError, match=r"expected manifest.jsonl, as `skelact extract"):
        worst_first(tmp_path)
    (tmp_path / "manifest.jsonl").write_text('{"clip": "a.mp4"}\n')
    with pytest.raises(SkelactError, match="from another version of skelact"):
        worst_first(tmp_path)
