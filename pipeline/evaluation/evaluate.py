"""Accuracy of a classifier on labelled skeletons, exact or degraded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import SkelactError
from ..checkpoints.checkpoint import load_classifier
from ..config import check_seed
from ..data.annotations import Annotation, load_annotations
from ..data.labels import LabelMap, match_labels, read_label_map
from ..inference.classify import TestProtocol, classify
from ..optim_config import MAX_TEST_CLIPS
from .metrics import Evaluation, measure
from .trained_on import training_note

if TYPE_CHECKING:
    import torch

    # Normalised clips (N, M, T, V, C) to logits (N, num_classes).
    Model = Callable[[torch.Tensor], torch.Tensor]


def corrupt(
    clips: Sequence[Annotation], joint_noise: float, lost_frames: float, seed: int
) -> list[Annotation]:
    """Return clips with degraded skeletons, to measure the robustness of a classifier.

    Args:
        clips: The clips.
        joint_noise: Standard deviation of Gaussian noise on each joint and frame, as a share of the
            longer side of the box around all people and frames of the clip.
        lost_frames: Probability that a frame loses its skeletons.
        seed: Seed; the draws of a clip depend on its number and not on the other clips.

    Returns:
        Copies, or the clips themselves where nothing is degraded; a lost joint has score 0 and
        coordinates (0, 0).

    Raises:
        SkelactError: for noise that is negative or not finite, a share outside [0, 1), or a
            negative seed.
    """
    check_seed(seed)
    if not 0 <= joint_noise < np.inf or not 0 <= lost_frames < 1:
        raise SkelactError(
            "expected joint noise of 0 or more and a share of lost frames from 0 to below 1, got "
            f"{joint_noise} and {lost_frames}"
        )
    if joint_noise == lost_frames == 0:
        return list(clips)
    out = []
    for i, clip in enumerate(clips):
        rng = np.random.default_rng([seed, i])
        seen = np.asarray(clip.keypoint_scores > 0)
        lost = np.asarray(rng.random(clip.keypoints.shape[1]) < lost_frames)
        noise = rng.standard_normal(clip.keypoints.shape, dtype=np.float32)
        extent = np.ptp(clip.keypoints[seen], axis=0).max() if seen.any() else 0.0
        seen = seen & ~lost[None, :, None]
        noisy = clip.keypoints + np.float32(joint_noise * extent) * noise
        keypoints = np.where(seen[..., None], noisy, 0)
        scores = np.where(seen, clip.keypoint_scores, 0)
        out.append(replace(clip, keypoints=keypoints, keypoint_scores=scores))
    return out


def evaluate_checkpoint(
    checkpoint: str | Path | None,
    ann_file: str | Path,
    split: str,
    *,
    label_map: LabelMap | str | Path | None = None,
    device: str = "auto",
    num_clips: int | None = None,
    joint_noise: float = 0.0,
    lost_frames: float = 0.0,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Measure a classifier on a split of an annotation file.

    The classes of the file are matched with those of the classifier by name, whatever their
    numbers; see :func:`match_labels`. ``notes`` of the result say where names could not be
    compared, and which clips the classifier was trained on.

    Args:
        checkpoint: The classifier; None for the shipped one.
        ann_file: PYSKL annotation file.
        split: Split of it.
        label_map: For class names that differ: {name in the file: name in the checkpoint}, or a
            list of the file's class names in order, or a YAML or JSON file of either.
        device: "auto", "cpu", "cuda" or "cuda:N".
        num_clips: Test clips per video; None takes the number in the checkpoint.
        joint_noise: See :func:`corrupt`.
        lost_frames: See :func:`corrupt`.
        seed: Seed of the noise and the lost frames.
        on_progress: Told now and then how many clips are done, and of how many.

    Raises:
        SkelactError: if the checkpoint, the file or the split cannot be used, a class of the clips
            is not one of the classifier's, or its scores are not finite.
    """
    from ...pose_extract.common.device import choose_device

    if num_clips is not None and not 1 <= num_clips <= MAX_TEST_CLIPS:
        raise SkelactError(f"num_clips: expected 1 to {MAX_TEST_CLIPS}, got {num_clips}")
    model, meta = load_classifier(Path(checkpoint) if checkpoint is not None else None)
    data = load_annotations(ann_file)
    clips = data.select(split)
    notes = [training_note(meta, data, clips)]
    renamed = read_label_map(label_map) if isinstance(label_map, (str, Path)) else label_map
    clips, note = match_labels(data, clips, meta.label_names, renamed)
    clips = corrupt(clips, joint_noise, lost_frames, seed)
    chosen = choose_device(device)
    protocol = TestProtocol.of(meta, num_clips)
    scores = classify(
        model.to(chosen),
        meta,
        clips,
        device=chosen,
        protocol=protocol,
        on_progress=on_progress,
    )
    names = [clip.frame_dir for clip in clips]
    result = measure(scores, np.array([clip.label for clip in clips]), names)
    return replace(result, notes=tuple(sentence for sentence in (*notes, note) if sentence))
