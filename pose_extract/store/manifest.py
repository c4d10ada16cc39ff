"""The manifest: one line of JSON per clip of an output folder.

Several runs may write to one folder at the same time, so each change is made under a lock: lines
are appended while a run goes on, and at its end the manifest is written anew with one line per clip
of the folder, in the order of their names. It holds no time of day: runs that are stopped and run
again end with the same bytes as one that was not.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ... import SkelactError
from ..common.files import atomic_write, discard_leftovers, locked

# A line has about 1 KB, and 10 KB with the longest paths there are.
_MAX_LINE_BYTES = 1 << 20
_MAX_NUMBER = 1 << 63
# Shards had a manifest each in earlier versions.
_SHARD_MANIFEST = re.compile(r"manifest-\d+-of-\d+\.jsonl")


class OutputError(SkelactError):
    """An output folder that cannot be used, or not written to any more; it ends the run."""


@dataclass(frozen=True)
class ManifestEntry:
    """One line of the manifest.

    Attributes:
        video: The clip's id: its relative path, with the cut if it is one.
        status: "done" or "failed".
        frames: Frames that were decoded.
        lost_frames: Frames that could not be decoded.
        people: People kept.
        seconds: Length of the clip in real time, in seconds.
        athlete_share: This and the next ones up to ``turns``: see ``Quality``.
        swaps_mended: Exchanges of the athlete's left and right that were mended.
        repeated_frames: Frames that repeat the one before, and have its skeletons.
        subject: Rule by which person 0 was chosen.
        subject_score: Score of person 0's path by that rule, per candidate frame.
        size_changes_at: First frame that is stored in another size than the video's first one, to
            which it and all others were scaled; None where there is none.
        error: What went wrong, for a failed clip.
        error_kind: Class of that error. A ``VideoError`` is the file's own fault and is not tried
            again while the file stays the same, nor is a ``ProcessCrashError``.
        label: Label from the source list.
        split: Split from the source list.
        output: Cache entry, relative to the output folder.
        output_digest: Size and end of the cache entry, by ``entry_digest``.
        source: Absolute path of the video: two videos of one name are told apart by it.
        video_sha256: Content of the video.
        video_bytes: Size of the video; with ``video_mtime_ns`` it tells, without reading the
            video again, that it is unchanged.
        video_mtime_ns: When the video was changed last.
        extraction: Hash of everything but the video that shaped the result.
    """

    video: str
    status: str
    frames: int = 0
    lost_frames: int = 0
    people: int = 0
    seconds: float = 0.0
    athlete_share: float = 0.0
    gaps: int = 0
    longest_gap: int = 0
    mean_score: float = 0.0
    jitter: float = 0.0
    inverted_share: float = 0.0
    turns: float = 0.0
    swaps_mended: int = 0
    repeated_frames: int = 0
    subject: str | None = None
    subject_score: float = 0.0
    size_changes_at: int | None = None
    error: str | None = None
    error_kind: str | None = None
    label: str | None = None
    split: str | None = None
    output: str | None = None
    output_digest: str | None = None
    source: str | None = None
    video_sha256: str | None = None
    video_bytes: int | None = None
    video_mtime_ns: int | None = None
    extraction: str | None = None


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "str | None": (str, type(None)),
    "int | None": (int, type(None)),
}


def entry_from_fields(values: Any) -> ManifestEntry:
    """Return the entry that a dictionary from outside describes.

    Raises:
        ValueError: if a field is missing, unknown or of another type.
    """
    try:
        entry = ManifestEntry(**values)
    except TypeError as error:
        raise ValueError(str(error)) from None
    for field in fields(ManifestEntry):
        value = getattr(entry, field.name)
        is_right = isinstance(value, _TYPES[str(field.type)]) and not isinstance(value, bool)
        # NaN, inf and numbers that no other program reads.
        if not is_right or (isinstance(value, int | float) and not abs(value) < _MAX_NUMBER):
            raise ValueError(f"{field.name}: expected {field.type}, got {value!r:.40}")
    if entry.status not in ("done", "failed"):
        raise ValueError(f"status: expected done or failed, got {entry.status!r:.40}")
    return entry


def manifest_line(entry: ManifestEntry) -> bytes:
    r"""Return an entry as its line of the manifest, in UTF-8.

    Bytes of a name that are no UTF-8, which Python holds as lone surrogates, are written as JSON's
    escapes ``\udc80`` to ``\udcff`` and come back as they were.
    """
    text = json.dumps(asdict(entry), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def manifest_path(out: str | Path) -> Path:
    """Return where the manifest of an output folder lies."""
    return Path(out) / "manifest.jsonl"


def manifest_lock(out: str | Path) -> AbstractContextManager[None]:
    """Return a lock that one run at a time holds, to change the folder's manifest."""
    return locked(Path(out) / ".manifest.lock")


def append_entries(out: str | Path, entries: Iterable[ManifestEntry]) -> None:
    """Append lines to the manifest, all or none; the caller holds :func:`manifest_lock`.

    Raises:
        OSError: if the disk is full; the manifest then is as it was.
    """
    lines = b"".join(map(manifest_line, entries))
    descriptor = os.open(manifest_path(out), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        num_bytes = os.fstat(descriptor).st_size
        if num_bytes and os.pread(descriptor, 1, num_bytes - 1) != b"\n":
            lines = b"\n" + lines  # after a line that a kill cut off
        written = 0
        try:
            while written < len(lines):
                written += os.write(descriptor, lines[written:])
        except OSError:
            os.ftruncate(descriptor, num_bytes)
            raise
    finally:
        os.close(descriptor)


def merge_manifest(
    out: str | Path,
    entries: Iterable[ManifestEntry],
    planned_from: Mapping[str, ManifestEntry] | None = None,
) -> None:
    """Write the manifest anew: one line per clip of the folder, in the order of their names.

    The manifests of parts, as earlier versions wrote them, are taken in and removed. Lines of other
    versions, with fields that this one does not know, stay as they are until their clip has a line
    of this one.

    Args:
        out: The output folder.
        entries: Lines that take the place of older ones.
        planned_from: The lines by which ``entries`` were judged; where the folder has another one
            now, a run beside this one has written it since, and it stays. None replaces them all.

    Raises:
        OutputError: if a manifest is no regular file, cannot be read or is not skelact's.
        OSError: if it cannot be written.
    """
    out = Path(out)
    mine = {entry.video: entry for entry in entries}
    if not mine and _is_merged(out):
        return  # a folder that may be read-only
    with manifest_lock(out):
        there = _read_all(out)
        for name, entry in mine.items():
            if planned_from is None or there.entries.get(name) == planned_from.get(name):
                there.add(entry)
        _write_lines(manifest_path(out), there.lines())
        for path in _manifests(out):
            if path != manifest_path(out):
                path.unlink()


def _is_merged(out: Path) -> bool:
    path = manifest_path(out)
    content = b"".join(_read_all(out).lines())
    return _manifests(out) == [path] and path.read_bytes() == content


def write_manifest(path: str | Path, entries: Iterable[ManifestEntry]) -> None:
    """Write a manifest, whole or not at all; one that is the same already is left alone."""
    _write_lines(Path(path), map(manifest_line, entries))


def _write_lines(path: Path, lines: Iterable[bytes]) -> None:
    content = b"".join(lines)
    discard_leftovers(path)
    if path.is_file() and path.read_bytes() == content:
        return
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def read_manifests(out: str | Path) -> dict[str, ManifestEntry]:
    """Return the last line of each clip over all manifests of the folder.

    A line that cannot be read was cut off by a kill, or comes from another version: its clip is
    judged by its cache entry instead.

    Raises:
        OutputError: if a manifest is no regular file, cannot be read or is not skelact's.
    """
    return _read_all(Path(out)).entries


class _Lines:
    """The lines of a folder's manifests: those that this version reads, and the others'."""

    def __init__(self) -> None:
        self.entries: dict[str, ManifestEntry] = {}
        # By the clip's name and, for lines that have none, their place.
        self._others: dict[tuple[str, int], bytes] = {}

    def add(self, entry: ManifestEntry) -> None:
        self.entries[entry.video] = entry
        self._others.pop((entry.video, 0), None)

    def read(self, line: bytes) -> bool:
        """Take in a line as it is in a file, and return whether it is one of a manifest's."""
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):  # no UTF-8 and no JSON are ValueErrors too
            return True  # damaged, or cut off by a kill
        try:
            self.add(entry_from_fields(values))
        except ValueError:
            name = values.get("video") if isinstance(values, dict) else None
            key = (name, 0) if isinstance(name, str) else ("", 1 + len(self._others))
            self._others[key] = line.rstrip(b"\n") + b"\n"
            return isinstance(values, dict) and {"video", "status"} <= values.keys()
        return True

    def lines(self) -> Iterator[bytes]:
        """Yield all lines in the order of the clips' names; the newest of each clip."""
        keys = [*((name, 0) for name in self.entries), *self._others]
        for key in sorted(dict.fromkeys(keys)):
            yield self._others[key] if key in self._others else manifest_line(self.entries[key[0]])


def _read_all(out: Path) -> _Lines:
    lines = _Lines()
    for path in _manifests(out):
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise OutputError(f"{path}: expected the manifest of an output folder, a file")
            # A list: each line has to be taken in.
            is_ours = [lines.read(line) for line in _lines(path) if line.strip()]
        except OSError as error:
            raise OutputError(f"{path}: cannot be read: {error.strerror or error}") from error
        if is_ours and not any(is_ours):
            raise OutputError(
                f"{path}: expected a manifest written by `skelact extract`, and none of its lines "
                "is; it would be lost: move it away, or take another --out"
            )
    return lines


def _manifests(out: Path) -> list[Path]:
    """Return the manifests of a folder, the newest last."""
    shards = [path for path in out.glob("manifest-*.jsonl") if _SHARD_MANIFEST.fullmatch(path.name)]
    return sorted(filter(Path.exists, [*shards, manifest_path(out)]), key=os.path.getmtime)


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file; of those that are absurdly long, pieces."""
    with path.open("rb") as stream:
        while line := stream.readline(_MAX_LINE_BYTES):
            yield line
