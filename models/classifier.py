"""The base of all classifiers of skeleton clips: a vector per person, then their mean."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import SkelactError
from ..pose_extract.layout import KeypointLayout
from .novelty import Novelty

# How the names of the weights begin that belong to the classes, and not to what describes a clip.
_OF_THE_CLASSES = ("head.", "novelty.", "contrast.")


class SkeletonClassifier(nn.Module):
    """Clips of skeletons to logits.

    A person who is absent, all zeros, is left out of the mean over people and, while training, of
    the batch statistics. Subclasses define :meth:`pool_person` and ``head``, (N, D') to logits.

    Args:
        layout: Keypoints and bones.
        input_shape: (M, T, V, C) of one clip.
        feature_dim: D', width of the vector of a person.
    """

    # Of the model in a config.
    name: ClassVar[str]
    head: nn.Module
    # Measures how far a clip is from all classes; a classifier without it never says "unknown".
    novelty: Novelty | None

    def __init__(
        self, layout: KeypointLayout, input_shape: tuple[int, int, int, int], feature_dim: int
    ) -> None:
        super().__init__()
        self.layout = layout
        self.input_shape = input_shape
        self.feature_dim = feature_dim
        self.novelty = None

    def pool_person(self, x: Tensor, person: int) -> Tensor:
        """Map one person of each clip, (B, T, V, C), to (B, D').

        Args:
            x: Normalised coordinates.
            person: Index of the person, 0 to M - 1.
        """
        raise NotImplementedError

    def load_pretrained(self, mae: nn.Module) -> None:
        """Copy the weights of a pre-trained masked autoencoder.

        Raises:
            SkelactError: if its type or its shapes are not those of this classifier, or if this one
                is trained with labels alone.
        """
        raise SkelactError(f"model {self.name!r} has no pre-training; leave --pretrained out")

    def load_body(self, other: SkeletonClassifier) -> None:
        """Copy the weights of a classifier of other classes: all but its head and its novelty.

        Raises:
            SkelactError: if it is another network, or its shapes differ.
        """
        if type(other) is not type(self):
            raise SkelactError(
                f"the pre-trained classifier does not fit: expected a {type(self).__name__}, got "
                f"a {type(other).__name__}; take the same model in both configs"
            )
        own, theirs = _body(self), _body(other)
        one, two = ({n: tuple(v.shape) for n, v in body.items()} for body in (own, theirs))
        differing = [name for name in one | two if one.get(name) != two.get(name)]
        if differing:
            name = differing[0]
            raise SkelactError(
                "the pre-trained classifier does not fit this one: expected the same network with "
                f"the same settings and num_person in both configs; {len(differing)} weights "
                f"differ, such as {name}: expected {one.get(name, 'none')}, got "
                f"{two.get(name, 'none')}"
            )
        self.load_state_dict(theirs, strict=False)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return pooled features (N, M, D') per person and their presence (N, M) bool."""
        present = (x != 0).flatten(2).any(dim=-1)
        pooled = [self._person(x[:, p], p, present[:, p]) for p in range(x.shape[1])]
        return torch.stack(pooled, dim=1), present

    def _person(self, x: Tensor, person: int, present: Tensor) -> Tensor:
        """Pool one person: (N, T, V, C) to (N, D'); zeros where absent."""
        if not self.training:
            return self.pool_person(x, person) * present.unsqueeze(-1)
        # Zeros of absent people would bias the batch statistics.
        out = x.new_zeros(len(x), self.feature_dim)
        if not present.any():
            return out
        pooled = self.pool_person(x[present], person)
        return out.to(pooled.dtype).index_put((present.nonzero().squeeze(1),), pooled)

    def pool_clip(self, x: Tensor) -> Tensor:
        """Return one vector per clip, (N, D'): the mean over the people who are present.

        Args:
            x: (N, M, T, V, C) normalised coordinates; an absent person is all zeros.
        """
        pooled, present = self.features(x)
        weight = present.to(pooled.dtype).unsqueeze(-1)  # (N, M, 1)
        clip: Tensor = (pooled * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)
        return clip

    def forward(self, x: Tensor) -> Tensor:
        """Classify clips.

        Args:
            x: (N, M, T, V, C) normalised coordinates; an absent person is all zeros.

        Returns:
            (N, num_classes) logits; finite also for clips without a person.
        """
        logits: Tensor = self.head(self.pool_clip(x))
        return logits

    def loss(self, x: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """Return what training lowers, of a batch; a network may add to the cross-entropy.

        Args:
            x: (N, M, T, V, C) normalised coordinates; an absent person is all zeros.
            labels: (N,) classes.
            label_smoothing: Of the cross-entropy.
        """
        return F.cross_entropy(self(x).float(), labels, label_smoothing=label_smoothing)

    def logits_of_present(self, x: Tensor) -> Tensor:
        """Return what :meth:`forward` gives for clips (N, M, T, V, C) in which no person is absent.

        What it does depends on no value of ``x``, as ``torch.func.vmap`` needs.
        """
        people = [self.pool_person(x[:, p], p) for p in range(x.shape[1])]
        logits: Tensor = self.head(torch.stack(people, dim=1).mean(dim=1))
        return logits

    def with_novelty(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what :meth:`forward` gives, and the novelty (N,) of each clip if it is measured.

        Args:
            x: (N, M, T, V, C) normalised coordinates; an absent person is all zeros.
        """
        features = self.pool_clip(x)
        logits: Tensor = self.head(features)
        return logits, None if self.novelty is None else self.novelty(features)


def bones_and_motion(points: Tensor, parents: Tensor) -> tuple[Tensor, Tensor]:
    """Return bones and motion: vectors from the parent joint and from the frame before.

    Args:
        points: (B, T, V, 2) coordinates; (0, 0) is a missing joint.
        parents: (V,) int64, the parent of each joint; a root is its own parent.

    Returns:
        Two tensors (B, T, V, 2); zero where either end is missing, and the motion of frame 0.
    """
    present = (points != 0).any(-1, keepdim=True)
    bone = (points - points[:, :, parents]) * (present & present[:, :, parents])
    return bone, motion_of(points)


def motion_of(points: Tensor) -> Tensor:
    """Return the vectors from the frame before, (B, T, V, 2), as :func:`bones_and_motion` does."""
    present = (points != 0).any(-1, keepdim=True)
    moved = (points[:, 1:] - points[:, :-1]) * (present[:, 1:] & present[:, :-1])
    return torch.cat([torch.zeros_like(points[:, :1]), moved], dim=1)


def _body(model: SkeletonClassifier) -> dict[str, Tensor]:
    """Return the weights that describe a clip, whatever its classes."""
    return {n: v for n, v in model.state_dict().items() if not n.startswith(_OF_THE_CLASSES)}
