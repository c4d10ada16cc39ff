"""Results say what they are, and come as tables, files and images."""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import FPS, write_clip
from scenes import make_sequence

from skelact import SkelactError
from skelact.pipeline.inference.results import (
    ActionPrediction,
    ClipSkeletons,
    LabelScore,
    PersonPrediction,
)
from skelact.pipeline.inference.tables import KEYPOINT_COLUMNS, keypoint_table
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.sources import ClipSource
from skelact.pose_extract.store.npz import load_sequence

BROKEN = ClipSkeletons("b.mp4", None, "no video")


def two_people(num_frames=3):
    """Person 7 and person 9; the second one's nose is not seen in the last frame."""
    sequence = make_sequence(
        2,
        num_frames,
        track_ids=np.array([7, 9]),
        frame_inds=np.arange(100, 100 + num_frames),
        fps=Fraction(25, 2),
        img_shape=(96, 128),
        video_id="a.mp4",
    )
    sequence.keypoint_scores[1, -1, 0] = 0
    return ClipSkeletons("a.mp4", sequence)


def prediction_of(skeletons):
    best = (LabelScore("vault", 0.75), LabelScore("beam", 0.25))
    people = (PersonPrediction(7, best), PersonPrediction(9, best[::-1]))
    return ActionPrediction(
        "a.mp4", "vault", 0.75, best, people, "net", skeletons=skeletons, family="sport"
    )


def failed_prediction():
    return ActionPrediction("b.mp4", None, None, (), (), "net", "no video", BROKEN)


def test_they_are_shown_in_a_line():
    assert repr(two_people()) == "ClipSkeletons('a.mp4', 2 people, 3 frames, 12.5 fps)"
    assert repr(BROKEN) == "ClipSkeletons('b.mp4', error='no video')"
    assert repr(prediction_of(two_people())) == "ActionPrediction('a.mp4', 'vault', score=0.75)"
    assert repr(failed_prediction()) == "ActionPrediction('b.mp4', error='no video')"


def test_skeletons_are_sliced_by_frame_and_labels_by_rank():
    skeletons = two_people(8)
    part = skeletons[2:5]
    assert (len(skeletons), len(part)) == (8, 3)
    assert part.sequence.frame_inds.tolist() == [102, 103, 104]
    assert np.array_equal(part.sequence.keypoints, skeletons.sequence.keypoints[:, 2:5])
    with pytest.raises(TypeError, match="expected a slice"):
        skeletons[2]
    prediction = prediction_of(skeletons)
    assert prediction[0] == LabelScore("vault", 0.75)
    assert [item.label for item in prediction[:2]] == ["vault", "beam"]
    assert len(prediction) == 2
    with pytest.raises(IndexError):
        prediction[2]


def test_a_failed_clip_answers_without_raising_until_its_arrays_are_used():
    prediction = failed_prediction()
    assert (prediction.label, prediction.score, prediction[:3]) == (None, None, ())
    assert len(prediction) == len(BROKEN) == 0
    assert prediction.to_dict()["error"] == "no video"
    values = BROKEN.to_dict()
    assert (values["video"], values["error"], values["keypoints"]) == ("b.mp4", "no video", None)
    assert set(values) == set(two_people().to_dict())
    for use in (lambda: prediction.sequence, lambda: BROKEN[:3], BROKEN.plot, prediction.plot):
        with pytest.raises(SkelactError, match="b.mp4 has no skeletons: no video"):
            use()


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".mp4"])
def test_a_failed_clip_leaves_no_file(tmp_path, suffix):
    with pytest.raises(SkelactError, match="b.mp4 has no skeletons: no video"):
        BROKEN.save(tmp_path / f"b{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_plain_values_survive_json():
    skeletons = two_people()
    values = json.loads(json.dumps(skeletons.to_dict()))
    assert values == skeletons.to_dict()
    assert (values["fps"], values["img_shape"], values["layout"]) == (12.5, [96, 128], "coco_17")
    assert np.array_equal(np.float32(values["keypoints"]), skeletons.sequence.keypoints)
    prediction = prediction_of(skeletons)
    assert json.loads(json.dumps(prediction.to_dict())) == prediction.to_dict()
    assert set(prediction.to_dict()) == {
        "video", "path", "fps", "img_shape", "duration_seconds", "frame_inds", "pts_seconds",
        "family", "unknown", "label", "score", "top_k", "elements", "segments", "persons",
        "checkpoint", "version", "lost_frames", "error",
    }  # fmt: skip


def test_a_row_per_person_frame_and_keypoint():
    skeletons = two_people()
    sequence = skeletons.sequence
    table = keypoint_table(sequence)
    assert list(table) == list(KEYPOINT_COLUMNS)
    assert {len(column) for column in table.values()} == {2 * 3 * 17}
    # Person 9, its second frame, the third keypoint.
    row = 1 * 3 * 17 + 1 * 17 + 2
    assert {name: table[name][row] for name in table} == {
        "clip": "a.mp4",
        "person": 1,
        "frame": 101,
        "seconds": 101 / 12.5,
        "joint": COCO_17.keypoint_names[2],
        "x": sequence.keypoints[1, 1, 2, 0],
        "y": sequence.keypoints[1, 1, 2, 1],
        "score": sequence.keypoint_scores[1, 1, 2],
    }
    unseen = 1 * 3 * 17 + 2 * 17
    assert np.isnan(table["x"][unseen])
    assert np.isnan(table["y"][unseen])
    assert np.isnan(table["x"]).sum() == 1


def test_seconds_are_the_frames_own_times(tmp_path):
    """A slow-motion part: frames 100 to 102 follow each other at 12.5 and then at 100 Hz."""
    skeletons = two_people()
    slow = replace(skeletons.sequence, pts_seconds=np.array([8.0, 8.08, 8.09]))
    assert np.unique(keypoint_table(slow)["seconds"]).tolist() == [8.0, 8.08, 8.09]
    values = ClipSkeletons("a.mp4", slow).to_dict()
    assert (values["pts_seconds"], values["pixel_aspect"]) == ([8.0, 8.08, 8.09], 1.0)
    rows = csv.DictReader(ClipSkeletons("a.mp4", slow).save(tmp_path / "a.csv").open())
    assert {row["seconds"] for row in rows} == {"8.0", "8.08", "8.09"}


def test_frames_in_memory_follow_each_other_at_their_rate():
    """The file that they went through has times in whole milliseconds."""
    rough = replace(two_people().sequence, pts_seconds=np.array([8.0, 8.033, 8.067]))
    exact = ClipSkeletons("frames", rough).of_frames(Fraction(30)).sequence
    assert np.allclose(exact.pts_seconds, np.arange(100, 103) / 30, atol=1e-12)


def test_a_part_is_not_taken_for_the_whole_clip():
    whole = ClipSkeletons("a.mp4", two_people().sequence, extraction={"smooth": False})
    assert whole[1:].extraction != whole.extraction
    assert whole[1:].extraction["smooth"] is False


def test_names_that_are_not_utf_8_come_back(tmp_path):
    """A byte of a file name that is no text: os.fsdecode holds it as a lone surrogate."""
    name = os.fsdecode(b"sal\xffto.mp4")
    skeletons = ClipSkeletons(name, replace(two_people().sequence, video_id=name))
    text = skeletons.save(tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text)["video"] == name
    table = skeletons.save(tmp_path / "a.csv").read_text(encoding="utf-8")
    assert table.splitlines()[1].startswith("sal\\udcffto.mp4,0,100,")


def test_csv_holds_the_same_rows(tmp_path):
    path = two_people().save(str(tmp_path / "deep" / "a.csv"))
    rows = list(csv.DictReader(path.open()))
    table = keypoint_table(two_people().sequence)
    assert [row["joint"] for row in rows] == table["joint"].tolist()
    assert np.float32(rows[40]["x"]) == np.float32(table["x"][40])
    assert [row["x"] for row in rows].count("") == 1
    labels = prediction_of(two_people()).save(tmp_path / "labels.csv")
    assert labels.read_text().splitlines() == [
        "clip,rank,label,score,family,unknown",
        "a.mp4,1,vault,0.75,sport,False",
        "a.mp4,2,beam,0.25,sport,False",
    ]
    unknown = replace(prediction_of(two_people()), label=None, score=None, family="unknown")
    table = unknown.save(tmp_path / "unknown.csv").read_text()
    assert table.splitlines()[1] == "a.mp4,1,vault,0.75,unknown,True"


def test_data_frames():
    pandas = pytest.importorskip("pandas", reason="needs pandas (pip install 'skelact[pandas]')")
    table = two_people().to_df()
    assert list(table.columns) == list(KEYPOINT_COLUMNS)
    assert table.groupby(["person", "frame"]).size().eq(17).all()
    assert list(BROKEN.to_df().columns) == list(KEYPOINT_COLUMNS)
    assert BROKEN.to_df().dtypes.equals(table.dtypes)
    assert len(pandas.concat([table, BROKEN.to_df()])) == len(table) == 102
    labels = prediction_of(two_people()).to_df()
    assert labels["label"].tolist() == ["vault", "beam"]
    assert labels["rank"].tolist() == [1, 2]
    assert labels["family"].tolist() == ["sport", "sport"]
    assert (labels["unknown"].dtype, labels["unknown"].any()) == (bool, False)
    assert list(failed_prediction().to_df().columns) == list(labels.columns)


def test_without_pandas_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for result in (two_people(), prediction_of(two_people())):
        with pytest.raises(SkelactError, match=r"pip install 'skelact\[pandas\]'"):
            result.to_df()


def test_the_cache_entry_is_read_again(tmp_path):
    skeletons = two_people()
    path = prediction_of(skeletons).save(tmp_path / "a.npz")
    back = load_sequence(path)
    assert np.array_equal(back.keypoints, skeletons.sequence.keypoints)
    assert (back.fps, back.video_id) == (Fraction(25, 2), "a.mp4")


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    for result, known in (
        (two_people(), r"\.csv, \.json, \.mp4, \.npz"),
        (prediction_of(two_people()), r"\.csv, \.json, \.mp4, \.npz, \.srt"),
    ):
        with pytest.raises(SkelactError, match=f"{known}, got '.txt'"):
            result.save(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def from_clip(path, **cut):
    """One person who stands in frames 10 to 19 of a clip whose frame i has brightness 5 i."""
    keypoints = np.zeros((1, 10, 17, 2), np.float32)
    keypoints[..., 0], keypoints[..., 1] = 64, 48
    sequence = make_sequence(
        1,
        10,
        keypoints=keypoints,
        keypoint_scores=np.ones((1, 10, 17), np.float32),
        bboxes=np.tile(np.array([44, 28, 84, 68], np.float32), (1, 10, 1)),
        frame_inds=np.arange(10, 20),
        img_shape=(96, 128),
        fps=FPS,
    )
    return ClipSkeletons("a", sequence, source=ClipSource(path, "a", **cut))


def test_plot_draws_on_the_frame_of_the_file(tmp_path):
    skeletons = from_clip(write_clip(tmp_path / "a.mp4"), start_frame=10, end_frame=20)
    for frame, brightness in ((0, 50), (3, 65), (-1, 95)):
        image = skeletons.plot(frame)
        assert (image.shape, image.dtype) == ((96, 128, 3), np.uint8)
        assert image[90, 120].mean() == pytest.approx(brightness, abs=4)
        # The joints are drawn at their place.
        assert abs(image[48, 64].astype(int) - brightness).max() > 50
    for frame in (10, -11):
        with pytest.raises(IndexError, match="expected a frame below 10"):
            skeletons.plot(frame)


def test_plot_draws_on_black_without_the_file_and_on_an_image_given(tmp_path):
    skeletons = from_clip(tmp_path / "gone.mp4")
    assert skeletons.plot(0)[90, 120].tolist() == [0, 0, 0]
    white = np.full((96, 128, 3), 255, np.uint8)
    assert skeletons.plot(0, white)[90, 120].tolist() == [255, 255, 255]
    assert (white == 255).all()
    with pytest.raises(SkelactError, match=r"expected an image \(96, 128, 3\) uint8"):
        skeletons.plot(0, white[:50])


def test_a_result_never_replaces_its_source(tmp_path):
    clip = write_clip(tmp_path / "a.mp4")
    before = clip.read_bytes()
    (tmp_path / "hard.mp4").hardlink_to(clip)
    (tmp_path / "soft.mp4").symlink_to(clip)
    skeletons = from_clip(clip, start_frame=10, end_frame=20)
    for result in (skeletons, prediction_of(skeletons)):
        for target in ("a.mp4", "hard.mp4", "soft.mp4"):
            with pytest.raises(SkelactError, match="is one of the sources and would be lost"):
                result.save(tmp_path / target)
    assert clip.read_bytes() == before


def test_a_prediction_adds_its_labels_to_the_plot(tmp_path):
    skeletons = from_clip(tmp_path / "gone.mp4")
    plain, labelled = skeletons.plot(0), prediction_of(skeletons).plot(0)
    assert not np.array_equal(plain[:20, :60], labelled[:20, :60])


def test_the_overlay_is_the_clip_and_labels_are_on_it(tmp_path):
    clip = write_clip(tmp_path / "a.mp4")
    skeletons = from_clip(clip, start_frame=10, end_frame=20)
    frames = {}
    for name, result in (("plain", skeletons), ("labelled", prediction_of(skeletons))):
        with av.open(str(result.save(tmp_path / f"{name}.mp4"))) as file:
            frames[name] = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(frames["plain"]) == len(frames["labelled"]) == 10
    difference = np.abs(frames["plain"][0].astype(int) - frames["labelled"][0]).max(axis=2)
    assert difference[:40, :200].max() > 100


def test_frames_in_memory_have_no_file_to_draw_an_overlay_on(tmp_path):
    skeletons = from_clip(tmp_path / "gone.mkv").of_frames(Fraction(25))
    assert skeletons.sequence.fps == 25
    with pytest.raises(SkelactError, match="were in memory; draw them with plot"):
        skeletons.save(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []
