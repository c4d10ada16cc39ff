"""Whether clips to be measured on are those that a checkpoint was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...pose_extract.common.files import sha256_of
from ..checkpoints.checkpoint import CheckpointMeta
from ..data.annotations import Annotation, AnnotationFile


def training_record(data: AnnotationFile, split: str) -> dict[str, str]:
    """Return what a checkpoint records of its training clips, to know them again.

    Returns:
        ``split``, ``ann_sha256`` (of the annotation file) and ``clips_sha256`` (of the names of the
        split's clips, which a file with other labels shares).
    """
    return {
        "split": split,
        "ann_sha256": sha256_of(data.path),
        "clips_sha256": _names_sha256(data.splits[split]),
    }


def training_note(meta: CheckpointMeta, data: AnnotationFile, clips: Sequence[Annotation]) -> str:
    """Return a sentence that warns of clips that the checkpoint was trained on; "" without any.

    Args:
        meta: The checkpoint.
        data: The annotation file.
        clips: Clips of it that are to be measured on.
    """
    before = meta.data.get("pretrained_on")
    records: list[tuple[Mapping[str, Any], str]] = [(meta.data, "trained")]
    if isinstance(before, Mapping):
        labels = "with" if before.get("kind") == "classifier" else "without"
        records.append((before, f"pre-trained ({labels} labels)"))
    for record, done in records:
        split = str(record.get("split"))
        known_by = _known_by(record, meta, data)
        names = set(data.splits[split]) if known_by else set()
        shared = sum(clip.frame_dir in names for clip in clips)
        if shared:
            return (
                f"{shared} of these {len(clips)} clips are in split {split!r}, which this "
                f"checkpoint was {done} on (known by {known_by}); figures on them say nothing of "
                "new clips"
            )
    return ""


def _known_by(record: Mapping[str, Any], meta: CheckpointMeta, data: AnnotationFile) -> str:
    """Return how the file is known to hold the clips of a record; "" if it is not."""
    names = data.splits.get(str(record.get("split")))
    if names is None:
        return ""
    if "ann_sha256" in record:
        if record["ann_sha256"] == sha256_of(data.path):
            return "the hash of the file"
        is_same = record.get("clips_sha256") == _names_sha256(names)
        return "the names of its clips" if is_same else ""
    # Checkpoints of earlier versions record no hash.
    config = meta.config.get("data")
    place = config.get("ann_file") if isinstance(config, Mapping) else None
    if isinstance(place, str) and Path(place).name == data.path.name:
        return "the name of the file"
    return "the size of the split" if record.get("num_clips") == len(names) else ""


def _names_sha256(names: Sequence[str]) -> str:
    text = "\n".join(sorted(names))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
