"""Files per clip, read back by the readers of the tools that they are for."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from scenes import make_sequence

from skelact import SkelactError
from skelact.pipeline.export.c3d_points import write_c3d
from skelact.pipeline.export.dlc import write_dlc
from skelact.pipeline.export.motion import Scale, every_frame, marker_names
from skelact.pipeline.export.openpose import BODY_25, write_openpose
from skelact.pipeline.export.run import CLIP_FORMATS, ExportOptions, export_skeletons
from skelact.pipeline.export.sources import find_skeletons
from skelact.pipeline.export.trc import write_trc
from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.store.npz import save_sequence

pandas = pytest.importorskip("pandas", reason="needs pandas (pip install 'skelact[pandas]')")

PIXELS = Scale()
FRAMES = np.array([100, 101, 104])
# What is left of positions in pixels is rounded to a thousandth.
NEAR = 0.0006


@pytest.fixture
def sequence():
    """Two people in frames 100, 101 and 104 of a video of 240 rows.

    Person 1 is away in frame 101, and the left wrist of person 0 is not seen in frame 104.
    """
    made = make_sequence(2, 3, frame_inds=FRAMES, fps=Fraction(25), video_id="a.mp4")
    for array in (made.keypoints, made.keypoint_scores, made.bboxes):
        array[1, 1] = 0
    made.keypoint_scores[0, 2, COCO_17.index("left_wrist")] = 0
    return made


def expected(sequence, scale=1.0):
    """Return (M, 5, V, 2) for frames 100 to 104, NaN where a joint is not seen."""
    found = np.full((2, 5, 17, 2), np.nan)
    for step, frame in enumerate(FRAMES - 100):
        seen = sequence.keypoint_scores[:, step, :, None] > 0
        found[:, frame] = np.where(seen, sequence.keypoints[:, step] * scale, np.nan)
    return found


def test_missing_frames_are_there_and_empty(sequence):
    whole = every_frame(sequence)
    assert whole.frame_inds.tolist() == [100, 101, 102, 103, 104]
    assert whole.pts_seconds == pytest.approx([4.0, 4.04, 4.08, 4.12, 4.16])
    assert whole.is_present().tolist() == [[1, 1, 0, 0, 1], [1, 0, 0, 0, 1]]
    assert np.array_equal(whole.keypoints[:, [0, 1, 4]], sequence.keypoints)
    assert every_frame(whole) is whole
    cut = replace(sequence, scene_ids=np.array([0, 1, 2]))
    assert every_frame(cut).scene_ids.tolist() == [0, 1, 1, 1, 2]


def test_a_gap_is_filled_up_to_a_limit(sequence):
    far = replace(sequence, frame_inds=np.array([0, 1, 1 << 40]), pts_seconds=np.arange(3.0))
    with pytest.raises(SkelactError, match=r"a\.mp4: its 3 frames have the numbers 0 to"):
        every_frame(far)


def test_markers_are_called_as_in_pose2sim():
    assert marker_names(COCO_17) == [
        "Nose", "LEye", "REye", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow",
        "LWrist", "RWrist", "LHip", "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle",
    ]  # fmt: skip


def read_dlc(path):
    """Read DeepLabCut's CSV as movement does: (T, individuals, bodyparts, 3), and the index."""
    names = [line.split(",")[0] for line in path.read_text().splitlines()[:4]]
    assert names == ["scorer", "individuals", "bodyparts", "coords"]
    table = pandas.read_csv(path, header=[0, 1, 2, 3])
    table = table.set_index(table.columns[0])
    table.columns = pandas.MultiIndex.from_tuples(table.columns, names=names)
    people, joints = (table.columns.unique(level) for level in ("individuals", "bodyparts"))
    assert table.columns.unique("coords").tolist() == ["x", "y", "likelihood"]
    assert joints.tolist() == list(COCO_17.keypoint_names)
    return table.to_numpy().reshape(-1, len(people), 17, 3), table.index.tolist(), people.tolist()


def test_the_layout_of_deeplabcut(sequence, tmp_path):
    (path,) = write_dlc(sequence, tmp_path, "deep/a.mp4", PIXELS)
    assert path == tmp_path / "deep" / "a.mp4_dlc.csv"
    values, frames, people = read_dlc(path)
    assert frames == [100, 101, 102, 103, 104]
    assert people == ["person0", "person1"]
    found = values.transpose(1, 0, 2, 3)
    assert np.allclose(found[..., :2], expected(sequence), atol=NEAR, equal_nan=True)
    scores = np.where(np.isnan(found[..., 0]), 0, every_frame(sequence).keypoint_scores)
    assert np.allclose(found[..., 2], scores, atol=1e-4)


def test_movement_reads_it(sequence, tmp_path):
    load_poses = pytest.importorskip(
        "movement.io.load_poses", reason="needs movement (pip install movement)"
    )
    (path,) = write_dlc(sequence, tmp_path, "a.mp4", PIXELS)
    poses = load_poses.from_dlc_file(path, fps=25)
    found = poses.position.transpose("individuals", "time", "keypoints", "space").to_numpy()
    assert np.allclose(found, expected(sequence), atol=NEAR, equal_nan=True)


def read_trc(path):
    """Read a TRC by the layout that OpenSim documents, as Pose2Sim does."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t") == ["PathFileType", "4", "(X/Y/Z)", path.name]
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t")))
    assert lines[3].split("\t")[:2] == ["Frame#", "Time"]
    markers = [name for name in lines[3].split("\t")[2::3] if name]
    assert lines[4].split("\t")[2:5] == ["X1", "Y1", "Z1"]
    assert lines[5] == ""
    table = pandas.read_csv(path, sep="\t", skiprows=4)
    points = table.iloc[:, 2:].to_numpy().reshape(len(table), len(markers), 3)
    return header, markers, table.iloc[:, 0].tolist(), table.iloc[:, 1].tolist(), points


def test_trc_has_a_file_per_person(sequence, tmp_path):
    paths = write_trc(sequence, tmp_path, "a.mp4", PIXELS)
    assert [path.name for path in paths] == ["a.mp4_px_person00.trc", "a.mp4_px_person01.trc"]
    for person, path in enumerate(paths):
        header, markers, frames, seconds, points = read_trc(path)
        assert header == {
            "DataRate": "25", "CameraRate": "25", "NumFrames": "5", "NumMarkers": "17",
            "Units": "px", "OrigDataRate": "25", "OrigDataStartFrame": "100", "OrigNumFrames": "5",
        }  # fmt: skip
        assert markers == marker_names(COCO_17)
        assert frames == [100, 101, 102, 103, 104]
        assert seconds == pytest.approx([4.0, 4.04, 4.08, 4.12, 4.16])
        wanted = expected(sequence)[person]
        assert np.allclose(points[..., :2], wanted, atol=NEAR, equal_nan=True)
        assert np.array_equal(np.isnan(points[..., 2]), np.isnan(wanted[..., 0]))
        assert np.nansum(np.abs(points[..., 2])) == 0


def test_metres_have_y_up_from_the_bottom_of_the_frame(sequence, tmp_path):
    path, _ = write_trc(sequence, tmp_path, "a.mp4", Scale(0.01))
    assert path.name == "a.mp4_m_person00.trc"
    header, _, _, _, points = read_trc(path)
    assert header["Units"] == "m"
    x, y = sequence.keypoints[0, 0, 0].tolist()
    assert points[0, 0] == pytest.approx([x / 100, (240 - y) / 100, 0], abs=1e-6)


def test_times_of_slow_motion_are_kept(sequence, tmp_path):
    slow = replace(sequence, pts_seconds=np.array([4.0, 4.01, 5.0]))
    path, _ = write_trc(slow, tmp_path, "a.mp4", PIXELS)
    assert read_trc(path)[3] == pytest.approx([4.0, 4.01, 4.34, 4.67, 5.0])


@pytest.mark.parametrize(
    ("scale", "unit", "screen"), [(PIXELS, "px", "-Y"), (Scale(0.01), "m", "+Y")]
)
def test_another_library_reads_the_c3d(sequence, tmp_path, scale, unit, screen):
    pytest.importorskip("c3d", reason="needs c3d (pip install 'skelact[export]')")
    ezc3d = pytest.importorskip("ezc3d", reason="needs ezc3d (pip install ezc3d)")
    paths = write_c3d(sequence, tmp_path, "a.mp4", scale)
    assert [path.name for path in paths] == [
        f"a.mp4_{unit}_person00.c3d", f"a.mp4_{unit}_person01.c3d"
    ]  # fmt: skip
    for person, path in enumerate(paths):
        file = ezc3d.c3d(str(path))
        points = file["parameters"]["POINT"]
        assert points["LABELS"]["value"] == marker_names(COCO_17)
        assert (points["UNITS"]["value"], points["Y_SCREEN"]["value"]) == ([unit], [screen])
        assert points["RATE"]["value"][0] == 25
        # C3D counts from 1, ezc3d from 0.
        assert file["header"]["points"]["first_frame"] == 100
        found = file["data"]["points"].transpose(2, 1, 0)
        wanted = expected(sequence)[person]
        if unit == "m":
            wanted = np.stack([wanted[..., 0], 240 - wanted[..., 1]], axis=-1) / 100
        assert np.allclose(found[..., :2], wanted, atol=1e-4, equal_nan=True)


def read_people(path):
    values = json.loads(path.read_text())
    assert values["version"] == 1.3
    for person in values["people"]:
        assert person["face_keypoints_2d"] == []
    return {
        person["person_id"][0]: np.reshape(person["pose_keypoints_2d"], (25, 3))
        for person in values["people"]
    }


def test_openpose_has_a_file_per_frame(sequence, tmp_path):
    (folder,) = write_openpose(sequence, tmp_path, "a.mp4", PIXELS)
    assert folder == tmp_path / "a.mp4_json"
    files = sorted(folder.iterdir())
    assert files[0].name == "a.mp4_000000000100_keypoints.json"
    # Pose2Sim takes the last number for the frame.
    assert [int(re.findall(r"\d+", path.name)[-1]) for path in files] == list(range(100, 105))
    people = [read_people(path) for path in files]
    assert [list(frame) for frame in people] == [[0, 1], [0], [], [], [0, 1]]
    names = list(BODY_25)
    for joint, ours in (("Nose", "nose"), ("RShoulder", "right_shoulder"), ("LAnkle", "left_ankle"),
                        ("REye", "right_eye"), ("LEar", "left_ear")):  # fmt: skip
        index = COCO_17.index(ours)
        wanted = [*sequence.keypoints[1, 2, index], sequence.keypoint_scores[1, 2, index]]
        assert people[4][1][names.index(joint)] == pytest.approx(wanted, abs=NEAR)
    sides = [COCO_17.index(f"{side}_shoulder") for side in ("left", "right")]
    neck = people[0][0][names.index("Neck")]
    assert neck[:2] == pytest.approx(sequence.keypoints[0, 0, sides].mean(axis=0), abs=NEAR)
    assert neck[2] == pytest.approx(sequence.keypoint_scores[0, 0, sides].min(), abs=NEAR)
    assert people[4][0][names.index("LWrist")].tolist() == [0, 0, 0]
    assert not people[0][0][names.index("LBigToe") :].any()


def test_body_25_in_openposes_order():
    """doc/02_output.md of OpenPose: 1 neck, 8 middle of the hips, 15 to 18 the face, then feet."""
    names = list(BODY_25)
    assert len(names) == 25
    assert [names[i] for i in (0, 1, 2, 5, 8, 9, 12, 15, 16, 17, 18, 19, 24)] == [
        "Nose", "Neck", "RShoulder", "LShoulder", "MidHip", "RHip", "LHip", "REye", "LEye", "REar",
        "LEar", "LBigToe", "RHeel",
    ]  # fmt: skip
    used = [name for parts in BODY_25.values() if len(parts) == 1 for name in parts]
    assert sorted(used) == sorted(COCO_17.keypoint_names)


def test_a_folder_of_frames_is_replaced_whole_and_never_what_is_not_openposes(sequence, tmp_path):
    write_openpose(sequence, tmp_path, "a.mp4", PIXELS)
    write_openpose(sequence[:2], tmp_path, "a.mp4", PIXELS)
    folder = tmp_path / "a.mp4_json"
    assert len(list(folder.iterdir())) == 2
    (folder / "notes.json").write_text("mine")
    with pytest.raises(SkelactError, match=r"holds 'notes\.json'"):
        write_openpose(sequence, tmp_path, "a.mp4", PIXELS)
    assert len(list(folder.iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4_json"]
    (tmp_path / "b_json").write_text("a file")
    with pytest.raises(SkelactError, match="a file is there"):
        write_openpose(sequence, tmp_path, "b", PIXELS)


@pytest.mark.parametrize("to", CLIP_FORMATS)
def test_clips_without_people_and_broken_ones_stop_no_other(sequence, tmp_path, to):
    if to == "c3d":
        pytest.importorskip("c3d", reason="needs c3d (pip install 'skelact[export]')")
    root, out = tmp_path / "in", tmp_path / "out"
    save_sequence(root / "a.mp4.npz", make_sequence(0, 3), {})
    (root / "b.mp4.npz").write_bytes(b"no")
    save_sequence(root / "c.mp4.npz", make_sequence(2, 0), {})
    save_sequence(root / "z.mp4.npz", sequence, {})
    summary = export_skeletons(find_skeletons(root), out, ExportOptions(to))
    assert summary.num_clips == 3
    assert list(summary.failed) == ["b.mp4"]
    # A frame without people is a file of OpenPose's like any other.
    assert summary.empty == ([] if to == "openpose" else ["a.mp4", "c.mp4"])
    assert all(path.exists() for path in summary.paths)
    assert any(path.name.startswith("z.mp4") for path in summary.paths)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_a_missing_package_is_named(sequence, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "c3d", None)
    save_sequence(tmp_path / "a.mp4.npz", sequence, {})
    with pytest.raises(SkelactError, match=r"c3d needs c3d.*skelact\[export\]"):
        export_skeletons(find_skeletons(tmp_path), tmp_path, ExportOptions("c3d"))
