"""Fit the gate of a trained classifier: which clips lie far from its classes, and its calibration.

Clips of other actions are of use and not needed. The classes are described by augmented training
clips, so that what an estimated pose lacks against an annotated one is no other action.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from ...models.novelty import Novelty
from ..checkpoints.gate import Gate, tempered
from ..inference.classify import score_clips
from .objectives import FinetuneModule

# Share of the clips of its actions that a gate accepts.
KNOWN_ACCEPTED = 0.95
# Of fewer clips the share that is not accepted is less than one clip.
_LEAST_CLIPS = 20
# Augmented views of each training clip that classes are described by; one more stands for a new
# clip where none are held out.
_DRAWS = 2
# Every such training clip is an example of a body that does nothing that the classifier knows.
_MADE_STEP = 4
_BATCH_SIZE = 64
# Beyond those of any training, whose draws are not met again.
_FIRST_EPOCH = 1 << 30
# Temperatures that are looked at; those found in benchmarks/unknown.py are 0.4 to 0.8.
_TEMPERATURES = (0.05, 20.0)


@torch.no_grad()
def fit_gate(
    module: FinetuneModule, seed: int, others: FinetuneModule | None = None
) -> Gate | None:
    """Give a trained classifier its novelty, and return when a clip is unknown.

    A classifier of fewer than 20 training clips gets none, and None is returned: it never says
    "unknown".

    Args:
        module: The classifier in eval mode, which gets ``novelty``, and its clips. The threshold
            and the temperature come from the val clips, or, with fewer than 20 of them, from
            training clips augmented anew.
        seed: Seed of the augmentation.
        others: The same with training clips of other actions, if there are any.
    """
    if len(module.store) < _LEAST_CLIPS:
        return None
    classifier = module.classifier
    features, _, labels = _augmented(module, seed, range(_DRAWS))
    num_classes = classifier.head(features[:1, 0]).shape[1]
    classifier.novelty = Novelty(num_classes, features.shape[2]).to(features.device)
    classifier.novelty.fit(features.flatten(0, 1), labels.repeat_interleave(_DRAWS), len(labels))
    if others is not None:
        unknown = _augmented(others, seed, range(_DRAWS))[0].flatten(0, 1)
        made = _augmented(module, seed, range(1), _MADE_STEP, _without_motion)[0].flatten(0, 1)
        classifier.novelty.fit_others(features.flatten(0, 1), torch.cat([unknown, made]), seed)
    if module.val_store is not None and len(module.val_store) >= _LEAST_CLIPS:
        device = features.device
        scores, measured = score_clips(
            classifier, module.val_store, device=device, protocol=module.protocol
        )
        assert measured is not None  # novelty was given to it above
        novelty = measured
        truth, fitted_on = module.val_store.labels.numpy(), "val"
    else:
        # One view, and not the mean over several, makes up for clips that were learned from.
        features, logits, labels = _augmented(module, seed, range(_DRAWS, _DRAWS + 1))
        scores = logits[:, 0].softmax(dim=1).cpu().numpy()
        novelty = classifier.novelty(features[:, 0]).cpu().numpy()
        truth, fitted_on = labels.cpu().numpy(), "train"
    return Gate(
        novelty_thr=float(np.quantile(novelty, KNOWN_ACCEPTED)),
        temperature=fit_temperature(scores, truth),
        fitted_on=fitted_on,
    )


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature at which the labels are most probable.

    One clip more is thought of, of which every class is as likely as the others. So scores that are
    all right do not become certain (as the targets of Platt 1999, "Probabilistic outputs for
    support vector machines").

    Args:
        scores: (N, K) class probabilities.
        labels: (N,) int.
    """
    targets = np.full(scores.shape, 1 / scores.shape[1])
    targets[np.arange(len(labels)), labels] += len(labels)
    targets /= len(labels) + 1

    def loss(log_temperature: float) -> float:
        probabilities = tempered(scores, math.exp(log_temperature))
        logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
        return -float((targets * logs).sum(axis=1).mean())

    # The loss has one minimum: it is convex in the inverse of the temperature.
    bounds = tuple(map(math.log, _TEMPERATURES))
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)


def _without_motion(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return clips (N, M, T, V, C) that stand still, and every other one with shuffled frames."""
    out = x.clone()
    middle = x.shape[2] // 2
    out[::2] = x[::2, :, middle : middle + 1]
    order = torch.randperm(x.shape[2], generator=generator, device=generator.device)
    out[1::2] = x[1::2][:, :, order]
    return out


def _augmented(
    module: FinetuneModule,
    seed: int,
    draws: range,
    every: int = 1,
    change: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return features (N, P, D), logits (N, P, K) and labels (N,) of training clips.

    Args:
        module: The classifier and its clips.
        seed: Seed of the augmentation.
        draws: One per view.
        every: Take every such clip.
        change: What is done to a batch beyond its augmentation.
    """
    chosen = torch.arange(0, len(module.store), every)
    classifier = module.classifier.eval()
    views = []
    for draw in draws:
        found = []
        for step, inds in enumerate(chosen.split(_BATCH_SIZE)):
            module.set_step(seed, _FIRST_EPOCH + draw, step)
            x, generator = module.training_batch(inds.tolist())
            x = x if change is None else change(x, generator)
            found.append(classifier.pool_clip(x).float())
        views.append(torch.cat(found))
    features = torch.stack(views, dim=1)
    return (
        features,
        classifier.head(features).float(),
        module.store.labels[chosen].to(features.device),
    )
