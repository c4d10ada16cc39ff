"""What pre-training learns from beside hidden tubes; each section checks its own values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .data.augment import AugmentConfig
from .network_config import expect, expect_at_least


@dataclass(frozen=True)
class ContrastConfig:
    """Contrast of clips beside the reconstruction of tubes; see ``models.contrast``.

    Attributes:
        weight: Weight of its loss beside the reconstruction's; 0 is off.
        temperature: Of the softmax over similarities.
        num_neighbours: The positive of a view is drawn from so many nearest clips, too.
        neighbours_from: Share of the epochs after which it is; 1 is never.
        reconstruct: Whether tubes are reconstructed, too; without, a step costs a third less.
        tube_ratio: Chance that a part is hidden in a span of a view, as ``mask.tube_ratio``.
        views: How the two views of a clip are augmented.
    """

    weight: float = 0.0
    temperature: float = 0.1
    num_neighbours: int = 3
    neighbours_from: float = 0.2
    reconstruct: bool = True
    tube_ratio: float = 0.3
    views: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        expect_at_least(self, 0, "weight")
        expect(self, "temperature", 0 < self.temperature < math.inf, "above 0")
        expect_at_least(self, 1, "num_neighbours")
        expect(self, "neighbours_from", 0 <= self.neighbours_from <= 1, "0 to 1")
        expect(self, "tube_ratio", 0 < self.tube_ratio < 1, "a share between 0 and 1")
        if not self.reconstruct and not self.weight:
            raise ValueError("reconstruct: expected a contrast.weight above 0 without it, got 0")


@dataclass(frozen=True)
class TeacherConfig:
    """Features of the encoder's own moving average as targets; see ``models.teacher``.

    Attributes:
        weight: Weight of its loss; 0 is off.
        momentum: Share of the teacher's weights that stays in a step. data2vec's is .999 and more,
            over 100 000 steps; ours are hundreds. Set by hand.
    """

    weight: float = 0.0
    momentum: float = 0.98

    def __post_init__(self) -> None:
        expect_at_least(self, 0, "weight")
        expect(self, "momentum", 0 <= self.momentum < 1, "0 to below 1")


@dataclass(frozen=True)
class SimulatedConfig:
    """Simulated clips beside the data set, seen with errors and exact.

    Attributes:
        file: File of ``skelact synth pairs``; environment variables are filled in. Empty for none.
        batch_size: Simulated clips of a step.
        denoise_weight: Weight of the loss of joints rebuilt from poses with errors.
        physics_weight: Weight of the loss of what the simulator knows of each frame; see
            ``models.physics``.
    """

    file: str = ""
    batch_size: int = 32
    denoise_weight: float = 1.0
    physics_weight: float = 1.0

    def __post_init__(self) -> None:
        expect_at_least(self, 0, "denoise_weight", "physics_weight")
        expect_at_least(self, 1, "batch_size")
        if self.file and not self.denoise_weight + self.physics_weight:
            raise ValueError("denoise_weight: expected a loss for the simulated clips, got 0")
