"""People in videos and images are labelled by the teachers of a folder."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from skelact import SkelactError
from skelact.pipeline.cli.main import main
from skelact.pipeline.distill.label import label_folders
from skelact.pipeline.distill.label_sources import find_jobs
from skelact.pipeline.distill.labelled_frames import LabelledFrames
from skelact.pipeline.distill.teachers import LabelConfig


def test_real_people_are_labelled_once_and_broken_files_are_reported(shared, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    images = sorted((shared / "videos" / "youtube_pose_frames").glob("*.jpg"))[:3]
    for path in images:
        (folder / path.name).symlink_to(path)
    (folder / "broken.mp4").write_bytes(b"no video")
    result = CliRunner().invoke(
        main, ["distill", "label", str(folder), "--out", str(tmp_path / "out"), "--jobs", "1"]
    )
    assert result.exit_code == 1, result.output
    assert "sources that could not be read: 1" in result.output
    labelled = LabelledFrames.load(tmp_path / "out")
    assert 1 <= len(labelled.person_frames) <= 12
    seen = (labelled.peaks > 0.5) & (labelled.weights > 0)
    assert seen.sum(axis=1).min() >= 5
    low, high = labelled.bboxes[:, None, :2], labelled.bboxes[:, None, 2:]
    inside = ((labelled.keypoints >= low) & (labelled.keypoints <= high)).all(-1)
    assert inside[seen].mean() > 0.95
    jobs = find_jobs([folder])
    before = {job.name: job.target(tmp_path / "out").exists() for job in jobs}
    assert sorted(before.values()) == [False, True]
    again = list(label_folders([folder], tmp_path / "out", LabelConfig(), jobs=1))
    assert sum(isinstance(result, Exception) for _, result in again) == 1
    teachers = json.loads((tmp_path / "out" / "teachers.json").read_text())
    assert [pose["name"] for pose in teachers["poses"]] == list(LabelConfig().poses)
    with pytest.raises(SkelactError, match=r"labels there are by other teachers \(config\)"):
        next(label_folders([folder], tmp_path / "out", LabelConfig(keep_every=2), jobs=1))


def test_labels_of_an_older_version_are_known_by_their_teachers(shared, repository, tmp_path):
    """The shipped detector's JSON records teachers with the names that keys had in version 0.x."""
    shipped = repository / "models" / "pretrained" / "skelact_detector_320.json"
    teachers = json.loads(shipped.read_text())["data"]["teachers"]
    assert "sure_score" in teachers["config"]
    (tmp_path / "one.mp4").write_bytes(b"no video")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "teachers.json").write_text(json.dumps(teachers))

    def label():
        return next(label_folders([tmp_path / "one.mp4"], tmp_path / "out", LabelConfig(), jobs=1))

    assert isinstance(label()[1], SkelactError)  # the file's own error: it is no video
    teachers["config"]["sure_score"] = 0.3
    (tmp_path / "out" / "teachers.json").write_text(json.dumps(teachers))
    with pytest.raises(SkelactError, match=r"labels there are by other teachers \(config\)"):
        label()
