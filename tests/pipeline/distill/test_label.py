"""Labels that two pose models agree on, and the folders that are labelled."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from distill_scenes import BODY, person

from skelact import SkelactError
from skelact.pipeline.cli.main import main
from skelact.pipeline.distill.label import (
    LabelConfig,
    agree,
    different_people,
    find_jobs,
    label_folders,
    unexplained,
)
from skelact.pipeline.distill.labelled_frames import LabelledFrames


def test_teachers_who_agree_make_a_label_and_others_do_not():
    config = LabelConfig()
    scores = np.full((2, 17), 0.8)
    keypoints, peaks, weights = agree(np.stack([BODY, BODY + 1]), scores, 7200.0, config)
    assert np.allclose(keypoints, BODY + 0.5)
    assert np.allclose(peaks, 0.8)
    assert weights.all()

    moved = BODY.copy()
    moved[9] += 40.0  # one wrist elsewhere: not learned from
    label = agree(np.stack([BODY, moved]), scores, 7200.0, config)
    assert label[2].tolist() == [float(i != 9) for i in range(17)]

    unseen = scores.copy()
    unseen[:, 15] = 0.05  # both see no ankle: learned as not there
    label = agree(np.stack([BODY, moved]), unseen, 7200.0, config)
    assert label[1][15] == 0.0
    assert label[2][15] == 1.0

    assert agree(np.stack([BODY, BODY + 60]), scores, 7200.0, config) is None


def test_one_person_in_two_boxes_is_one_and_parts_are_not_ignored():
    first, second, other = person(30, 60), person(32, 61), person(200, 20)
    assert different_people([first, second, other]) == [first, other]
    people = np.stack([first[0]])
    head, elsewhere = first[0] * [1, 1, 1, 0] + [0, 0, 0, 90], np.array([200, 20, 260, 140.0])
    left = unexplained(np.stack([first[0] + 2, head, elsewhere]).astype(np.float32), people)
    assert left.tolist() == [elsewhere.tolist()]


def test_real_people_are_labelled_once_and_broken_files_are_told(shared, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    pictures = sorted((shared / "videos" / "youtube_pose_frames").glob("*.jpg"))[:3]
    for path in pictures:
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


def test_nothing_to_label_is_an_error(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(SkelactError, match="no video and no picture"):
        find_jobs([tmp_path])
    with pytest.raises(SkelactError, match="no file or folder"):
        find_jobs([tmp_path / "none"])
    with pytest.raises(SkelactError, match="no video and no picture"):
        next(label_folders([tmp_path], tmp_path / "out", LabelConfig(), jobs=1))
    assert not (tmp_path / "out").exists()


def test_two_folders_of_one_name_are_refused(tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "clips").mkdir(parents=True)
        (tmp_path / parent / "clips" / "one.mp4").write_bytes(b"")
    with pytest.raises(SkelactError, match="are both called clips/one.mp4"):
        find_jobs([tmp_path / "a" / "clips", tmp_path / "b" / "clips"])
    assert len(find_jobs([tmp_path])) == 2
