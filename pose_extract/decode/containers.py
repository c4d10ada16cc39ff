"""Whether a file ends before its container says that it does; FFmpeg reads on without a word."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

# Bytes of a packet: ISO 13818-1; with a time code (Blu-ray); with error correction (DVB).
_TS_PACKET_BYTES = 188, 192, 204
_TS_SYNC, _TS_NULL_PID = 0x47, 0x1FFF
_TS_BLOCK_PACKETS = 1 << 15
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def is_broken(path: Path, container: str) -> bool:
    """Return whether a file holds fewer bytes than its container announces, or a TS lost some.

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
        return container == "mpegts" and _is_ts_broken(file, num_bytes)


def _is_ts_broken(file: BinaryIO, num_bytes: int) -> bool:
    """Return whether packets of a TS are missing: its continuity counters tell (2.4.3.3)."""
    size = next((size for size in _TS_PACKET_BYTES if num_bytes % size == 0), None)
    if size is None:
        return True
    start = 4 if size == 192 else 0
    last: dict[int, int] = {}
    while block := file.read(size * _TS_BLOCK_PACKETS):
        packets = np.frombuffer(block, np.uint8).reshape(-1, size)[:, start:].astype(np.int32)
        if (packets[:, 0] != _TS_SYNC).any():
            return True
        pids = (packets[:, 1] & 0x1F) << 8 | packets[:, 2]
        has_payload = (packets[:, 3] & 0x10 > 0) & (pids != _TS_NULL_PID)
        is_break = (packets[:, 3] & 0x20 > 0) & (packets[:, 4] > 0) & (packets[:, 5] & 0x80 > 0)
        for pid in np.unique(pids[has_payload]).tolist():
            chosen = has_payload & (pids == pid)
            counters = packets[chosen, 3] & 0x0F
            before = np.concatenate([[last.get(pid, counters[0] - 1)], counters[:-1]])
            # A packet may be sent twice.
            if (((counters - before) % 16 > 1) & ~is_break[chosen]).any():
                return True
            last[pid] = int(counters[-1])
    return False


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
