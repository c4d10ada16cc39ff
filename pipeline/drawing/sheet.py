"""What ``skelact inspect`` shows of an output folder: its clips, worst first, as an image page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, below
from ...pose_extract.common.text import printable
from ...pose_extract.decode.frames import VideoError
from ...pose_extract.decode.video import open_video
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.store.manifest import ManifestEntry, read_manifests
from ...pose_extract.store.npz import load_sequence
from ...pose_extract.store.quality import Quality
from .overlay import draw_people

# Figures that are shown of a clip: fields of ManifestEntry and their titles.
COLUMNS = {
    "athlete_share": "seen",
    "gaps": "gaps",
    "longest_gap": "longest",
    "mean_score": "score",
    "jitter": "jitter",
    "swaps_mended": "swaps",
    "inverted_share": "inverted",
    "turns": "turns",
}
# Frames of a clip's sheet, in rows of six, and the height of each in pixels: twelve show the course
# of a clip of some seconds, and two rows of a 16:9 video fit a screen 1600 pixels wide.
_TILES = 12
_TILES_PER_ROW = 6
_TILE_HEIGHT = 150
_MAX_TILE_WIDTH = 10 * _TILE_HEIGHT
# More than 16k video (15360 x 8640) has; an entry may say any size.
_MAX_PIXELS = 1 << 27
_BACKGROUND = 24
_JPEG_QUALITY = 85
_FRAMES_PER_BATCH = 16
_STYLE = "body{font:15px sans-serif;margin:2em}img{max-width:100%}h2{font-size:1em}"


def worst_first(folder: Path) -> list[ManifestEntry]:
    """Return the clips of an output folder: failed ones first, then by rising quality.

    Raises:
        SkelactError: if the folder has no manifest, or none of its lines can be read.
    """
    manifests = sorted(folder.glob("manifest*.jsonl"))
    if not manifests:
        raise SkelactError(f"{folder}: expected manifest.jsonl, as `skelact extract --out` writes")
    entries = read_manifests(folder)
    if not entries and any(manifest.stat().st_size for manifest in manifests):
        raise SkelactError(
            f"{folder}: no line of the manifest can be read; it is from another version of "
            "skelact: run `skelact extract` with this --out again"
        )

    def order(entry: ManifestEntry) -> tuple[bool, float]:
        figures = {name: getattr(entry, name) for name in Quality.__dataclass_fields__}
        return entry.status == "done", Quality(**figures).score

    return sorted(entries.values(), key=order)


def write_page(folder: Path, entries: Sequence[ManifestEntry], videos: Path | None) -> Path:
    """Write ``inspect/index.html`` in an output folder, with a sheet of frames for each clip.

    Args:
        folder: The ``--out`` of ``skelact extract``.
        entries: The clips in the order in which the page shows them.
        videos: Folder of the videos, for frames behind the skeletons; None draws on a dark ground.

    Returns:
        The page.
    """
    page = folder / "inspect" / "index.html"
    sections = "".join(_section(folder, entry, videos) for entry in entries)
    text = (
        f"<!doctype html><meta charset='utf-8'><title>skelact inspect</title>"
        f"<style>{_STYLE}</style><h1>{len(entries)} clips, worst first</h1>{sections}"
    )
    with atomic_write(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page


def _section(folder: Path, entry: ManifestEntry, videos: Path | None) -> str:
    """Return a clip's part of the page, and write its sheet."""
    title = f"<h2>{escape(printable(entry.video))}</h2>"
    if entry.status != "done" or entry.output is None:
        return f"{title}<p>{escape(printable(entry.error or ''))}</p>"
    figures = ", ".join(f"{name} {getattr(entry, column)}" for column, name in COLUMNS.items())
    sheet = f"{entry.video}.jpg"
    try:
        sequence = load_sequence(below(folder, entry.output))
        write_sheet(below(folder / "inspect", sheet), sequence, videos)
    # Whatever is wrong with one clip's skeletons, the page shows the others.
    except Exception as error:
        why = escape(f"no image: {printable(error)}")
        return f"{title}<p>{escape(figures)}</p><p>{why}</p>"
    address = escape(quote(os.fsencode(sheet)))
    return f"{title}<p>{escape(figures)}</p><img src='{address}' loading='lazy'>"


def write_sheet(path: Path, sequence: SkeletonSequence, videos: Path | None) -> None:
    """Write some frames of a clip, evenly spread, with their skeletons, as one JPEG image."""
    height, width = sequence.img_shape
    if sequence.num_frames == 0 or height * width > _MAX_PIXELS:
        raise SkelactError(
            f"expected frames of at most {_MAX_PIXELS} pixels, got {sequence.num_frames} frames of "
            f"{width}x{height}"
        )
    count = min(_TILES, sequence.num_frames)
    steps = np.linspace(0, sequence.num_frames - 1, count).round().astype(int)
    tile_width = round(width * _TILE_HEIGHT / height)
    size = (min(max(1, tile_width), _MAX_TILE_WIDTH), _TILE_HEIGHT)
    tiles = [
        cv2.resize(draw_people(frame, sequence, int(step)), size, interpolation=cv2.INTER_AREA)
        for frame, step in zip(_frames(sequence, steps, videos), steps)
    ]
    columns = min(_TILES_PER_ROW, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    # Not imwrite: names that are not UTF-8 are none for OpenCV.
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, jpeg = cv2.imencode(".jpg", np.vstack(rows)[..., ::-1], quality)
    with atomic_write(path) as temporary:
        temporary.write_bytes(jpeg.tobytes())


def _frames(sequence: SkeletonSequence, steps: np.ndarray, videos: Path | None) -> list[np.ndarray]:
    """Return the frames (H, W, 3) uint8 RGB of some steps; dark ones where they cannot be read."""
    dark = np.full((*sequence.img_shape, 3), _BACKGROUND, np.uint8)
    found: dict[int, np.ndarray] = {}
    # The id of a cut is the path of its video, "@" and the cut.
    source = below(videos, sequence.video_id.partition("@")[0]) if videos else None
    wanted = set(sequence.frame_inds[steps].tolist())
    if source is not None and source.is_file():
        try:
            with open_video(source) as reader:
                for batch in reader.batches(_FRAMES_PER_BATCH, min(wanted), max(wanted) + 1):
                    for frame, index in zip(batch.frames, batch.frame_inds.tolist()):
                        if index in wanted and frame.shape[:2] == sequence.img_shape:
                            found[index] = frame.copy()
        except VideoError:
            pass  # what could be read until then is shown
    return [found.get(int(index), dark) for index in sequence.frame_inds[steps]]
