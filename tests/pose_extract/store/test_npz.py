import numpy as np
import pytest
from scenes import make_sequence

from skelact.pose_extract.common.files import atomic_write
from skelact.pose_extract.store.npz import (
    CacheError,
    cache_path,
    load_sequence,
    read_config,
    save_sequence,
)


def assert_same(first, second):
    for name in ("keypoints", "keypoint_scores", "bboxes", "track_ids", "frame_inds"):
        a, b = getattr(first, name), getattr(second, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    for name in ("img_shape", "fps", "layout", "video_id"):
        assert getattr(first, name) == getattr(second, name)


@pytest.mark.parametrize("num_person", [0, 1, 2])
def test_what_is_saved_is_loaded(tmp_path, num_person):
    sequence = make_sequence(num_person)
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
            "fps", "layout", "video_id", "format_version", "config",
        }  # fmt: skip
        assert all(entry[name].dtype != object for name in entry.files)
        assert entry["fps"].tolist() == [30000, 1001]


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


def test_other_format_version_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    save_sequence(path, make_sequence(), {})
    with np.load(path) as entry:
        fields = {name: entry[name] for name in entry.files}
    np.savez_compressed(path, **(fields | {"format_version": np.array(99)}))
    with pytest.raises(CacheError, match="expected format_version 1, got 99"):
        load_sequence(path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")

    def fail():
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
