"""What the network of flights learns from windows: the settings, the samples and the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.flight import FACTORS, FlightFactorNet
from ..config import OptimConfig, RuntimeConfig
from ..elements.flight_window import WINDOW_STEPS
from ..network_config import FlightNetConfig, expect, expect_at_least
from ..training.runner import SeededModule
from .flights import NAMES, UNKNOWN, LabelledWindow

_MEASURE_BATCH = 128
# Augmentation: steps by which a window is shifted, share by which it is scaled, and the chance of a
# joint to be hidden for a span of so many steps.
_SHIFT, _SCALE, _HIDDEN_PROB, _HIDDEN_STEPS = 3, 0.1, 0.05, 8
# Channels that are lengths; see ``elements.flight_window.CHANNELS``.
_LENGTHS = (0, 1, 3, 4, 5, 6)


@dataclass(frozen=True)
class TrainFlightConfig:
    """``skelact train-flight``: the network that reads flights, from simulated ones.

    Attributes:
        optim: Optimiser and schedule; a batch is of windows.
        network: Shape of the network.
        train_chunks: Chunks of ``flights.CHUNK`` simulated clips to learn from.
        train_seed: Seed of their simulation.
        held_out_chunks: Chunks to measure on.
        held_out_seed: Seed of their simulation.
        leave_out: Combinations of half somersaults, half twists and position, such as "5 3 pike",
            that nothing is learned from.
        runtime: How training runs.
    """

    optim: OptimConfig
    network: FlightNetConfig = field(default_factory=FlightNetConfig)
    train_chunks: int = 300
    train_seed: int = 11
    held_out_chunks: int = 24
    held_out_seed: int = 12
    leave_out: tuple[str, ...] = ()
    runtime: RuntimeConfig = field(default_factory=lambda: RuntimeConfig(precision="bf16"))

    def __post_init__(self) -> None:
        self.optim.expect_no_head()
        expect_at_least(self, 1, "train_chunks", "held_out_chunks")
        expect_at_least(self, 0, "train_seed", "held_out_seed")
        differ = self.train_seed != self.held_out_seed
        expect(self, "held_out_seed", differ, "another seed than train_seed")
        if WINDOW_STEPS % self.network.fold:
            raise ValueError(
                f"network.fold: expected a divisor of {WINDOW_STEPS}, got {self.network.fold}"
            )


@dataclass(frozen=True, eq=False)
class FlightWindows:
    """Windows to learn from or to measure on, all in memory.

    Attributes:
        joints: (N, 64, 17, 8) float16.
        facts: (N, 6) float32.
        labels: (N, 6) int8 in the order of ``models.flight.FACTORS``; -1 where it is not known.
    """

    joints: np.ndarray
    facts: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, windows: Sequence[LabelledWindow]) -> FlightWindows:
        """Put windows side by side."""
        return cls(
            np.stack([one.window.joints for one in windows]).astype(np.float16),
            np.stack([one.window.facts for one in windows]),
            np.array([one.labels for one in windows], np.int8),
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> list[str]:
        """Name of each window, for messages."""
        return [f"window {number}" for number in range(len(self))]

    def chosen(self, rows: np.ndarray) -> FlightWindows:
        """Return some of the windows."""
        return FlightWindows(self.joints[rows], self.facts[rows], self.labels[rows])

    def batch(self, inds: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Return joints and facts (float32) and labels (int64) of some windows."""
        rows = np.asarray(inds)
        joints = torch.from_numpy(self.joints[rows]).to(device, torch.float32)
        facts = torch.from_numpy(self.facts[rows]).to(device)
        return joints, facts, torch.from_numpy(self.labels[rows]).to(device, torch.int64)


class FlightTraining(SeededModule):
    """The network with its windows and loss: the sum of the factors' cross-entropies."""

    store: FlightWindows

    def __init__(
        self,
        net: FlightFactorNet,
        store: FlightWindows,
        held_out: FlightWindows,
        label_smoothing: float,
    ) -> None:
        super().__init__(store)
        self.net = net
        self.held_out = held_out
        self.label_smoothing = label_smoothing

    def forward(self, inds: Sequence[int]) -> dict[str, Tensor]:
        """Return the loss of a batch of windows, each factor's with what is known of it."""
        joints, facts, labels = self.store.batch(inds, next(self.parameters()).device)
        joints = augmented(joints, self.generator())
        losses: dict[str, Tensor] = {}
        for number, (name, logits) in enumerate(self.net(joints, facts).items()):
            known = labels[:, number] != UNKNOWN
            # A batch in which nothing is known of a factor has no mean; its sum is 0.
            total = F.cross_entropy(
                logits.float()[known], labels[known, number],
                label_smoothing=self.label_smoothing, reduction="sum",
            )  # fmt: skip
            losses[f"{name}_loss"] = total / known.sum().clamp(min=1)
        for loss in losses.values():
            self.checked(loss, inds)
        return losses

    def figures(self) -> dict[str, Any]:
        """Return the share of held-out windows that each factor is right in."""
        return measure(self.net, self.held_out)


def augmented(joints: Tensor, generator: torch.Generator) -> Tensor:
    """Return windows (N, T, V, C) shifted in time, scaled, and with joints hidden for a while."""
    count, steps, keypoints, channels = joints.shape

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=joints.device)

    shift = (draw(count) * (2 * _SHIFT + 1)).long() - _SHIFT
    source = torch.arange(steps, device=joints.device) + shift[:, None]  # (N, T)
    inside = ((source >= 0) & (source < steps))[..., None, None]
    index = source.clamp(0, steps - 1)[..., None, None].expand(-1, -1, keypoints, channels)
    shifted = joints.gather(1, index) * inside
    scale = torch.ones(count, channels, device=joints.device)
    scale[:, _LENGTHS] = 1 + _SCALE * (2 * draw(count, 1) - 1)
    spans = -(-steps // _HIDDEN_STEPS)
    shown = draw(count, spans, keypoints) >= _HIDDEN_PROB
    shown = shown.repeat_interleave(_HIDDEN_STEPS, dim=1)[:, :steps]
    return shifted * scale[:, None, None] * shown[..., None]


def measure(net: FlightFactorNet, windows: FlightWindows) -> dict[str, float]:
    """Return the share, 0 to 1, of windows that each factor is right in, where it is known."""
    was_training = net.training
    net.eval()
    device = next(net.parameters()).device
    right: dict[str, list[Tensor]] = {name: [] for name in FACTORS}
    with torch.inference_mode():
        for first in range(0, len(windows), _MEASURE_BATCH):
            inds = range(first, min(first + _MEASURE_BATCH, len(windows)))
            joints, facts, labels = windows.batch(inds, device)
            for number, (name, logits) in enumerate(net(joints, facts).items()):
                known = labels[:, number] != UNKNOWN
                right[name].append((logits.argmax(dim=1) == labels[:, number])[known])
    net.train(was_training)
    return {name: float(torch.cat(rows).float().mean()) for name, rows in right.items()}


def without(windows: FlightWindows, combinations: Sequence[tuple[int, int, int]]) -> FlightWindows:
    """Return the windows that show none of some (half somersaults, half twists, position)."""
    columns = [NAMES.index(name) for name in ("half_somersaults", "half_twists", "position")]
    shown = windows.labels[:, columns]
    out = np.zeros(len(windows), bool)
    for combination in combinations:
        out |= (shown == combination).all(axis=1)
    return windows.chosen(np.flatnonzero(~out))
