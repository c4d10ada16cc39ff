"""Cache entries: what is written is read, and stale ones are told with a reason."""

from __future__ import annotations

import io
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from scenes import make_sequence

from skelact.pose_extract.store.npz import (
    CacheError,
    cache_path,
    load_sequence,
    read_config,
    save_sequence,
    why_stale,
)


def assert_same(first, second):
    for name in (
        "keypoints", "keypoint_scores", "bboxes", "track_ids", "frame_inds", "pts_seconds",
        "camera_maps", "scene_ids",
    ):  # fmt: skip
        a, b = getattr(first, name), getattr(second, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    for name in ("img_shape", "fps", "layout", "video_id", "pixel_aspect"):
        assert getattr(first, name) == getattr(second, name)


@pytest.mark.parametrize("num_person", [0, 1, 2])
def test_what_is_saved_is_loaded(tmp_path, num_person):
    # Frames of a file whose rate varies, with pixels of 2:1.
    times = np.array([0.5, 0.54, 0.75])
    # A camera that pans and zooms, and a cut.
    maps = np.array([np.eye(2, 3), [[1.1, 0, 5], [0, 1.1, -3]], np.eye(2, 3)], np.float32)
    sequence = make_sequence(
        num_person,
        pts_seconds=times,
        pixel_aspect=Fraction(2),
        camera_maps=maps,
        scene_ids=np.array([0, 0, 1]),
    )
    path = cache_path(tmp_path, sequence.video_id)
    assert path == tmp_path / "a" / "b.c.mp4.npz"
    save_sequence(path, sequence, {"pose": "net", "n": 1})
    assert_same(load_sequence(path), sequence)
    assert read_config(path) == {"pose": "net", "n": 1}


def test_equal_input_gives_equal_bytes(tmp_path):
    for name in ("x.npz", "y.npz"):
        save_sequence(tmp_path / name, make_sequence(), {"b": 1, "a": 2})
    assert (tmp_path / "x.npz").read_bytes() == (tmp_path / "y.npz").read_bytes()


def test_entry_holds_the_documented_fields_without_pickle(tmp_path):
    save_sequence(tmp_path / "x.npz", make_sequence(), {})
    with np.load(tmp_path / "x.npz", allow_pickle=False) as entry:
        assert set(entry.files) == {
            "keypoints", "keypoint_scores", "frame_inds", "track_ids", "bboxes", "img_shape",
            "fps", "pts_seconds", "pixel_aspect", "camera_maps", "scene_ids", "layout",
            "video_id", "format_version", "config",
        }  # fmt: skip
        assert all(entry[name].dtype != object for name in entry.files)
        assert entry["fps"].tolist() == [30000, 1001]
        assert entry["pixel_aspect"].tolist() == [1, 1]


def test_a_cut_file_is_an_error_that_says_what_to_do(tmp_path):
    path = tmp_path / "x.npz"
    save_sequence(path, make_sequence(), {})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CacheError, match="extract the video again"):
        load_sequence(path)
    assert read_config(path) is None


def test_missing_entry(tmp_path):
    with pytest.raises(CacheError, match="skelact extract"):
        load_sequence(tmp_path / "none.npz")
    assert read_config(tmp_path / "none.npz") is None


def rewrite(path, **changes):
    """Write an entry again with other fields."""
    save_sequence(path, make_sequence(), {})
    with np.load(path) as entry:
        fields = {name: entry[name] for name in entry.files}
    np.savez_compressed(path, **(fields | changes))


def test_other_format_version_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    rewrite(path, format_version=np.array(99))
    with pytest.raises(CacheError, match="expected format_version 3, got 99"):
        load_sequence(path)


CONFIG = {
    "video_sha256": "abc",
    "cut": {"seconds": (None, None)},
    "extraction": {"detector": {"name": "a", "max_det": 8}, "smooth": False},
}


def changed(**extraction):
    return CONFIG | {"extraction": CONFIG["extraction"] | extraction}


def test_an_entry_is_valid_while_its_config_is_the_same(tmp_path):
    path = str(tmp_path / "x.npz")
    save_sequence(path, make_sequence(), CONFIG | {"lost_frames": 2})
    assert why_stale(path, CONFIG) is None


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (
            changed(detector={"name": "b", "max_det": 8}),
            "made with other settings: detector.name was 'a', is now 'b'",
        ),
        (changed(track={"a": 1}), "made with other settings: track is new"),
        (
            CONFIG | {"extraction": {"smooth": False}},
            "made with other settings: detector is gone",
        ),
        (
            CONFIG | {"cut": {"seconds": [1.0, 2.5]}},
            "made with other settings: cut.seconds was [None, None], is now [1.0, 2.5]",
        ),
        (
            changed(detector={"name": "b" * 99, "max_det": 1}, smooth=True),
            f"made with other settings: detector.name was 'a', is now '{'b' * 36}...; "
            "detector.max_det was 8, is now 1; and 1 more",
        ),
        (changed(smooth=True) | {"video_sha256": "d"}, "made from another version of the video"),
    ],
)
def test_a_stale_entry_says_what_changed(tmp_path, now, reason):
    path = tmp_path / "x.npz"
    save_sequence(path, make_sequence(), CONFIG)
    assert why_stale(path, now) == reason


def test_an_entry_that_cannot_be_read_says_why_it_is_made_again(tmp_path):
    path = tmp_path / "x.npz"
    assert why_stale(path, CONFIG) == "missing"
    rewrite(path, format_version=np.array(0))
    assert why_stale(path, CONFIG) == "made by format version 0"
    rewrite(path, config=np.array("[1]"))
    assert why_stale(path, CONFIG) == "damaged"
    path.write_bytes(b"no archive")
    assert why_stale(path, CONFIG) == "damaged"


def test_a_flipped_byte_is_an_error_of_the_cache(tmp_path):
    """Each byte of the compressed keypoints: deflate may break before its checksum does."""
    path = tmp_path / "x.npz"
    save_sequence(path, make_sequence(), {})
    whole = path.read_bytes()
    for place in range(100, 400, 10):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(CacheError, match="extract the video again"):
            load_sequence(path)


def announce(path, name, shape):
    """Let an entry announce an array of another shape; its values stay as they were."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    data = io.BytesIO(members[f"{name}.npy"])
    np.lib.format.read_magic(data)
    _, order, dtype = np.lib.format.read_array_header_1_0(data)
    header = {"shape": shape, "fortran_order": order, "descr": np.lib.format.dtype_to_descr(dtype)}
    forged = io.BytesIO()
    np.lib.format.write_array_header_1_0(forged, header)
    members[f"{name}.npy"] = forged.getvalue() + data.read()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("keypoints", (1 << 40, 5, 17, 2)),
        ("keypoints", (2, 5, 17)),
        ("keypoint_scores", (2, -5, 17)),
        ("frame_inds", (1 << 62,)),
        ("fps", (3,)),
        ("pts_seconds", (4,)),
    ],
)
def test_what_an_array_announces_is_checked_before_it_is_read(tmp_path, name, shape, monkeypatch):
    path = tmp_path / "x.npz"
    save_sequence(path, make_sequence(2, 5), {})
    announce(path, name, shape)
    monkeypatch.setattr(np.lib.format, "read_array", only_the_version(np.lib.format.read_array))
    with pytest.raises(CacheError, match=f"{name}.*extract the video again"):
        load_sequence(path)


def only_the_version(read_array):
    def read(stream, **options):
        assert stream.name == "format_version.npy"
        return read_array(stream, **options)

    return read


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    rewrite(path, config=np.array("x" * (17 << 20)))  # 68 MiB of text in 70 kB
    assert path.stat().st_size < 1 << 20
    assert why_stale(path, CONFIG) == "damaged"
    with pytest.raises(CacheError, match="config"):
        load_sequence(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"keypoints": np.zeros((2, 5, 17, 2), np.float64)},
        {"keypoints": np.zeros((2, 5, 17, 2), "f4,f4")},
        {"fps": np.array([1, 0])},
        {"fps": np.array([-1, 1])},
        {"img_shape": np.array([1 << 40, 1 << 40])},
        {"img_shape": np.array([0, 10])},
        {"layout": np.array("hand_21")},
        {"pixel_aspect": np.array([0, 1])},
        {"camera_maps": np.full((5, 2, 3), np.nan, np.float32)},
        {"scene_ids": np.array([1, 1, 0, 0, 0])},
        {"pts_seconds": np.arange(5) - 1.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_values_that_no_entry_has_are_errors_of_the_cache(tmp_path, changes):
    path = tmp_path / "x.npz"
    rewrite(path, **changes)
    with pytest.raises(CacheError, match="extract the video again"):
        load_sequence(path)


@pytest.mark.parametrize("config", ["[" * 100_000, "1" * 5000, "[]", "{", '{"a": NaN'])
def test_settings_that_are_no_json_object_are_damage(tmp_path, config):
    path = tmp_path / "x.npz"
    rewrite(path, config=np.array(config))
    assert why_stale(path, CONFIG) == "damaged"


def test_the_damaged_entries_that_ended_runs(shared):
    damaged = sorted((shared / "faults" / "cache").glob("*.npz"))
    assert len(damaged) == 3
    for path in damaged:
        assert read_config(path) is None
        with pytest.raises(CacheError, match="extract the video again"):
            load_sequence(path)


def test_other_files_are_errors_of_the_cache(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "pickle.npz").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for name in ("array.npy", "pickle.npz", "."):
        with pytest.raises(CacheError, match="expected a skeleton file"):
            load_sequence(tmp_path / name)
        assert why_stale(tmp_path / name, CONFIG) == "damaged"
