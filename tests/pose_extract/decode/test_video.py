"""One contract for both decoders, on files with known frames and on all odd ones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from clips import write_clip

from skelact.pose_extract.decode.frames import VideoError
from skelact.pose_extract.decode.packets import PacketTable
from skelact.pose_extract.decode.video import open_video

DECODERS = ["auto", "decord", "pyav"]

# file: (frames, frames per second, height, width, whether decord is exact in it)
ODD = {
    "decord_unordered.mov": (4, 32, 50, 50, True),
    "decord_video_0.mov": (3, 30, 320, 568, True),
    "decord_video_180.mov": (3, 30, 320, 568, False),
    "decord_video_90.mov": (3, 30, 568, 320, False),
    "torchcodec_animated.gif": (4, 10, 48, 64, False),
    "torchcodec_av1_video.mkv": (125, 25, 360, 640, False),
    "torchcodec_h265_10bits.mp4": (30, 30, 200, 200, True),
    "torchcodec_sine_stereo_mp2.mpg": (100, 25, 128, 128, False),
    "torchcodec_test_non_zero_start.mp4": (12, 30, 112, 200, True),
    "torchcodec_testsrc2_mpeg4.mp4": (1, 25, 64, 64, True),
    "torchcodec_testsrc2_odd_height_and_width_vp9_10bit.mp4": (25, 25, 241, 321, True),
}


def read(path, decoder="auto", batch_size=8, start=0, stop=None):
    with open_video(path, decoder) as reader:
        batches = list(reader.batches(batch_size, start, stop))
    return (
        reader,
        np.concatenate([batch.frames for batch in batches]),
        np.concatenate([batch.frame_inds for batch in batches]),
        np.concatenate([batch.pts_seconds for batch in batches]),
    )


def brightness(frames):
    """Return the number that write_clip wrote into each frame."""
    return np.rint(frames.mean(axis=(1, 2, 3)) / 5).astype(int).tolist()


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_all_frames_in_order_with_their_times(tmp_path, decoder, batch_size):
    reader, frames, inds, seconds = read(write_clip(tmp_path / "a.mp4"), decoder, batch_size)
    assert brightness(frames) == list(range(40))
    assert (frames.dtype, inds.tolist()) == (np.uint8, list(range(40)))
    assert np.allclose(seconds, np.arange(40) * 1001 / 24000, atol=1e-3)
    assert reader.info.fps == Fraction(24000, 1001)
    assert reader.num_lost == 0


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(("start", "stop"), [(0, 1), (17, 23), (39, None), (30, 99)])
def test_a_range_keeps_the_numbers_of_the_file(tmp_path, decoder, start, stop):
    _, frames, inds, _ = read(write_clip(tmp_path / "a.mp4"), decoder, 4, start, stop)
    expected = list(range(40))[start:stop]
    assert inds.tolist() == expected
    assert brightness(frames) == expected


@pytest.mark.parametrize("decoder", DECODERS)
def test_colours_are_rgb(tmp_path, decoder):
    path = tmp_path / "red.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        red = np.zeros((48, 64, 3), np.uint8)
        red[..., 0] = 200
        file.mux(stream.encode(av.VideoFrame.from_ndarray(red, "rgb24")))
        file.mux(stream.encode())
    _, frames, _, _ = read(path, decoder)
    assert np.abs(frames[0].mean(axis=(0, 1)) - [200, 0, 0]).max() < 8


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", ODD)
def test_odd_files(shared, name, decoder):
    num_frames, fps, height, width, is_exact = ODD[name]
    path = shared / "videos" / "odd" / name
    if decoder == "decord" and not is_exact:
        with pytest.raises(VideoError, match="decord is not exact here"):
            read(path, decoder)
        return
    reader, frames, inds, seconds = read(path, decoder)
    assert frames.shape == (num_frames, height, width, 3)
    assert (reader.info.height, reader.info.width) == (height, width)
    assert inds.tolist() == list(range(num_frames))
    assert reader.info.fps == fps
    assert reader.info.decoder == ("decord" if is_exact and decoder != "pyav" else "pyav")
    assert seconds[0] == 0
    assert (np.diff(seconds) > 0).all()
    assert reader.num_lost == 0


@pytest.mark.parametrize("name", [name for name, (*_, is_exact) in ODD.items() if is_exact])
def test_both_decoders_give_the_same_frames(shared, name):
    path = shared / "videos" / "odd" / name
    first, second = (read(path, decoder)[1].astype(int) for decoder in ("decord", "pyav"))
    assert np.abs(first - second).mean() < 3


@pytest.mark.parametrize("quarters", [90, 180])
def test_rotation_flags_are_honoured(shared, quarters):
    """The three files show one scene, filmed with the phone held three ways."""
    folder = shared / "videos" / "odd"
    upright = read(folder / "decord_video_0.mov")[1]
    rotated = read(folder / f"decord_video_{quarters}.mov")[1]
    assert rotated.shape[1:3] == ((568, 320) if quarters == 90 else (320, 568))
    # What FFmpeg's own tools show: the stored frame rotated by the flag.
    with av.open(str(folder / f"decord_video_{quarters}.mov")) as file:
        stored = next(file.decode(video=0))
        expected = np.rot90(stored.to_ndarray(format="rgb24"), round(stored.rotation / 90) % 4)
    assert np.abs(rotated[0].astype(int) - expected).mean() < 3
    assert upright.shape[1:3] == (320, 568)


def test_a_corrupted_file_gives_the_frames_that_can_be_decoded(shared):
    path = shared / "videos" / "odd" / "decord_corrupted.mp4"
    reader, frames, inds, _ = read(path)
    assert (len(frames), reader.num_lost) == (49, 1)
    # Frame 30 is the lost one; what comes after it stays in its place.
    assert inds.tolist() == [*range(30), *range(31, 50)]
    with pytest.raises(VideoError, match="decord is not exact here: the file is damaged"):
        read(path, "decord")


def test_a_file_cut_off_in_the_middle(tmp_path):
    path = tmp_path / "a.mkv"
    noise = np.random.default_rng(0).integers(0, 255, (60, 96, 128, 3), np.uint8)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for image in noise:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        file.mux(stream.encode())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, frames, inds, _ = read(path)
    assert 10 < len(frames) < 60
    assert inds.tolist() == list(range(len(frames)))


def write_sound(path):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode())


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no video at"),
        ("empty", "the file is empty"),
        ("text", "FFmpeg cannot read it"),
        ("folder", "got a folder"),
        ("sound", "expected a video stream, the file has: audio"),
    ],
)
def test_files_that_are_no_video(tmp_path, decoder, kind, message):
    path = tmp_path / "a.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a video\n" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "sound":
        write_sound(path)
    with pytest.raises(VideoError, match=message):
        open_video(path, decoder)


def test_a_cover_image_is_no_video(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        cover = file.add_stream("mjpeg", rate=1)
        video = file.add_stream("libx264", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        cover.disposition = Disposition.attached_pic
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        file.mux(cover.encode(image.reformat(format="yuvj420p")))
        file.mux(cover.encode())
        for _ in range(10):
            file.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))))
        file.mux(video.encode())
    reader, frames, _, _ = read(path)
    assert frames.shape == (10, 48, 64, 3)
    assert reader.info.decoder == "pyav"


def test_frames_of_another_size_are_scaled_to_the_first_one(shared):
    reader, frames, inds, _ = read(shared / "faults" / "reschange.ts", "auto")
    assert frames.shape[1:] == (180, 320, 3)
    # One of the eight frames of the first size is lost.
    assert reader.first_scaled == 7
    assert inds[0] == 0
    reader, _, _, _ = read(shared / "faults" / "reschange.ts", "auto", start=0, stop=7)
    assert reader.first_scaled is None


def write_packets(path, num_frames, change, codec="libx264", options=None):
    """Encode a clip of growing brightness; ``change`` yields what becomes of its packets."""
    packets = []
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for i in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.full((96, 128, 3), 5 * i, np.uint8))
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in change(packets):
            file.mux(packet)
    return path


def test_frames_before_the_first_key_frame_are_not_counted(tmp_path):
    """A part that is cut out of an HEVC file starts with frames that refer to what is not there."""
    options = {"x265-params": "log-level=none:keyint=12:open-gop=1"}

    def behind_the_first_group(packets):
        keys = [i for i, packet in enumerate(packets) if packet.is_keyframe]
        return packets[keys[1] :]

    path = write_packets(tmp_path / "a.mkv", 40, behind_the_first_group, "libx265", options)
    for decoder in ("auto", "pyav"):
        reader, frames, inds, seconds = read(path, decoder)
        first = brightness(frames)[0]
        assert brightness(frames) == list(range(first, 40))
        assert inds.tolist() == list(range(40 - first))
        assert (reader.num_lost, seconds[0]) == (0, 0)
        cut = read(path, decoder, stop=5)[1]
        assert brightness(cut) == list(range(first, first + 5))


def test_a_last_frame_that_comes_late_and_frames_of_one_time(tmp_path):
    def late(packets):
        packets[20].pts = packets[20].dts = packets[19].pts
        packets[-1].pts = packets[-1].dts = packets[-1].pts + 5000 * packets[1].pts
        return packets

    path = write_packets(tmp_path / "a.mkv", 40, late, options={"bf": "0"})
    reader, frames, inds, seconds = read(path)
    assert brightness(frames) == list(range(40))
    assert (inds.tolist(), reader.num_lost) == (list(range(40)), 0)
    assert seconds[19] == pytest.approx(0.76, abs=1e-3) == seconds[20] - 0.001
    assert seconds[39] > 100


@pytest.mark.parametrize("first", [-2000, 0, 90000])
def test_times_count_from_the_first_frame_also_where_it_has_a_negative_one(first):
    pts = first + np.arange(3) * 40
    table = PacketTable(
        path=Path("a.mkv"), container="matroska", codec="h264", fps=Fraction(25),
        time_base=Fraction(1, 1000), pts=pts, key_pts=pts[:1], num_frames=3, num_missing=0,
        is_sound=True, pixel_aspect=Fraction(1),
    )  # fmt: skip
    assert table.pts_seconds.tolist() == pytest.approx([0.0, 0.04, 0.08])
    assert table.pts_seconds[0] == 0


def test_a_range_behind_the_end_is_an_error(tmp_path):
    with pytest.raises(VideoError, match="from 50 on"):
        read(write_clip(tmp_path / "a.mp4"), start=50)


def test_an_unknown_decoder_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="'auto', 'decord' or 'pyav'"):
        open_video(tmp_path / "a.mp4", "opencv")


def test_memory_stays_constant(tmp_path):
    """Frames are handed on as they come: the first batch is there before the file is read."""
    path = write_clip(tmp_path / "a.mp4")
    with open_video(str(path)) as reader:
        batches = reader.batches(4)
        assert next(batches).frames.shape[0] == 4
        batches.close()
