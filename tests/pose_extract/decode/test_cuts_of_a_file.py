"""Cuts of one file, one after another: what is read once, and that their frames are the file's."""

from __future__ import annotations

import io
import json
import os

import av
import numpy as np
import pytest

from skelact.pose_extract.decode import pyav_adapter, reading
from skelact.pose_extract.decode.reading import KnownFiles
from skelact.pose_extract.decode.video import open_video
from skelact.pose_extract.decode.worker import DecodeWorker

# Key frames are 0, 25, 50 and 75. The second and third cut begin behind the one before and before
# the next key frame; the fourth behind one, and the last one in the middle of the fourth.
CUTS = [(30, 35), (35, 40), (42, 48), (60, 65), (61, 70)]


def write_long(path, brightness=0, num_bytes=0):
    """Write 100 frames with a key frame every 25; frame i has brightness 2 i, or more."""
    with av.open(str(path), "w") as container:
        options = {"qp": "0", "g": "25", "sc_threshold": "0"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(100):
            image = np.full((48, 64, 3), brightness + 2 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    if num_bytes:
        # A box that is passed over (ISO 14496-12, 8.1.2).
        rest = num_bytes - path.stat().st_size
        with path.open("ab") as file:
            file.write(rest.to_bytes(4, "big") + b"free" + bytes(rest - 8))
    return path


def brightness_of(path, start, stop):
    with open_video(path) as reader:
        (batch,) = reader.batches(100, start, stop)
    assert batch.frame_inds.tolist() == list(range(start, stop))
    return batch.frames.mean(axis=(1, 2, 3))


@pytest.fixture
def opened(monkeypatch):
    """Return a list of what is done: a word for each file indexed or opened, and each frame."""
    words = []
    for module, name, word in (
        (reading, "read_packets", "index"),
        (reading, "read_geometry", "index"),
        (pyav_adapter, "open_input", "open"),
    ):
        monkeypatch.setattr(module, name, telling(words, word, getattr(module, name)))
    decode = pyav_adapter._decode

    def decode_telling(*args):
        for frame in decode(*args):
            words.append("frame")
            yield frame

    monkeypatch.setattr(pyav_adapter, "_decode", decode_telling)
    return words


def telling(words, word, function):
    def tell(*args):
        words.append(word)
        return function(*args)

    return tell


def answers(requests):
    """Return what a decoding process answers, run in this one."""
    stream = io.BytesIO()
    DecodeWorker(io.BytesIO(b"".join(requests)), stream).run()
    stream.seek(0)
    return stream


def two_passes(path, cuts):
    """Yield the requests of two passes over each cut."""
    file = {"path": os.fsencode(path).hex(), "decoder": "auto"}
    for start, stop in cuts:
        for _ in range(2):
            yield {"action": "open", **file}
            yield {"action": "read", **file, "start": start, "stop": stop, "num_threads": 1}
            yield {"action": "next", "count": 100}
            yield {"action": "send"}
            yield {"action": "next", "count": 100}


def frames_answered(path, cuts):
    """Return the numbers and the frames of each pass."""
    requests = list(two_passes(path, cuts))
    stream = answers(json.dumps(request).encode() + b"\n" for request in requests)
    found = []
    for request in requests:
        answer = json.loads(stream.readline())
        if request["action"] == "open":
            assert len(stream.read(8 * answer["num_frames"])) == 8 * 100
        elif request["action"] == "next" and answer["frame_inds"]:
            announced = answer
        elif request["action"] == "send":
            shape = len(announced["frame_inds"]), *announced["img_shape"], 3
            frames = np.frombuffer(stream.read(int(np.prod(shape))), np.uint8).reshape(shape)
            found.append((announced["frame_inds"], frames))
    assert not stream.read()
    return found


# A frame is given when the one behind it is there, and a range ends with the first frame behind it:
# [30, 35) takes frames 25 to 36.
FIRST, SECOND, THIRD, FOURTH, FIFTH = 12, 5, 8, 17, 22


@pytest.mark.parametrize(
    ("kept_bytes", "num_opened", "num_decoded"),
    [
        # The second passes are given what the first ones have left. The second and third cut go on
        # with the decoder of the first one.
        (1 << 20, 3, FIRST + SECOND + THIRD + FOURTH + FIFTH),
        # No frame is kept: each second pass begins at the key frame again, frame 25 or 50.
        (0, 3 + 5, 2 * FIRST + SECOND + 17 + THIRD + 25 + 2 * FOURTH + 2 * FIFTH),
    ],
)
def test_five_cuts_are_read_from_one_index(
    tmp_path, opened, monkeypatch, kept_bytes, num_opened, num_decoded
):
    monkeypatch.setattr(reading, "_MOST_KEPT_BYTES", kept_bytes)
    path = write_long(tmp_path / "a.mp4")
    found = frames_answered(path, CUTS)
    # The packets, and the first frame, which tells the size.
    assert opened.count("index") == 2
    assert opened.count("open") == 1 + num_opened
    assert opened.count("frame") == 1 + num_decoded
    assert [inds for inds, _ in found] == [list(range(*cut)) for cut in CUTS for _ in range(2)]
    for inds, frames in found:
        assert np.abs(frames.mean(axis=(1, 2, 3)) - 2 * np.array(inds)).max() < 2
        # Those of a reader of its own, to the last bit.
        alone = KnownFiles().open(path).frames(inds[0], inds[-1] + 1, "auto", 1)
        assert np.array_equal(frames, [frame.to_rgb() for frame in alone])


def test_a_decoder_of_a_damaged_file_does_not_wait(tmp_path, opened):
    """What it shows beside the damage may depend on where it began."""
    path = write_long(tmp_path / "a.mkv")
    whole, short = KnownFiles().open(path), tmp_path / "b.mkv"
    short.write_bytes(path.read_bytes()[:-100])
    damaged = KnownFiles().open(short)
    assert (whole.table.is_sound, damaged.table.is_sound) == (True, False)
    for file, num_opened in ((whole, 1), (damaged, 2)):
        opened.clear()
        for start in (30, 35):
            frames = file.frames(start, start + 5, "pyav", 1)
            assert [frame.index for frame in frames] == list(range(start, start + 5))
        assert opened.count("open") == num_opened


def test_a_video_that_is_replaced_between_two_cuts_is_read_anew(tmp_path):
    """Its size and time are those of the video before."""
    path = write_long(tmp_path / "a.mp4", num_bytes=1 << 17)
    other = write_long(tmp_path / "b.mp4", brightness=30, num_bytes=1 << 17)
    stat = path.stat()
    assert np.abs(brightness_of(path, 30, 35) - [60, 62, 64, 66, 68]).max() < 2
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(other, path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert np.abs(brightness_of(path, 30, 35) - [90, 92, 94, 96, 98]).max() < 2
    assert np.abs(brightness_of(path, 35, 37) - [100, 102]).max() < 2
