"""Open a file with FFmpeg if it is a video in itself.

FFmpeg knows some 300 formats. Playlists and manifests among them (HLS, DASH, IMF, ffconcat,
numbered images) name other files and addresses, which it reads in their place: a clip from
elsewhere would show what is on this machine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import av

# FFmpeg's names of what holds its own frames (the option is matched with each alias of a format).
# mov follows references with ``enable_drefs`` alone, which is off.
_FORMATS = (
    # Containers.
    "asf", "avi", "dv", "flv", "gif", "gxf", "ivf", "matroska", "mov", "mpeg", "mpegts", "mxf",
    "nut", "ogg", "rm", "wtv", "yuv4mpegpipe",
    # The stream of a codec alone.
    "h264", "hevc", "m4v", "mjpeg", "mpegvideo", "obu", "vc1", "vvc",
)  # fmt: skip
# FFmpeg compares after it has looked at the content, and before it reads what stands there.
_OPTIONS = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "file"}

# How files begin whose content is that of a container alone: ISO 14496-12 and QuickTime (size
# and type of a box); RFC 8794 (the EBML header); Microsoft's AVI RIFF reference.
_STARTS = {
    "mov": re.compile(rb".{4}(ftyp|moov|mdat|wide|free|skip)", re.DOTALL),
    "matroska": re.compile(rb"\x1a\x45\xdf\xa3"),
    "avi": re.compile(rb"RIFF.{4}AVI ", re.DOTALL),
}
# FFmpeg looks at the first MiB at most (PROBE_BUF_MAX), and for these anywhere in it, up to a zero
# byte (dash_probe and imf_probe of libavformat).
_PROBED_BYTES = 1 << 20
_MANIFESTS = (b"<mpd", b"<compositionplaylist")


def open_input(path: str | Path) -> av.container.InputContainer:
    """Open a video file for reading.

    Args:
        path: The file; never an address, or another protocol of FFmpeg's.

    Raises:
        av.FFmpegError: if FFmpeg cannot read it; with EINVAL if its format is none of a video.
    """
    return av.open(absolute(path), options=_OPTIONS)


def absolute(path: str | Path) -> str:
    """Return the absolute path of a file: of others FFmpeg takes ``concat:`` for a protocol."""
    return os.path.abspath(path)


def is_unmistakable(path: Path, container: str) -> bool:
    """Return whether any build of FFmpeg takes a file for the container that PyAV's found it to be.

    decord has a build of its own, and no option that holds it back.

    Args:
        path: The file.
        container: FFmpeg's first name of the format.
    """
    start = _STARTS.get(container)
    if start is None:
        return False
    with path.open("rb") as file:
        head = file.read(_PROBED_BYTES)
    text = head.split(b"\0", 1)[0].lower()
    return start.match(head) is not None and not any(mark in text for mark in _MANIFESTS)
