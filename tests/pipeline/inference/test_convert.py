"""Skeletons go to pandas and supervision and come back as they were."""

from __future__ import annotations

import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from scenes import make_sequence

from skelact import SkelactError
from skelact.pipeline.inference.clip_skeletons import ClipSkeletons
from skelact.pipeline.inference.convert import from_supervision, from_table, to_supervision
from skelact.pipeline.inference.tables import keypoint_table

AS_SCENE = {"fps": Fraction(30000, 1001), "img_shape": (240, 320)}


@pytest.fixture
def sequence():
    """Two people; person 1 is away in the second frame, and the first one's nose in the third."""
    made = make_sequence(2, 3)
    for array in (made.keypoints, made.keypoint_scores, made.bboxes):
        array[1, 1] = 0
    made.keypoints[0, 2, 0] = made.keypoint_scores[0, 2, 0] = 0
    return made


def same(found, sequence):
    assert np.array_equal(found.keypoints, sequence.keypoints)
    assert np.array_equal(found.keypoint_scores, sequence.keypoint_scores)
    assert np.array_equal(found.is_present(), sequence.is_present())
    assert (found.fps, found.img_shape, found.layout) == (
        sequence.fps, sequence.img_shape, sequence.layout
    )  # fmt: skip


def test_columns_come_back(sequence):
    found = from_table(keypoint_table(sequence), **AS_SCENE)
    same(found, sequence)
    assert found.frame_inds.tolist() == sequence.frame_inds.tolist()
    assert found.pts_seconds == pytest.approx(sequence.pts_seconds)
    assert found.video_id == sequence.video_id
    # The box of what is seen, and none where nobody is.
    assert found.bboxes[0, 0] == pytest.approx(
        [*sequence.keypoints[0, 0].min(axis=0), *sequence.keypoints[0, 0].max(axis=0)]
    )
    assert found.bboxes[1, 1].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_frame_of_pandas_comes_back(sequence, tmp_path, form):
    pandas = pytest.importorskip("pandas", reason="needs pandas (pip install 'skelact[pandas]')")
    skeletons = ClipSkeletons("a/b.c.mp4", sequence)
    table = skeletons.to_df()
    if form == "csv":
        table = pandas.read_csv(skeletons.save(tmp_path / "a.csv"), float_precision="round_trip")
    # In any order, and without the rows that say nothing.
    shuffled = table.dropna().sample(frac=1, random_state=0)
    back = ClipSkeletons.from_df(shuffled, **AS_SCENE)
    same(back.sequence, sequence)
    assert back.video == "a/b.c.mp4"
    assert back.to_df().equals(skeletons.to_df())


def test_times_are_those_of_the_rate_where_there_are_none(sequence):
    table = keypoint_table(sequence)
    del table["seconds"], table["clip"]
    found = from_table(table, fps=25, img_shape=(240, 320))
    assert found.pts_seconds == pytest.approx([0, 0.08, 0.16])
    assert found.video_id == "table"


def changed(table, **columns):
    return {**table, **columns}


def test_tables_that_cannot_be(sequence):
    table = keypoint_table(sequence)
    count = len(table["x"])
    for wrong, said in (
        ({name: table[name] for name in table if name != "joint"}, "no joint"),
        (changed(table, joint=np.full(count, "tail")), "no keypoint 'tail'"),
        (changed(table, person=np.full(count, 0.5)), "whole numbers in the column person"),
        (changed(table, frame=np.full(count, np.nan)), "whole numbers in the column frame"),
        (changed(table, frame=np.full(count, "a")), "whole numbers in the column frame"),
        (changed(table, person=np.zeros(count, int)), "a row per person, frame and joint"),
        (changed(table, clip=np.arange(count)), "expected one clip, got 102"),
        (changed(table, seconds=np.zeros(count)), "strictly increasing times"),
        (changed(table, frame=table["frame"] - 9), "expected indices from 0"),
    ):
        with pytest.raises(SkelactError, match=said):
            from_table(wrong, **AS_SCENE)
    with pytest.raises(ValueError, match="fps: expected a number above 0"):
        from_table(table, fps=0, img_shape=(240, 320))


def test_a_table_without_rows_is_a_clip_without_people():
    found = from_table(keypoint_table(None), fps=25, img_shape=(240, 320))
    assert (found.num_person, found.num_frames) == (0, 0)


def test_key_points_come_back(sequence):
    supervision = pytest.importorskip(
        "supervision", reason="needs supervision (pip install supervision)"
    )
    frames = [to_supervision(sequence, step) for step in range(3)]
    assert all(isinstance(frame, supervision.KeyPoints) for frame in frames)
    assert [len(frame) for frame in frames] == [2, 1, 2]
    assert np.array_equal(frames[0].xy, sequence.keypoints[:, 0])
    assert np.array_equal(frames[2].visible, sequence.keypoint_scores[:, 2] > 0)
    assert frames[1].data["person"].tolist() == [0]
    same(from_supervision(frames, **AS_SCENE), sequence)


def test_its_own_annotator_draws_them(sequence):
    supervision = pytest.importorskip(
        "supervision", reason="needs supervision (pip install supervision)"
    )
    image = np.zeros((240, 320, 3), np.uint8)
    points = ClipSkeletons("a", sequence).to_supervision(-1)
    drawn = supervision.VertexAnnotator(radius=2).annotate(image.copy(), points)
    x, y = sequence.keypoints[0, 2, 5].round().astype(int)
    assert drawn[y, x].any()
    with pytest.raises(IndexError, match="expected a frame below 3"):
        ClipSkeletons("a", sequence).to_supervision(3)


def key_points(xy, confidence=None, visible=None, **data):
    """Return what has the attributes of supervision's KeyPoints."""
    xy = np.asarray(xy, np.float32)
    return SimpleNamespace(xy=xy, keypoint_confidence=confidence, visible=visible, data=data)


def test_key_points_of_other_models():
    """Without confidences, tracks or people; the first keypoint is at (0, 0): not found."""
    xy = np.arange(34, dtype=np.float32).reshape(1, 17, 2)
    xy[0, 0] = 0
    nobody = key_points(np.empty((0, 17, 2)))
    back = ClipSkeletons.from_supervision(
        [nobody, key_points(xy), key_points(np.concatenate([xy, xy + 50]))],
        fps=25, img_shape=(240, 320), video="yolo.mp4",
    )  # fmt: skip
    assert back.video == back.sequence.video_id == "yolo.mp4"
    assert back.sequence.is_present().tolist() == [[False, True, True], [False, False, True]]
    assert back.sequence.keypoint_scores[0, 1].tolist() == [0] + 16 * [1]
    assert back.sequence.keypoint_scores[1, 2].tolist() == 17 * [1]
    assert back.sequence.pts_seconds == pytest.approx([0, 0.04, 0.08])


def test_tracks_hold_people_together_and_hidden_points_are_not_seen():
    one, other = np.full((17, 2), 5), np.full((17, 2), 90)
    scores, visible = np.full((2, 17), 0.5), np.ones((2, 17), bool)
    visible[0, 3] = False
    frames = [
        key_points([one, other], scores, visible, track_id=np.array([7, 4])),
        key_points([other, one], scores, None, track_id=np.array([4, 7])),
    ]
    found = from_supervision(frames, **AS_SCENE)
    assert found.track_ids.tolist() == [7, 4]
    assert (found.keypoints[0, :, 0, 0].tolist(), found.keypoints[1, :, 0, 0].tolist()) == (
        [5, 5], [90, 90]
    )  # fmt: skip
    assert found.keypoint_scores[0, 0, 3] == 0


def test_key_points_that_cannot_be():
    with pytest.raises(SkelactError, match=r"expected \(N, 17, 2\) of coco_17, got \(1, 5, 2\)"):
        from_supervision([key_points(np.ones((1, 5, 2)))], **AS_SCENE)
    twice = key_points(np.ones((2, 17, 2)), track_id=np.array([3, 3]))
    with pytest.raises(SkelactError, match="a track for each of 2 people"):
        from_supervision([twice], **AS_SCENE)


def test_without_supervision_the_command_is_named(sequence, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(SkelactError, match="pip install supervision"):
        to_supervision(sequence, 0)
