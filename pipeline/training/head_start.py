"""What a classifier's head is before the first step: a linear probe of its encoder's features.

Gradients of a random head distort features that were pre-trained; a head that is fitted first
leaves them little to undo (LP-FT, Kumar et al., ICLR 2022, "Fine-tuning can distort pretrained
features").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..evaluation.probe import fit_linear
from .objectives import FinetuneModule

# The head is fitted on augmented views, as fine-tuning shows them: about so many of all clips, and
# one of each at least. Not compared with other numbers.
_VIEWS = 256
_BATCH = 64


def fit_head(module: FinetuneModule, seed: int) -> None:
    """Fit the last layer of a classifier to augmented training clips, all other weights frozen.

    Features are standardised for the fit, and the layer takes them as they are.

    Args:
        module: The classifier and its training clips.
        seed: Of the augmentation.
    """
    layers = [m for m in module.classifier.head.modules() if not isinstance(m, nn.Sequential)]
    *before, last = layers
    assert isinstance(last, nn.Linear)
    features, labels = _features(module, nn.Sequential(*before), seed)
    mean, std = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
    probe = fit_linear((features - mean) / std, labels)
    with torch.no_grad():
        # A class beyond the last one that has clips has no row in the probe.
        weight = probe.weight / std
        last.weight[: len(weight)] = weight
        last.bias[: len(weight)] = probe.bias - weight @ mean


@torch.no_grad()
def _features(module: FinetuneModule, before: nn.Module, seed: int) -> tuple[Tensor, Tensor]:
    """Return the last layer's input (N, D) and labels (N,) of augmented views of all clips."""
    was_training = module.training
    module.eval()
    features = []
    count = max(1, _VIEWS // len(module.store))
    for view in range(count):
        for step, inds in enumerate(torch.arange(len(module.store)).split(_BATCH)):
            module.set_step(seed, view, step, 0)
            x, _ = module.training_batch(inds.tolist())
            features.append(before(module.classifier.pool_clip(x)).clone())
    module.train(was_training)
    return torch.cat(features), module.store.labels.repeat(count)
