"""What a step of training does: clips are augmented, hidden or classified, and scored by a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.classifier import SkeletonClassifier
from ...models.losses import reconstruction_loss, tube_loss
from ...models.masking import joint_mask, part_mask, tube_mask
from ...models.skeleton_mae import SkeletonMAE
from ...models.tube import TubeMAE
from ...pose_extract.layout import KeypointLayout
from ..config import MaskConfig
from ..data.augment import AugmentConfig, augment, draw_positions
from ..data.clip_store import ClipStore
from ..evaluation.metrics import measure
from ..inference.classify import TestProtocol, predict_scores
from .runner import SeededModule

# Views of a batch, of one clip at least.
_VAL_BATCH_SIZE = 64


class _TrainingModule(SeededModule):
    """What pre-training and fine-tuning share: clips, and their augmentation."""

    store: ClipStore

    def __init__(self, store: ClipStore, augmentation: AugmentConfig) -> None:
        super().__init__(store)
        self.augmentation = augmentation

    def training_batch(self, inds: Sequence[int]) -> tuple[Tensor, torch.Generator]:
        """Return augmented clips (N, M, T, V, C), and the random state of the step for the rest."""
        generator = self.generator()
        device = generator.device
        chosen = torch.as_tensor(inds)
        # On the CPU: the frames are picked there.
        position = draw_positions(
            len(chosen),
            self.store.config.clip_len,
            self.augmentation,
            torch.Generator().manual_seed(self._step_seed),
        )
        x = self.store.batch(chosen, device, position)
        layout = self.store.config.keypoint_layout
        return augment(x, layout, self.augmentation, generator), generator


class PretrainModule(_TrainingModule):
    """A masked autoencoder with its masks and loss."""

    def __init__(
        self,
        mae: SkeletonMAE | TubeMAE,
        mask: MaskConfig,
        store: ClipStore,
        augmentation: AugmentConfig,
    ) -> None:
        super().__init__(store, augmentation)
        self.mae = mae
        self.mask = mask

    def forward(self, inds: Sequence[int]) -> dict[str, Tensor]:
        """Return the loss of a batch of clips."""
        batch, generator = self.training_batch(inds)
        if isinstance(self.mae, TubeMAE):
            loss = self._tube_loss(self.mae, batch, generator)
        else:
            loss = self._frame_loss(self.mae, batch, generator)
        return {"loss": self.checked(loss, inds)}

    def _zero_loss(self) -> Tensor:
        """Return a zero that has gradients, for a batch without people."""
        total = torch.stack([p.sum() for p in self.parameters()])
        return total.sum() * 0.0

    def _tube_loss(self, mae: TubeMAE, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Each person of each clip is a sample."""
        people = batch.flatten(0, 1)  # (N, M, T, V, C) -> (B, T, V, C)
        people = people[(people != 0).flatten(1).any(dim=1)]
        if not len(people):
            return self._zero_loss()
        hidden = tube_mask(
            len(people),
            people.shape[1],
            mae.layout,
            self.mask.tube_ratio,
            tube_frames=self.mask.tube_frames,
            kind=self.mask.kind,
            generator=generator,
            device=people.device,
        )
        positions, motion = mae(people, hidden)
        return tube_loss(
            positions, motion, people[..., :2], hidden, motion_weight=self.mask.motion_weight
        )

    def _frame_loss(self, mae: SkeletonMAE, batch: Tensor, generator: torch.Generator) -> Tensor:
        """Each frame and person is a skeleton of its own."""
        x = batch.flatten(0, 2)  # (N, M, T, V, C) -> (B, V, C)
        observed = (x != 0).any(dim=-1)
        hidden = self._masks(mae.layout, len(x), generator, x.device)
        # What was never seen cannot be rebuilt: it is hidden from the input but not scored.
        scored = hidden & observed
        keep = scored.any(dim=1)
        if not keep.any():
            return self._zero_loss()
        reconstruction, target = mae(x[keep], (hidden | ~observed)[keep])
        return reconstruction_loss(
            reconstruction,
            target,
            scored[keep],
            beta=self.mask.beta,
            form=self.mask.loss_form,
        )

    def _masks(
        self, layout: KeypointLayout, count: int, generator: torch.Generator, device: torch.device
    ) -> Tensor:
        mask = self.mask
        if mask.kind == "joint":
            return joint_mask(
                count, layout.num_keypoints, mask.joint_ratio, generator=generator, device=device
            )
        return part_mask(
            count,
            layout,
            parts=mask.parts,
            num_parts=(mask.min_parts, mask.max_parts),
            generator=generator,
            device=device,
        )


class FinetuneModule(_TrainingModule):
    """The classifier with its loss, and its scores on the val split."""

    def __init__(
        self,
        classifier: SkeletonClassifier,
        store: ClipStore,
        augmentation: AugmentConfig,
        val_store: ClipStore | None,
        label_smoothing: float,
        protocol: TestProtocol,
    ) -> None:
        super().__init__(store, augmentation)
        self.classifier = classifier
        self.val_store = val_store
        self.label_smoothing = label_smoothing
        self.protocol = protocol

    def forward(self, inds: Sequence[int]) -> dict[str, Tensor]:
        """Return the loss of a batch of clips."""
        x, _ = self.training_batch(inds)
        labels = self.store.labels[torch.as_tensor(inds)].to(x.device)
        loss = F.cross_entropy(
            self.classifier(x).float(), labels, label_smoothing=self.label_smoothing
        )
        return {"loss": self.checked(loss, inds)}

    @torch.no_grad()
    def figures(self) -> dict[str, Any]:
        """Return the :class:`Evaluation` of the val split as plain values; {} without a split."""
        if self.val_store is None:
            return {}
        self.eval()
        device = next(self.parameters()).device
        step = max(1, _VAL_BATCH_SIZE // self.protocol.num_views)
        scores = [
            predict_scores(self.classifier, self.val_store, inds.tolist(), device, self.protocol)
            for inds in torch.arange(len(self.val_store)).split(step)
        ]
        found = torch.cat(scores).cpu().numpy()
        return measure(found, self.val_store.labels.numpy(), self.val_store.names).to_json()
