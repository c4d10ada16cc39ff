"""Which container a file is, told from its first bytes: a name says nothing that can be trusted."""

from __future__ import annotations

from pathlib import Path

# (offset, bytes, suffix). ISO 14496-12 and QuickTime (the type of the first box); Matroska and WebM
# (RFC 8794, the EBML header); RIFF; RFC 3533; Adobe's FLV 10; ASF (the GUID of the header); SMPTE
# 377 (the key of the header partition); GIF; ISO 13818-1 (pack header) and 11172-2 (sequence
# header).
_SIGNATURES = (
    *((4, kind, ".mp4") for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
    (0, b"\x1a\x45\xdf\xa3", ".mkv"),
    (8, b"AVI ", ".avi"),
    (0, b"OggS", ".ogv"),
    (0, b"FLV\x01", ".flv"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ".wmv"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", ".mxf"),
    (0, b"GIF8", ".gif"),
    (0, b"\x00\x00\x01\xba", ".mpg"),
    (0, b"\x00\x00\x01\xb3", ".mpg"),
)
# Where packets of a transport stream begin: ISO 13818-1, and with a time code before each.
_TS_PACKETS = ((0, 188, ".ts"), (4, 192, ".m2ts"))
_TS_SYNC, _TS_COUNT = 0x47, 3
# FFmpeg looks at a file's first MiB at most, and takes it for a manifest where these stand anywhere
# in it (dash_probe and imf_probe of libavformat): it would then read the files and addresses named
# there.
_PROBED_BYTES = 1 << 20
_MANIFESTS = (b"dash:profile", b"profile:dash", b"<compositionplaylist")


def container_suffix(path: Path) -> str | None:
    """Return the suffix of the container that a file's content is; None where it is none of video.

    Playlists and manifests, which make FFmpeg read other files, are none, whatever they begin with.

    Args:
        path: The file.
    """
    with path.open("rb") as file:
        head = file.read(_PROBED_BYTES)
    if any(mark in head.lower() for mark in _MANIFESTS):
        return None
    for offset, mark, suffix in _SIGNATURES:
        if head.startswith(mark, offset):
            return suffix
    for start, size, suffix in _TS_PACKETS:
        syncs = head[start : start + size * _TS_COUNT : size]
        if syncs == bytes([_TS_SYNC] * _TS_COUNT):
            return suffix
    return None
