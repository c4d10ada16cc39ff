"""Whether a file ends before its container says that it does; FFmpeg reads on without a word."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

# Bytes of a packet: ISO 13818-1; with a time code (Blu-ray); with error correction (DVB).
_TS_PACKET_BYTES = 188, 192, 204
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def is_cut_short(path: Path, container: str) -> bool:
    """Return whether a file holds fewer bytes than its container announces.

    Args:
        path: The file.
        container: FFmpeg's first name of its format; of those not known here, False is said.
    """
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        if container == "avi":
            return _riff_bytes(file) > num_bytes
        if container == "matroska":
            return _segment_end(file) > num_bytes
    return container == "mpegts" and all(num_bytes % size for size in _TS_PACKET_BYTES)


def _riff_bytes(file: BinaryIO) -> int:
    """Return where the first RIFF chunk of an AVI file ends, 0 where it does not say."""
    head = file.read(8)
    # A writer that was stopped leaves 0 or the largest number.
    size = int.from_bytes(head[4:8], "little") if head[:4] == b"RIFF" else 0
    return size + 8 if 0 < size < 0xFFFFFFFF else 0


def _segment_end(file: BinaryIO) -> int:
    """Return where the first segment of a Matroska file ends, 0 where it does not say."""
    if _vint(file, keep_marker=True) != _EBML:
        return 0
    file.seek(_vint(file) or 0, 1)
    if _vint(file, keep_marker=True) != _SEGMENT:
        return 0
    # RFC 8794, 6.2: all ones are an unknown size, as a live stream has.
    size = _vint(file)
    return file.tell() + size if size is not None else 0


def _vint(file: BinaryIO, *, keep_marker: bool = False) -> int | None:
    """Read a variable-size integer of EBML (RFC 8794, 4); None for an unknown or bad one."""
    first = int.from_bytes(file.read(1), "big")
    if not first:
        return None
    more = 8 - first.bit_length()
    value = first << 8 * more | int.from_bytes(file.read(more), "big")
    if keep_marker:
        return value
    most = (1 << 7 * (more + 1)) - 1
    return None if value & most == most else value & most
