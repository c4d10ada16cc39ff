"""Where the overlays and timelines of `skelact predict` go."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .outputs import check_folder, check_place


def overlay_paths(overlay: Path | None, clip_ids: Sequence[str]) -> dict[str, Path]:
    """Return where the overlay of each clip goes; ``overlay`` is a folder, or one clip's file."""
    from ... import SkelactError

    if overlay is None:
        return {}
    if overlay.suffix == "" or overlay.is_dir():
        check_folder("--overlay", overlay)
        return {clip_id: overlay / f"{clip_id}.mp4" for clip_id in clip_ids}
    if overlay.suffix.lower() != ".mp4" or len(clip_ids) > 1:
        what = "a folder" if len(clip_ids) > 1 else "an .mp4 file or a folder"
        raise SkelactError(f"--overlay: expected {what} for {len(clip_ids)} clips, got {overlay}")
    check_place("--overlay", overlay)
    return dict.fromkeys(clip_ids, overlay)


def timeline_paths(
    places: Sequence[Path], clip_ids: Sequence[str]
) -> tuple[list[Path], dict[str, list[Path]]]:
    """Return the tables of all clips, and where the subtitles of each clip go."""
    from ... import SkelactError

    tables: list[Path] = []
    subtitles: dict[str, list[Path]] = {clip_id: [] for clip_id in clip_ids}
    for place in places:
        suffix = "" if place.is_dir() else place.suffix.lower()
        if suffix == ".csv":
            tables.append(place)
        elif suffix == "":
            check_folder("--timeline", place)
            for clip_id, name in _subtitle_names(clip_ids).items():
                subtitles[clip_id].append(place / name)
        elif suffix == ".srt" and len(clip_ids) == 1:
            check_place("--timeline", place)
            subtitles[clip_ids[0]].append(place)
        else:
            what = "a .csv, an .srt" if len(clip_ids) == 1 else "a .csv"
            raise SkelactError(
                f"--timeline: expected {what} or a folder for {len(clip_ids)} clips, got {place}"
            )
    return tables, subtitles


def _subtitle_names(clip_ids: Sequence[str]) -> dict[str, str]:
    """Return the .srt of each clip: by the video's name without its suffix, as players look for it.

    Clips that would have one name, as a.mp4 and a.avi, keep their suffixes.
    """
    from ...pose_extract.sources import VIDEO_SUFFIXES

    stems = {}
    for clip_id in clip_ids:
        stem, suffix = os.path.splitext(clip_id)
        stems[clip_id] = stem if suffix.lower() in VIDEO_SUFFIXES else clip_id
    counts = Counter([*stems.values(), *(name for name in clip_ids if stems[name] != name)])
    return {
        clip_id: f"{stem if counts[stem] == 1 else clip_id}.srt" for clip_id, stem in stems.items()
    }
