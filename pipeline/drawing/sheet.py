"""What ``skelact inspect`` shows of an output folder: its clips, worst first, and their frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import atomic_write, below
from ...pose_extract.decode.frames import VideoError
from ...pose_extract.decode.video import open_video
from ...pose_extract.skeleton import SkeletonSequence
from ...pose_extract.store.manifest import ManifestEntry, read_manifests
from ...pose_extract.store.quality import Quality
from .overlay import draw_people

# Figures that are shown of a clip: fields of ManifestEntry, their titles, and what they are.
FIGURES = {
    "athlete_share": ("athlete seen", "share of the frames in which the athlete is seen"),
    "gaps": ("gaps", "runs of frames in which the athlete is not seen"),
    "longest_gap": ("longest gap", "longest of these runs, in frames"),
    "mean_score": ("keypoint score", "mean score of the athlete's keypoints, 0 to 1"),
    "jitter": (
        "jitter",
        "median distance of a joint from the middle between the frames before and after, as a "
        "share of the body's size",
    ),
    "swaps_mended": ("sides exchanged", "frames in which left and right were put right"),
    "inverted_share": ("upside down", "share of the frames in which the athlete is upside down"),
    "turns": ("turns", "net rotation in the image, in whole turns"),
}
# Frames of a clip's sheet, in rows of six, and the height of each in pixels: twelve show the course
# of a clip of some seconds, and two rows of a 16:9 video fit a screen 1600 pixels wide.
_TILES = 12
TILES_PER_ROW = 6
_TILE_HEIGHT = 150
_MAX_TILE_WIDTH = 10 * _TILE_HEIGHT
# More than 16k video (15360 x 8640) has; an entry may say any size.
_MAX_PIXELS = 1 << 27
_BACKGROUND = 24
_JPEG_QUALITY = 85
_FRAMES_PER_BATCH = 16


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


def write_sheet(path: Path, sequence: SkeletonSequence, video: Path | None) -> np.ndarray:
    """Write some frames of a clip, evenly spread, with their skeletons, as one JPEG image.

    Args:
        path: Target.
        sequence: The clip's people.
        video: Its file, for frames behind the skeletons; None draws on a dark ground.

    Returns:
        (N,) int64, the steps that are shown, row by row, ``TILES_PER_ROW`` in each.
    """
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
        for frame, step in zip(_frames(sequence, steps, video), steps)
    ]
    columns = min(TILES_PER_ROW, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    # Not imwrite: names that are not UTF-8 are none for OpenCV.
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    _, jpeg = cv2.imencode(".jpg", np.vstack(rows)[..., ::-1], quality)
    with atomic_write(path) as temporary:
        temporary.write_bytes(jpeg.tobytes())
    return np.asarray(steps)


def video_of(entry: ManifestEntry, videos: Path | None) -> Path | None:
    """Return the file of a clip: below ``videos``, or where it was extracted from; None if gone."""
    # The id of a cut is the path of its video, "@" and the cut.
    if videos is not None:
        path = below(videos, entry.video.partition("@")[0])
    elif entry.source is not None:
        path = Path(entry.source)
    else:
        return None
    return path.absolute() if path.is_file() else None


def _frames(sequence: SkeletonSequence, steps: np.ndarray, video: Path | None) -> list[np.ndarray]:
    """Return the frames (H, W, 3) uint8 RGB of some steps; dark ones where they cannot be read."""
    dark = np.full((*sequence.img_shape, 3), _BACKGROUND, np.uint8)
    found: dict[int, np.ndarray] = {}
    wanted = set(sequence.frame_inds[steps].tolist())
    if video is not None:
        try:
            with open_video(video) as reader:
                for batch in reader.batches(_FRAMES_PER_BATCH, min(wanted), max(wanted) + 1):
                    for frame, index in zip(batch.frames, batch.frame_inds.tolist()):
                        if index in wanted and frame.shape[:2] == sequence.img_shape:
                            found[index] = frame.copy()
        except VideoError:
            pass  # what could be read until then is shown
    return [found.get(int(index), dark) for index in sequence.frame_inds[steps]]
