"""Overlays are known by the mark in their metadata, and nothing else is taken for one."""

from __future__ import annotations

import os

import av
import numpy as np
import pytest

from skelact.pose_extract.common.own_output import OVERLAY_COMMENT, is_own_output


def write(path, comment=None, options=None):
    with av.open(str(path), "w", format="mp4", options=options or {}) as file:
        if comment:
            file.metadata["comment"] = comment
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        image = np.zeros((32, 32, 3), np.uint8)
        file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize("options", [{}, {"movflags": "+faststart"}], ids=["at end", "at start"])
def test_a_marked_file_is_known_and_another_is_not(tmp_path, options):
    assert is_own_output(write(tmp_path / "a.mp4", OVERLAY_COMMENT, options))
    assert is_own_output(str(write(tmp_path / "b.MP4", OVERLAY_COMMENT, options)))
    assert not is_own_output(write(tmp_path / "c.mp4", "filmed at home", options))
    assert not is_own_output(write(tmp_path / "d.mp4", None, options))
    assert not is_own_output(write(tmp_path / "e.mov", OVERLAY_COMMENT, options))


def test_files_that_are_none_of_ours_are_no_error(tmp_path):
    whole = write(tmp_path / "a.mp4", OVERLAY_COMMENT).read_bytes()
    assert whole.index(b"moov") > 40
    for size in range(0, whole.index(b"moov") + 8):
        (tmp_path / "cut.mp4").write_bytes(whole[:size])
        assert not is_own_output(tmp_path / "cut.mp4")
    # A name in the pixels is no mark, and neither is one in a box that runs over the file's end.
    (tmp_path / "b.mp4").write_bytes(OVERLAY_COMMENT.encode() * 100)
    assert not is_own_output(tmp_path / "b.mp4")
    (tmp_path / "many.mp4").write_bytes(b"\0\0\0\x08free" * 100_000)
    assert not is_own_output(tmp_path / "many.mp4")
    assert not is_own_output(tmp_path / "missing.mp4")
    assert not is_own_output(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    assert not is_own_output(tmp_path / "pipe.mp4")
