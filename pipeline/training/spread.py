"""Labels of a few clips spread to all others over a graph of like clips.

Label spreading (Zhou et al., NIPS 2003, "Learning with local and global consistency") on the
nearest neighbours of a network's features, as Iscen et al. train classifiers with (CVPR 2019,
"Label propagation for deep semi-supervised learning"). Classes keep the shares that they have among
the labelled clips (class mass normalisation, Zhu et al., ICML 2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import cg
from torch import Tensor

from ... import SkelactError
from ..data.annotations import Annotation
from ..evaluation.probe import clip_features

# Nearest neighbours of a clip, and the share of its label that it takes from them (alpha of Zhou et
# al. 2003, who take .99). Set by hand, with a look at the fifth of Penn Action's training clips
# that choices are made on.
_NEIGHBOURS = 10
_ALPHA = 0.99
# Clips whose similarities to all others are in memory at once.
_BLOCK = 1024


def spread_to(
    clips: Sequence[Annotation],
    labelled: Sequence[Annotation],
    checkpoint: str | Path,
    share: float = 1.0,
) -> list[Annotation]:
    """Return clips with the labels that spread to them; those that no label reaches are left out.

    Args:
        clips: All training clips; of their labels none is read.
        labelled: Some of them, whose labels are known.
        checkpoint: A network, pre-trained or fine-tuned, whose features say which clips are alike.
        share: Of the clips that the label of a class spreads to, those where it is surest.

    Raises:
        SkelactError: if the checkpoint cannot be used, or ``labelled`` are no part of ``clips``.
    """
    known = {clip.frame_dir: clip.label for clip in labelled}
    labels = np.array([known.get(clip.frame_dir, -1) for clip in clips])
    if (labels >= 0).sum() != len(labelled):
        raise SkelactError("labelled clips: expected each once among the training clips")
    features, _ = clip_features(Path(checkpoint), clips, torch.device("cpu"))
    found = spread_labels(features, labels, share=share)
    return [replace(clip, label=int(n)) for clip, n in zip(clips, found) if n >= 0]


def spread_labels(
    features: Tensor,
    labels: np.ndarray,
    *,
    neighbours: int = _NEIGHBOURS,
    alpha: float = _ALPHA,
    share: float = 1.0,
) -> np.ndarray:
    """Spread labels over the nearest neighbours of features.

    Args:
        features: (N, D) float32; each counts by its standard deviation.
        labels: (N,) int64, -1 where not known; each class up to the greatest label has one clip or
            none.
        neighbours: Edges of each clip, to those most like it.
        alpha: Share of a clip's label that comes from its neighbours, below 1.
        share: Of the clips that the label of a class spreads to, those that are kept: where the
            class is furthest ahead of the next one.

    Returns:
        (N,) int64: the known labels, and for the other clips what spreads to them; -1 where none.
    """
    system = sparse.identity(len(labels)) - alpha * _neighbour_graph(features, neighbours)
    reached = np.zeros((len(labels), labels.max() + 1))
    for label in np.unique(labels[labels >= 0]):
        members = labels == label
        solution, _ = cg(system, members / members.sum(), rtol=1e-6, maxiter=1000)
        positive = np.maximum(solution, 0)
        reached[:, label] = positive * members.sum() / positive.sum()
    # What is left of a class where it has no path to is a rounding error of the solver.
    found = np.where(reached.max(axis=1) > 1e-9, reached.argmax(axis=1), -1)
    found[labels >= 0] = -1
    _keep_surest(found, reached, share)
    found[labels >= 0] = labels[labels >= 0]
    return found


def _keep_surest(found: np.ndarray, reached: np.ndarray, share: float) -> None:
    """Take labels (N,) away in place, of each class those that are least ahead of another's."""
    shares = reached / np.maximum(reached.sum(axis=1, keepdims=True), 1e-12)
    shares = np.pad(shares, ((0, 0), (1, 0)))  # where there is one class, nothing is next to it
    second, first = np.partition(shares, -2, axis=1)[:, -2:].T
    lead = first - second
    for label in np.unique(found[found >= 0]):
        members = np.flatnonzero(found == label)
        order = members[np.argsort(-lead[members], kind="stable")]
        found[order[round(share * len(order)) :]] = -1


def _neighbour_graph(features: Tensor, neighbours: int) -> sparse.csr_matrix:
    """Return the normalised graph (N, N) of the nearest neighbours by cosine similarity."""
    standard = (features - features.mean(dim=0)) / features.std(dim=0).clamp(min=1e-6)
    unit = torch.nn.functional.normalize(standard, dim=1)
    count = len(unit)
    nearest = min(neighbours, count - 1)
    rows, columns, values = [], [], []
    for first in range(0, count, _BLOCK):
        block = torch.arange(first, min(first + _BLOCK, count))
        similarity = unit[block] @ unit.T
        similarity[torch.arange(len(block)), block] = -2.0  # its own: below any cosine
        found = similarity.topk(nearest, dim=1)
        rows.append(block.repeat_interleave(nearest))
        columns.append(found.indices.flatten())
        values.append(found.values.flatten().clamp(min=0))
    where = torch.cat(rows).numpy(), torch.cat(columns).numpy()
    graph = sparse.csr_matrix((torch.cat(values).double().numpy(), where), shape=(count, count))
    graph = graph + graph.T
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    scale = sparse.diags(1 / np.sqrt(np.maximum(degrees, 1e-12)))
    return sparse.csr_matrix(scale @ graph @ scale)
