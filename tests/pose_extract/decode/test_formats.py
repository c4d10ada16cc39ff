"""What is opened as a video: files that hold their own frames, and none that names others."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager

import av
import pytest

from skelact.pipeline.drawing.streams import copy_streams
from skelact.pose_extract.decode.formats import is_unmistakable
from skelact.pose_extract.decode.frames import VideoError
from skelact.pose_extract.decode.video import open_video

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ninner.ts\n#EXT-X-ENDLIST\n"
DASH = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-main:2011"
 type="static" mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp2t">
<Representation id="0" bandwidth="1"><BaseURL>inner.ts</BaseURL></Representation>
</AdaptationSet></Period></MPD>
"""
# Each names inner.ts beside it.
LISTS = {
    "list.m3u8": HLS,
    "list.mp4": HLS,
    "list.ts": HLS,
    "riff.avi": "#EXTM3U\nAVI \n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ninner.ts\n#EXT-X-ENDLIST\n",
    "list.mpd": DASH,
    "manifest.mp4": DASH,
    "begins like MP4.mp4": "AAAAftypisom " + DASH,
    "concat.ffconcat": "ffconcat version 1.0\nfile inner.ts\n",
    "concat.mp4": "\ufeffffconcat version 1.0\nfile inner.ts\n",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
}
IN_OPEN, IN_NONBLOCK = 0x20, 0o4000


def write(path, muxer, codec="mpeg4", num_frames=10):
    """Write a clip without an image in it."""
    pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
    with av.open(str(path), "w", format=muxer) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt
        for number in range(num_frames):
            frame = av.VideoFrame(64, 64, pix_fmt)
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


@contextmanager
def opens_of(path):
    """Give a function that tells whether any process has opened a file since (inotify)."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(IN_NONBLOCK)
    assert watch >= 0
    try:
        assert libc.inotify_add_watch(watch, os.fsencode(path), IN_OPEN) >= 0

        def were_there():
            try:
                return bool(os.read(watch, 4096))
            except BlockingIOError:
                return False

        yield were_there
    finally:
        os.close(watch)


@pytest.mark.skipif(sys.platform != "linux", reason="needs inotify")
@pytest.mark.parametrize("name", LISTS)
def test_what_names_other_files_is_refused_and_they_are_not_opened(tmp_path, name):
    inner = tmp_path / "inner.ts"
    write(inner, "mpegts", "mpeg2video")
    path = tmp_path / name
    path.write_text(LISTS[name], encoding="utf-8")
    with opens_of(inner) as were_there:
        for decoder in ("auto", "pyav", "decord"):
            with pytest.raises(VideoError, match="expected a video file") as error:
                open_video(path, decoder)
            assert str(path) in str(error.value)
        assert not copy_streams(path, tmp_path / "copy.mp4", video=True)
        assert not were_there()
        with open_video(inner) as reader:
            assert reader.info.num_frames == 10
        assert were_there()  # the watch works


def test_why_a_list_is_refused_is_said(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_text(LISTS["concat.ffconcat"])
    for _ in range(2):
        with pytest.raises(VideoError, match="what names other files is not followed"):
            open_video(path)


def test_a_name_that_is_a_protocol_of_ffmpeg_is_a_name(tmp_path, monkeypatch):
    for name in ("a.ts", "b.ts"):
        write(tmp_path / name, "mpegts", "mpeg2video")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "c.ts", "mpegts", "mpeg2video", num_frames=7)
    os.rename("c.ts", "concat:a.ts|b.ts")
    with open_video("concat:a.ts|b.ts") as reader:
        assert reader.info.num_frames == 7


@pytest.mark.parametrize(
    ("muxer", "codec"),
    [
        ("mp4", "mpeg4"), ("mov", "mpeg4"), ("matroska", "mpeg4"), ("webm", "libvpx"),
        ("avi", "mpeg4"), ("mpegts", "mpeg2video"), ("vob", "mpeg2video"), ("flv", "flv"),
        ("asf", "mpeg4"), ("mxf", "mpeg2video"), ("gif", "gif"), ("ogg", "libtheora"),
        ("3gp", "mpeg4"), ("nut", "mpeg4"), ("mpeg2video", "mpeg2video"), ("h264", "libx264"),
        ("hevc", "libx265"), ("yuv4mpegpipe", "rawvideo"), ("ivf", "libvpx"),
    ],
)  # fmt: skip
def test_what_holds_its_own_frames_is_opened(tmp_path, muxer, codec):
    """Whatever it is called."""
    path = tmp_path / "clip"
    try:
        write(path, muxer, codec)
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    with open_video(path) as reader:
        (batch, *_) = reader.batches(16)
        assert batch.frames.shape == (10, 64, 64, 3)


@pytest.mark.parametrize(
    ("content", "container", "expected"),
    [
        (b"\0\0\0\x20ftypisom", "mov", True),
        (b"\0\0\0\x20ftypisom", "avi", False),
        (b"\0\0\0\x20ftypisom" + b"<MPD>", "mov", True),  # behind a zero byte
        (b"AAAAftypisom <mpd>", "mov", False),
        (b"AAAAftypisom " + b" " * 900_000 + b"<CompositionPlaylist>", "mov", False),
        (b"#EXTM3U\nAVI ", "avi", False),
        (b"RIFF\0\0\0\0WAVE", "avi", False),
        (b"RIFF\0\0\0\0AVI LIST", "avi", True),
        (b"G" + b"\0" * 187, "mpegts", False),
        (b"", "mov", False),
    ],
)
def test_decord_is_given_what_no_build_of_ffmpeg_takes_for_a_list(
    tmp_path, content, container, expected
):
    path = tmp_path / "a"
    path.write_bytes(content)
    assert is_unmistakable(path, container) == expected
