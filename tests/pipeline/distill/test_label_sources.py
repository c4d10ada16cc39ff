"""Videos and groups of images to label are found in folders."""

from __future__ import annotations

import pytest

from skelact import SkelactError
from skelact.pipeline.distill.label import label_folders
from skelact.pipeline.distill.label_sources import find_jobs
from skelact.pipeline.distill.teachers import LabelConfig


def test_nothing_to_label_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(SkelactError, match="no video and no image"):
        find_jobs([tmp_path])
    with pytest.raises(SkelactError, match="no file or folder"):
        find_jobs([tmp_path / "none"])
    with pytest.raises(SkelactError, match="no video and no image"):
        next(label_folders([tmp_path], tmp_path / "out", LabelConfig(), jobs=1))
    assert not (tmp_path / "out").exists()


def test_two_folders_of_one_name_are_refused(tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "clips").mkdir(parents=True)
        (tmp_path / parent / "clips" / "one.mp4").write_bytes(b"")
    with pytest.raises(SkelactError, match="are both called clips/one.mp4"):
        find_jobs([tmp_path / "a" / "clips", tmp_path / "b" / "clips"])
    assert len(find_jobs([tmp_path])) == 2


def test_hidden_files_are_not_labelled(tmp_path):
    for name in ("a.jpg", "._a.jpg", "b.mp4", "._b.mp4", ".cache/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.name for job in find_jobs([tmp_path]) for path in job.paths]
    assert found == ["b.mp4", "a.jpg"]
