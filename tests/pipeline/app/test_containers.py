"""Containers are told from content, and manifests are none."""

from __future__ import annotations

import av
import pytest

from skelact.pipeline.app.containers import container_suffix
from skelact.pose_extract.sources import VIDEO_SUFFIXES

MANIFEST = b'<MPD profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"></MPD>'


@pytest.mark.parametrize(
    ("muxer", "codec", "suffix"),
    [
        ("mp4", "mpeg4", ".mp4"),
        ("mov", "mpeg4", ".mp4"),
        ("matroska", "mpeg4", ".mkv"),
        ("webm", "libvpx", ".mkv"),
        ("avi", "mpeg4", ".avi"),
        ("mpegts", "mpeg2video", ".ts"),
        ("vob", "mpeg2video", ".mpg"),
        ("flv", "flv", ".flv"),
        ("asf", "mpeg4", ".wmv"),
        ("mxf", "mpeg2video", ".mxf"),
        ("gif", "gif", ".gif"),
        ("mpeg2video", "mpeg2video", ".mpg"),
    ],
)
def test_what_ffmpeg_writes_is_known(tmp_path, muxer, codec, suffix):
    path = tmp_path / "x"
    with av.open(str(path), "w", format=muxer) as file:
        pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt
        for number in range(5):
            frame = av.VideoFrame(64, 64, pix_fmt)
            frame.pts = number
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    assert container_suffix(path) == suffix
    assert suffix in VIDEO_SUFFIXES


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 4096,
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile clip.mp4\n",
        MANIFEST,
        b"AAAAftypisom " + MANIFEST,  # FFmpeg looks for it anywhere
        b"AAAAftypisom " + b" " * 900_000 + MANIFEST.upper(),
        b"RIFF\x00\x00\x00\x00WAVE",
        b"\x89PNG\r\n\x1a\n",
        b"G" + b"x" * 400,  # one byte of a transport stream
    ],
)
def test_what_is_no_video_or_names_other_files_is_none(tmp_path, content):
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    assert container_suffix(path) is None
