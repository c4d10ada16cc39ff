"""What a training config says of the optimiser, its schedule, and how training runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .network_config import expect, expect_at_least

# All test clips of a batch of videos are in memory at once; PYSKL takes 10.
MAX_TEST_CLIPS = 1000

# A learning rate is made for each epoch before the first: more would fill the memory.
_MAX_EPOCHS = 1_000_000


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser and schedule.

    Attributes:
        kind: "sgd" (momentum 0.9), "adam", "adamw" or "muon".
        lr: Learning rate at the top of the schedule.
        weight_decay: Weight decay (the paper does not give it).
        nesterov: Nesterov momentum, for "sgd".
        batch_size: Clips per batch.
        epochs: Passes over the data.
        warmup_epochs: Epochs of linear warm-up; at most all but the last.
        schedule: "step" divides by ten at ``milestones``, "cosine" falls to zero, "constant" stays.
        milestones: Epochs at which "step" divides.
        clip_grad_norm: Greatest norm of the gradient; 0 is off.
        label_smoothing: Of the cross-entropy.
        ema_momentum: Weight of a new value in the moving average of the weights; 0 is off.
        patience: Training stops after so many measurements on the val split without a lower loss,
            and the weights of the lowest are kept; 0 is off, and the last weights are kept.
        encoder_rate: Factor on the learning rate of a classifier's weights before its last layer,
            "head": what is pre-trained has less to learn.
        head_start: What the head of a classifier is before the first step: "random", or a linear
            "probe" of the encoder's features (LP-FT, Kumar et al., ICLR 2022), so that the first
            steps do not undo what was pre-trained.
    """

    kind: Literal["sgd", "adam", "adamw", "muon"]
    lr: float
    batch_size: int
    epochs: int
    weight_decay: float = 0.0
    nesterov: bool = False
    warmup_epochs: int = 0
    schedule: Literal["step", "cosine", "constant"] = "constant"
    milestones: tuple[int, ...] = ()
    clip_grad_norm: float = 0.0
    label_smoothing: float = 0.0
    ema_momentum: float = 0.0
    patience: int = 0
    encoder_rate: float = 1.0
    head_start: Literal["random", "probe"] = "random"

    def __post_init__(self) -> None:
        expect(self, "lr", 0 < self.lr < math.inf, "above 0")
        expect_at_least(self, 1, "batch_size", "epochs")
        expect(self, "epochs", self.epochs <= _MAX_EPOCHS, f"at most {_MAX_EPOCHS}")
        expect_at_least(self, 0, "weight_decay", "warmup_epochs", "clip_grad_norm")
        expect_at_least(self, 0, "encoder_rate", "patience")
        if self.kind == "muon":  # has groups of parameters of its own
            expect(self, "encoder_rate", self.encoder_rate == 1, "1 for kind 'muon'")
        if self.schedule == "step":
            fits = bool(self.milestones) and min(self.milestones) >= 1
            expect(self, "milestones", fits, "epochs from 1 on for schedule 'step'")
        for name in ("label_smoothing", "ema_momentum"):
            expect(self, name, 0 <= getattr(self, name) < 1, "0 to below 1")

    def expect_no_head(self) -> None:
        """Raise a ValueError where something is said of a classifier's head and there is none."""
        expect(self, "encoder_rate", self.encoder_rate == 1, "1 for what is no classifier")
        expect(self, "head_start", self.head_start == "random", "'random' for no classifier")


@dataclass(frozen=True)
class RuntimeConfig:
    """How training runs; changes no result but by rounding.

    Attributes:
        precision: "fp32", or "bf16" / "fp16" mixed precision; processors without bf16 take fp32.
        compile: Compile the network with torch.compile: minutes at the start, meant for long runs
            on CUDA.
        save_every: Most epochs between the states that a stopped run resumes from; where epochs
            are long there is one a minute.
        val_every: Epochs between measurements on the val split; the last epoch is always measured.
        num_test_clips: Clips per video whose scores are averaged when measuring.
        flip_test: Average each clip's scores with those of its mirror image. Not for classes that
            tell left from right.
        tensorboard: Write TensorBoard events.
    """

    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    save_every: int = 5
    val_every: int = 10
    num_test_clips: int = 1
    flip_test: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        expect_at_least(self, 1, "save_every", "val_every")
        is_few = 1 <= self.num_test_clips <= MAX_TEST_CLIPS
        expect(self, "num_test_clips", is_few, f"1 to {MAX_TEST_CLIPS}")
