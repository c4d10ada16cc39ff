"""What a step of training does: clips are augmented, hidden or classified, and scored by a loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ... import SkelactError
from ...models.classifier import SkeletonClassifier, motion_of
from ...models.contrast import ClipContrast
from ...models.losses import reconstruction_loss, tube_loss
from ...models.masking import joint_mask, part_mask, tube_mask
from ...models.physics import PhysicsHeads
from ...models.skeleton_mae import SkeletonMAE
from ...models.teacher import FeatureTeacher
from ...models.tube import TubeMAE
from ...pose_extract.layout import KeypointLayout
from ..config import PretrainConfig
from ..data.augment import AugmentConfig, augment, draw_positions
from ..data.clip_store import ClipStore
from ..evaluation.metrics import measure
from ..inference.classify import TestProtocol, predict_scores
from .runner import SeededModule
from .simulated import PairStore

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
        # On the CPU: the frames are picked there.
        frames = torch.Generator().manual_seed(self._step_seed)
        return self.augmented(inds, self.augmentation, generator, frames), generator

    def augmented(
        self,
        inds: Sequence[int],
        augmentation: AugmentConfig,
        generator: torch.Generator,
        frames: torch.Generator,
    ) -> Tensor:
        """Return clips (N, M, T, V, C), augmented by random states of the device and the CPU."""
        chosen = torch.as_tensor(inds)
        config = self.store.config
        position = draw_positions(len(chosen), config.clip_len, augmentation, frames)
        x = self.store.batch(chosen, generator.device, position)
        return augment(x, config.keypoint_layout, augmentation, generator)


class PretrainModule(_TrainingModule):
    """A masked autoencoder with its masks and loss, and what a config has it learn beside it.

    Args:
        mae: What is pre-trained.
        config: What is hidden, how clips are augmented, and what else is learned from.
        store: The training clips.
        pairs: The simulated clips; None for none.

    Raises:
        SkelactError: for a contrast of fewer than two clips.
    """

    def __init__(
        self,
        mae: SkeletonMAE | TubeMAE,
        config: PretrainConfig,
        store: ClipStore,
        pairs: PairStore | None = None,
    ) -> None:
        super().__init__(store, config.augment)
        self.mae = mae
        self.mask = config.mask
        self.contrast = config.contrast
        self._neighbours_from = self.contrast.neighbours_from * config.optim.epochs
        self.clip_contrast: ClipContrast | None = None
        self.teacher: FeatureTeacher | None = None
        self.physics: PhysicsHeads | None = None
        if not isinstance(mae, TubeMAE):
            return
        if self.contrast.weight:
            if len(store) < 2:
                raise SkelactError(f"contrast.weight: expected 2 clips or more, got {len(store)}")
            self.clip_contrast = ClipContrast(
                mae.encoder.out_dim,
                len(store),
                temperature=self.contrast.temperature,
                num_neighbours=self.contrast.num_neighbours,
            )
        self._teacher_weight = config.teacher.weight
        if self._teacher_weight:
            self.teacher = FeatureTeacher(mae.encoder, config.teacher.momentum)
        self._simulated = config.simulated
        self._pairs = pairs
        if pairs is not None and config.simulated.physics_weight:
            encoder = mae.encoder
            self.physics = PhysicsHeads(mae.layout, encoder.out_dim, encoder.time_step)

    def compile_networks(self) -> None:
        """See :class:`SeededModule`; a TubeMAE is called layer by layer."""
        if isinstance(self.mae, TubeMAE):
            for layer in [*self.mae.encoder.layers, self.mae.decoder]:
                layer.compile()
        else:
            self.mae.compile()

    def forward(self, inds: Sequence[int]) -> dict[str, Tensor]:
        """Return the loss of a batch of clips, and what it is the sum of."""
        if not isinstance(self.mae, TubeMAE):
            batch, generator = self.training_batch(inds)
            return {"loss": self.checked(self._frame_loss(self.mae, batch, generator), inds)}
        losses = {}
        generator = self.generator()
        if self.contrast.reconstruct:
            batch, generator = self.training_batch(inds)
            losses = self._tube_losses(self.mae, batch, generator)
        if self.clip_contrast is not None:
            losses["contrast_loss"] = self._contrast_loss(
                self.mae, self.clip_contrast, inds, generator
            )
        if self._pairs is not None:
            losses |= self._simulated_losses(self.mae, self._pairs, generator)
        if list(losses) == ["reconstruction_loss"]:
            losses = {"loss": losses["reconstruction_loss"]}
        return {name: self.checked(loss, inds) for name, loss in losses.items()}

    def _contrast_loss(
        self,
        mae: TubeMAE,
        contrast: ClipContrast,
        inds: Sequence[int],
        generator: torch.Generator,
    ) -> Tensor:
        """Each clip is seen in two views, with other frames and other tubes than reconstructed."""
        frames = torch.Generator().manual_seed(self._step_seed)
        views = [
            self.augmented(inds, self.contrast.views, generator, frames.manual_seed(seed))
            for seed in torch.randint(1 << 62, (2,), generator=frames).tolist()
        ]
        if not all(view.any() for view in views):
            return self._zero_loss()
        first, second = (self._clip_vectors(mae, view, generator) for view in views)
        loss = contrast(
            first,
            second,
            torch.as_tensor(inds, device=first.device),
            neighbours=self.epoch >= self._neighbours_from,
            generator=generator,
        )
        return self.contrast.weight * loss

    def _clip_vectors(self, mae: TubeMAE, view: Tensor, generator: torch.Generator) -> Tensor:
        """Return (N, D): the mean over joints, time and the people who are present."""
        present = (view != 0).flatten(2).any(dim=-1)  # (N, M)
        people = view[present]  # (B, T, V, C); zeros of who is absent would bias batch norms
        hidden = self._tubes(people, mae.layout, self.contrast.tube_ratio, generator)
        encoded = mae.encoder.channels_first(people * ~hidden.unsqueeze(-1))
        vectors = encoded.mean(dim=(1, 3)).T.float()  # (B, D)
        of_people = vectors.new_zeros(*present.shape, vectors.shape[1])
        of_people = of_people.index_put(present.nonzero(as_tuple=True), vectors)
        return of_people.sum(dim=1) / present.sum(dim=1, keepdim=True).clamp(min=1)

    def _zero_loss(self) -> Tensor:
        """Return a zero that has gradients, for a batch without people."""
        total = torch.stack([p.sum() for p in self.parameters()])
        return total.sum() * 0.0

    def _tube_losses(
        self, mae: TubeMAE, batch: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Each person of each clip is a sample."""
        people = batch.flatten(0, 1)  # (N, M, T, V, C) -> (B, T, V, C)
        people = people[(people != 0).flatten(1).any(dim=1)]
        is_rebuilt = bool(self.mask.position_weight + self.mask.motion_weight)
        if not len(people):
            names = ["reconstruction_loss"] * is_rebuilt + ["teacher_loss"] * bool(self.teacher)
            return dict.fromkeys(names, self._zero_loss())
        hidden = self._tubes(people, mae.layout, self.mask.tube_ratio, generator)
        encoded = mae.encode(people, hidden)
        losses = {}
        if is_rebuilt:
            losses["reconstruction_loss"] = self._rebuilt(mae, encoded, people, hidden)
        if self.teacher is not None:
            if self.training:
                self.teacher.follow(mae.encoder)
            losses["teacher_loss"] = self._teacher_weight * self.teacher(encoded, people, hidden)
        return losses

    def _rebuilt(self, mae: TubeMAE, encoded: Tensor, target: Tensor, scored: Tensor) -> Tensor:
        """Return the loss of positions and motion that are rebuilt from features."""
        positions, motion = mae.decode(encoded)
        return tube_loss(
            positions,
            motion,
            target[..., :2],
            scored,
            position_weight=self.mask.position_weight,
            motion_weight=self.mask.motion_weight,
        )

    def _simulated_losses(
        self, mae: TubeMAE, pairs: PairStore, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The whole skeleton is scored: what is seen has errors."""
        draws = torch.Generator().manual_seed(self._step_seed)
        config = self.store.config
        inds = torch.randint(len(pairs), (self._simulated.batch_size,), generator=draws)
        position = draw_positions(len(inds), config.clip_len, self.augmentation, draws)
        x, phase = pairs.batch(inds, generator.device, position)
        # The errors are in the clips.
        views = replace(
            self.augmentation, noise_std=0, noise_max=0, drop_prob=0, frame_drop_prob=0,
            lost_frames=0, tube_prob=0, switch_prob=0,
        )  # fmt: skip
        x = augment(x, config.keypoint_layout, views, generator)
        seen, exact, depth = x[:, 0, ..., :-1], x[:, 1, ..., :2], x[:, 1, ..., -1]
        hidden = self._tubes(seen, mae.layout, self.mask.tube_ratio, generator)
        encoded = mae.encode(seen, hidden)
        weights, losses = self._simulated, {}
        if weights.denoise_weight:
            loss = self._rebuilt(mae, encoded, exact, torch.ones_like(hidden))
            losses["denoise_loss"] = weights.denoise_weight * loss
        if self.physics is not None:
            loss = self.physics(encoded, exact, depth, phase)
            losses["physics_loss"] = weights.physics_weight * loss
        return losses

    def _tubes(
        self, people: Tensor, layout: KeypointLayout, ratio: float, generator: torch.Generator
    ) -> Tensor:
        """Return what is hidden (B, T, V) of people (B, T, V, C)."""
        moved = None
        if self.mask.by_motion:
            moved = motion_of(people[..., :2]).norm(dim=-1)
        return tube_mask(
            len(people),
            people.shape[1],
            layout,
            ratio,
            tube_frames=self.mask.tube_frames,
            kind=self.mask.kind,
            moved=moved,
            generator=generator,
            device=people.device,
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
        loss = self.classifier.loss(x, labels, self.label_smoothing)
        return {"loss": self.checked(loss, inds)}

    @property
    def has_val_split(self) -> bool:
        """Whether there are clips to measure on."""
        return self.val_store is not None

    @torch.no_grad()
    def figures(self) -> dict[str, Any]:
        """Return the :class:`Evaluation` of the val split as plain values; {} without a split.

        ``val_loss`` is beside it, the mean of -log of the true class's probability.
        """
        if self.val_store is None:
            return {}
        self.eval()
        device = next(self.parameters()).device
        step = max(1, _VAL_BATCH_SIZE // self.protocol.num_views)
        scores = [
            predict_scores(self.classifier, self.val_store, inds.tolist(), device, self.protocol)
            for inds in torch.arange(len(self.val_store)).split(step)
        ]
        found = torch.cat(scores).cpu()
        labels, names = self.val_store.labels, self.val_store.names
        measured = measure(found.numpy(), labels.numpy(), names).to_json()
        val_loss = F.nll_loss(found.clamp(min=torch.finfo(found.dtype).tiny).log(), labels)
        return measured | {"val_loss": val_loss.item()}
