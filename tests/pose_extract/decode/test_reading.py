"""Where decord loses frames without a word, PyAV reads the file."""

from __future__ import annotations

import av
import numpy as np
import pytest
from clips import BrightnessPose, OneWalker, write_clip

from skelact.pose_extract.decode.frames import InexactError
from skelact.pose_extract.decode.reading import KnownFiles
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.extract import ExtractConfig, Extractor
from skelact.pose_extract.sources import ClipSource


def write_noise(path, num_frames=40):
    """Write a clip of 40 frames of noise, with B-frames and one key frame."""
    base = np.random.default_rng(0).integers(60, 200, (96, 128, 3)).astype(np.uint8)
    options = {"g": "60", "x265-params": "log-level=none"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for i in range(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(base, 3 * i, 1).copy())))
        container.mux(stream.encode())
    return path


@pytest.fixture
def damaged(tmp_path):
    """Return a clip whose frame 4 cannot be decoded; decord gives frame 5 in its place."""
    path = write_noise(tmp_path / "a.mp4")
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(path.read_bytes())
    position, size = packets[6]
    content[position + 5 : position + size] = bytes(size - 5)
    path.write_bytes(content)
    return path


def test_frames_that_decord_moved_are_an_error_and_pyav_reads_the_file_next(damaged):
    with open_video(damaged) as reader:
        assert reader.info.decoder == "decord"
        with pytest.raises(InexactError, match="decord lost frames before frame 38"):
            list(reader.batches(8))
    with open_video(damaged) as reader:
        assert reader.info.decoder == "pyav"
        inds = np.concatenate([batch.frame_inds for batch in reader.batches(8)])
        assert (inds.tolist(), reader.num_lost) == ([*range(4), *range(5, 40)], 1)


def test_a_clip_that_decord_misreads_is_extracted_from_pyavs_frames(damaged):
    extractor = Extractor(
        ExtractConfig(decoder="auto", device="cpu"), detector=OneWalker(), pose=BrightnessPose()
    )
    (result,) = extractor.run([ClipSource(damaged, "a.mp4")])
    assert result.error is None
    assert result.sequence.frame_inds.tolist() == [*range(4), *range(5, 40)]
    assert result.num_lost == 1
    assert np.allclose(result.sequence.pts_seconds, result.sequence.frame_inds / 30)


def test_a_still_scene_is_read_to_its_end(tmp_path):
    """A frame that is the one before once more is not lost: PyAV says so, and reads on."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(20):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.full((96, 128, 3), 99, np.uint8)))
            )
        container.mux(stream.encode())
    file = KnownFiles().open(path)
    frames = list(file.frames(0, None, "auto", 1))
    assert [frame.index for frame in frames] == list(range(20))


def test_facts_of_a_file_are_read_anew_when_it_changes(tmp_path):
    path = write_clip(tmp_path / "a.mp4", 10)
    known = KnownFiles()
    first = known.open(path)
    assert known.open(path) is first
    write_clip(path, 20)
    assert known.open(path).table.num_frames == 20
