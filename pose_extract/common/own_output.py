"""The mark in the overlays that skelact writes, by which a search for videos passes them over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# Value of the container's metadata key ``comment``.
OVERLAY_COMMENT = "skelact overlay"
# The boxes on the way to an MP4 file's metadata, from the top (ISO/IEC 14496-12). Its entries are
# not read one by one: the mark is searched in them.
_METADATA_PATH = (b"moov", b"udta")
# Metadata of an overlay is a few hundred bytes; that of a video may hold an image.
_MOST_METADATA = 1 << 16
# A file has a handful of boxes at each level; one made to be slow has millions.
_MOST_BOXES = 1000


def is_own_output(path: str | Path) -> bool:
    """Return whether a file is an overlay that skelact wrote.

    Reads the headers of a few boxes of an MP4 file and nothing else: a folder of thousands of
    videos may be asked about. A file that cannot be read, or is no MP4 file, is none.
    """
    try:
        # Opening a pipe would wait for its writer.
        if Path(path).suffix.lower() != ".mp4" or not Path(path).is_file():
            return False
        with Path(path).open("rb") as file:
            start, end = 0, file.seek(0, 2)
            for kind in _METADATA_PATH:
                start, end = next(
                    (place for name, *place in _boxes(file, start, end) if name == kind), (0, 0)
                )
            file.seek(start)
            return OVERLAY_COMMENT.encode() in file.read(min(end - start, _MOST_METADATA))
    except (OSError, ValueError):
        return False


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each box in a part of a file, and where its content starts and ends."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        file.seek(start)
        header = file.read(16)
        size, content = int.from_bytes(header[:4], "big"), start + 8
        if size == 1:  # the size has 64 bits and stands behind the name
            size, content = int.from_bytes(header[8:16], "big"), start + 16
        stop = end if size == 0 else start + size  # 0: up to the file's end
        if not content <= stop <= end:
            return
        yield header[4:8], content, stop
        start = stop
