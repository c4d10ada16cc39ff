"""Whether keypoints stay where they are in half precision, told from the first real crops.

    crops -> heatmaps in half precision and in fp32 -> keypoints of both
        -> the engine that goes on, noted in the user's cache

Noise will not do: what half precision loses depends on how sharp the heatmaps of people are.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..common.files import cache_folder
from ..nets.notes import MachineNotes, releases

if TYPE_CHECKING:
    from ..nets.engines import Engine, EngineOptions, EngineSource, ImageNetwork

# Keypoints with a lower score in fp32 do not count: two places of their heatmap may be alike.
_SCORE_THR = 0.3
# Pixels of a crop that keypoints may move by, on average and, of a hundred, all but one: a cell of
# a heatmap is four.
_MOST_MEAN, _MOST_P99 = 0.3, 2.0
# So many keypoints tell: ten of them are beyond the 99th percentile.
_ENOUGH = 1000


class PrecisionTrial:
    """Runs a pose network in half precision and in fp32, until it is known which one goes on.

    Attributes:
        half: The network in half precision.
        full: In fp32: what it gives counts meanwhile.

    Args:
        notes: Where the verdict is kept.
        machine: What it holds for.
    """

    def __init__(self, half: Engine, full: Engine, notes: MachineNotes, machine: str) -> None:
        self.half = half
        self.full = full
        self._notes = notes
        self._machine = machine
        self._moved: list[np.ndarray] = []

    def judge(
        self, half: np.ndarray, full: np.ndarray, scores: np.ndarray, crop_pixels: np.ndarray
    ) -> Engine | None:
        """Take keypoints of both; return the engine that goes on, or None as long as it is open.

        Args:
            half: (N, V, 2) keypoints in half precision, pixels of the frame.
            full: (N, V, 2) those in fp32.
            scores: (N, V) those of fp32.
            crop_pixels: (N,) pixels of a crop per pixel of its frame.
        """
        moved = np.linalg.norm(half - full, axis=-1) * crop_pixels[:, None]
        # What is not a number has moved out of sight.
        self._moved.append(np.nan_to_num(moved[scores > _SCORE_THR], nan=np.inf))
        values = np.concatenate(self._moved)
        if len(values) < _ENOUGH:
            return None
        mean, p99 = float(values.mean()), float(np.quantile(values, 0.99, method="higher"))
        stays = mean <= _MOST_MEAN and p99 <= _MOST_P99
        note = {
            "precision": "half" if stays else "fp32",
            "keypoints": len(values),
            "mean_pixels": round(mean, 4) if np.isfinite(mean) else None,
            "p99_pixels": round(p99, 4) if np.isfinite(p99) else None,
        }
        with suppress(OSError):  # without a cache each process tells it anew
            self._notes.add(self._machine, note)
        return self.half if stays else self.full


def engine_or_trial(
    network: ImageNetwork, options: EngineOptions, engines: EngineSource
) -> Engine | PrecisionTrial:
    """Return what runs a pose network; a trial where it is not known whether half precision can.

    It concerns the precision "auto" alone: one that is asked for is taken.

    Args:
        network: The network, on the CPU and in evaluation.
        options: How it is run.
        engines: Where engines come from.

    Raises:
        SkelactError: as ``choose_engine`` does.
    """
    import torch

    from ..nets.engine_choice import fingerprint

    device = engines.device(options)
    dtype = options.dtype(device)
    if options.precision != "auto" or dtype == torch.float32:
        return engines.engine(network, options)
    name = engines.device_name(options)
    machine = f"{name}, {str(dtype).removeprefix('torch.')}, {releases('torch')}"
    path = cache_folder() / "engines" / f"{fingerprint(network)}.precision.json"
    notes = MachineNotes(path, ("precision", ("half", "fp32")))
    # Elsewhere "auto" would be another engine.
    same = options.engine if device.type == "cuda" else "pytorch"
    full = engines.engine(network, replace(options, engine=same, precision="fp32"))
    half = engines.engine(network, options)
    note = notes.read().get(machine)
    if note is None:
        return PrecisionTrial(half, full, notes, machine)
    return half if note["precision"] == "half" else full
