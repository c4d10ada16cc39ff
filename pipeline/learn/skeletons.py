"""The skeletons of own clips: extracted, or found in the cache of an earlier run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...pose_extract.batch import BatchSummary, load_done
from ...pose_extract.sources import ClipSource
from ..data.annotations import Annotation

# Rates that differ by less are one, for the time that a window of a long video lasts.
_SAME_RATE = 1.1


@dataclass(frozen=True)
class Skeletons:
    """The clips that can be learned from.

    Attributes:
        clips: Their sources, with label, split and group.
        annotations: Their skeletons; the label is the index of the class.
        label_names: Class names, sorted.
        contents: SHA-256 of each clip's video, None where it is not known.
        extractions: What shaped each clip's skeletons beside its video, as a hash.
        fps: Frames per second, if all clips have about the same; else 0.
        left_out: A sentence for each clip that cannot be used.
    """

    clips: tuple[ClipSource, ...]
    annotations: tuple[Annotation, ...]
    label_names: tuple[str, ...]
    contents: tuple[str | None, ...]
    extractions: tuple[str | None, ...]
    fps: float
    left_out: tuple[str, ...]


def read_skeletons(clips: Sequence[ClipSource], summary: BatchSummary, folder: Path) -> Skeletons:
    """Return what an extraction came to; clips that failed or show no person are left out.

    Args:
        clips: What was extracted, in the order of the summary.
        summary: What the extraction gave.
        folder: Where its results lie.
    """
    by_name = {clip.clip_id: clip for clip in clips}
    left_out = [f"{entry.video}: {entry.error}" for entry in summary.failed]
    kept, annotations, rates = [], [], []
    for entry, sequence in load_done(summary, folder):
        if not (sequence.keypoint_scores > 0).any():
            left_out.append(f"{entry.video}: no person was found")
            continue
        kept.append(entry)
        rates.append(float(sequence.fps))
        annotations.append(replace(Annotation.from_sequence(sequence), frame_dir=entry.video))
    sources = tuple(by_name[entry.video] for entry in kept)
    names = tuple(sorted({clip.label or "" for clip in sources}))
    return Skeletons(
        sources,
        tuple(
            replace(annotation, label=names.index(clip.label or ""))
            for clip, annotation in zip(sources, annotations)
        ),
        names,
        tuple(entry.video_sha256 for entry in kept),
        tuple(entry.extraction for entry in kept),
        rates[0] if rates and max(rates) < _SAME_RATE * min(rates) else 0.0,
        tuple(left_out),
    )


def warn_of_few(skeletons: Skeletons, least: int, on_note: Callable[[str], None]) -> None:
    """Say which classes have fewer than ``least`` clips."""
    counts = Counter(clip.label for clip in skeletons.clips)
    few = [f"{name} ({counts[name]})" for name in skeletons.label_names if counts[name] < least]
    if few:
        on_note(
            f"WARNING: fewer than {least} clips of {', '.join(few)}: what is measured of these "
            "classes says little, and new clips may look like none of them; add clips of other "
            "people and places"
        )
