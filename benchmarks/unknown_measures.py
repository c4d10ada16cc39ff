"""The measures of benchmarks/unknown.py: how far a clip is from a classifier's actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from unknown_clips import Clips, Sets

from skelact.models.novelty import Novelty

_NEIGHBOURS = 10


def energy(train: Clips, clips: Clips) -> np.ndarray:
    """Liu et al. 2020: minus the log of the sum of the exponents of the logits."""
    return -np.asarray(torch.from_numpy(clips.logits).logsumexp(dim=2).mean(dim=1))


def softmax(train: Clips, clips: Clips) -> np.ndarray:
    """One minus the highest probability."""
    return 1 - clips.scores().max(axis=1)


def own_distance(train: Clips, clips: Clips) -> np.ndarray:
    """The checkpoint's: Mahalanobis distance to classes of augmented training clips."""
    return clips.distance


def others(train: Clips, clips: Clips) -> np.ndarray:
    """The checkpoint's network that was trained with other actions."""
    return clips.novelty - clips.distance


def novelty(train: Clips, clips: Clips) -> np.ndarray:
    """The sum of the two."""
    return clips.novelty


def mahalanobis(train: Clips, clips: Clips) -> np.ndarray:
    """Lee et al. 2018."""
    return _distance(train, clips, train.labels)


def relative_mahalanobis(train: Clips, clips: Clips) -> np.ndarray:
    """Ren et al. 2021: less the distance to all classes taken as one."""
    one = np.zeros_like(train.labels)
    return _distance(train, clips, train.labels, 2) - _distance(train, clips, one, 2)


def nearest(train: Clips, clips: Clips) -> np.ndarray:
    """Sun et al. 2022: distance of the unit features to the 10th nearest of the training clips."""
    bank, found = (_unit(one.features.mean(axis=1)) for one in (train, clips))
    distances = np.sqrt(np.maximum(2 - 2 * found @ bank.T, 0))
    return np.partition(distances, _NEIGHBOURS - 1, axis=1)[:, _NEIGHBOURS - 1]


def disagreement(train: Clips, clips: Clips) -> np.ndarray:
    """Entropy of the mean over the views less the mean of their entropies."""
    views = torch.from_numpy(clips.logits).softmax(dim=2)
    entropy = torch.special.entr
    return np.asarray(entropy(views.mean(dim=1)).sum(dim=1) - entropy(views).sum(dim=2).mean(dim=1))


Measure = Callable[[Clips, Clips], np.ndarray]
MEASURES: Mapping[str, tuple[Measure, ...]] = {
    "softmax": (softmax,),
    "energy": (energy,),
    "disagreement of views": (disagreement,),
    "k nearest neighbours": (nearest,),
    "relative Mahalanobis": (relative_mahalanobis,),
    "Mahalanobis": (mahalanobis,),
    "Mahalanobis, energy": (mahalanobis, energy),
    "Mahalanobis, energy, disagreement": (mahalanobis, energy, disagreement),
    "Mahalanobis, of augmented clips": (own_distance,),
    "network trained with other actions": (others,),
    "the last two, which ship": (novelty,),
}


def _distance(train: Clips, clips: Clips, labels: np.ndarray, power: int = 1) -> np.ndarray:
    views, dim = train.features.shape[1:]
    novelty = Novelty(int(labels.max()) + 1, dim)
    features = torch.from_numpy(train.features).flatten(0, 1)
    novelty.fit(features, torch.from_numpy(labels.repeat(views)), len(labels))
    found = novelty.distance(torch.from_numpy(clips.features).flatten(0, 1)) ** power
    return np.asarray(found.unflatten(0, clips.features.shape[:2]).mean(dim=1))


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-6)


def logistic(x: np.ndarray, y: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Fit a logistic regression to x (N, F) and y (N,) 0 or 1; return its logits of ``columns``.

    Features are scaled to a deviation of 1; classes weigh the same; the weights have the penalty
    1 / N, without which separable clips would have none.
    """
    mean, deviation = x.mean(axis=0), x.std(axis=0)

    def design(values: np.ndarray) -> np.ndarray:
        return np.column_stack([(values - mean) / deviation, np.ones(len(values))])

    a, weights = design(x), np.zeros(x.shape[1] + 1)
    share = np.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean())) / len(y)
    penalty = np.diag([*np.ones(x.shape[1]), 0.0]) / len(y)
    for _ in range(30):  # Newton's method
        chance = 1 / (1 + np.exp(-a @ weights))
        gradient = a.T @ (share * (chance - y)) + penalty @ weights
        curvature = (a * (share * chance * (1 - chance))[:, None]).T @ a + penalty
        weights -= np.linalg.solve(curvature + 1e-9 * np.eye(len(curvature)), gradient)
    return design(columns) @ weights


def measured(sets: Sets, functions: Sequence[Measure]) -> Callable[[Clips], np.ndarray]:
    """Return a measure of clips; several functions are joined by logistic regression."""

    def columns(clips: Clips) -> np.ndarray:
        return np.column_stack([function(sets.train, clips) for function in functions])

    if len(functions) == 1:
        return lambda clips: columns(clips)[:, 0]
    known, unknown = columns(sets.setting), columns(sets.of_unknown(True))
    x = np.concatenate([known, unknown])
    y = np.repeat([0.0, 1.0], [len(known), len(unknown)])
    return lambda clips: logistic(x, y, columns(clips))
