"""The manifest: one line of JSON per clip of an output folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..common.files import atomic_write


@dataclass(frozen=True)
class ManifestEntry:
    """One line of the manifest.

    Attributes:
        video: The clip's id: its relative path, with the cut if it is one.
        status: "done" or "failed".
        frames: Frames that were decoded.
        lost_frames: Frames that could not be decoded.
        people: People kept.
        seconds: Length of the decoded clip in seconds, frames over the frame rate.
        athlete_share: This and the next ones up to ``turns``: see ``Quality``.
        swaps_mended: Exchanges of the athlete's left and right that were mended.
        subject: Rule by which person 0 was chosen.
        subject_score: Score of person 0's path by that rule, per candidate frame.
        error: What went wrong, for a failed clip.
        error_kind: Class of that error. A ``VideoError`` is the file's own fault and is not tried
            again while the file stays the same.
        label: Label from the source list.
        split: Split from the source list.
        output: Cache entry, relative to the output folder.
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
    subject: str | None = None
    subject_score: float = 0.0
    error: str | None = None
    error_kind: str | None = None
    label: str | None = None
    split: str | None = None
    output: str | None = None
    video_sha256: str | None = None
    video_bytes: int | None = None
    video_mtime_ns: int | None = None
    extraction: str | None = None


def manifest_line(entry: ManifestEntry) -> str:
    """Return an entry as its line of the manifest."""
    return json.dumps(asdict(entry), ensure_ascii=False) + "\n"


def write_manifest(path: Path, entries: Iterable[ManifestEntry]) -> None:
    """Write a manifest, whole or not at all; one that is the same already is left alone."""
    text = "".join(map(manifest_line, entries))
    if path.is_file() and path.read_bytes() == text.encode():
        return
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_manifests(out: Path) -> dict[str, ManifestEntry]:
    """Return the last line of each clip over all manifests of the folder.

    A line that cannot be read was cut off by a kill, or comes from another version: its clip is
    judged by its cache entry instead.
    """
    entries: dict[str, ManifestEntry] = {}
    for path in sorted(out.glob("manifest*.jsonl"), key=os.path.getmtime):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = ManifestEntry(**json.loads(line))
            except (json.JSONDecodeError, TypeError, RecursionError):
                continue
            if isinstance(entry.video, str) and entry.status in ("done", "failed"):
                entries[entry.video] = entry
    return entries
