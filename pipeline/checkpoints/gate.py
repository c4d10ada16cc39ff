"""Whether a clip shows one of a classifier's actions, and how probable each of them is then."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Judgement:
    """What a gate says of a clip.

    Attributes:
        unknown: Whether the clip shows none of the classifier's actions.
        probabilities: (K,) float64, calibrated: what each class has if the clip shows one of them.
    """

    unknown: bool
    probabilities: np.ndarray


@dataclass(frozen=True)
class Gate:
    """The decision between "one of its actions" and "unknown", and the calibration.

    Attributes:
        novelty_thr: A clip of higher novelty (see ``models.novelty``) is unknown.
        temperature: Above 0; the log of the scores is divided by it (Guo et al. 2017, "On
            calibration of modern neural networks"), after the mean over the views of a clip
            (Rahaman and Thiery 2021, "Uncertainty quantification and deep ensembles"). The order of
            the classes stays.
        fitted_on: Clips that both were fitted on: "val", held out, or "train", augmented anew.
    """

    novelty_thr: float = math.inf
    temperature: float = 1.0
    fitted_on: str = ""

    def __post_init__(self) -> None:
        if math.isnan(self.novelty_thr) or not 0 < self.temperature < math.inf:
            raise ValueError(
                "expected a threshold of novelty and a temperature above 0, got "
                f"{self.novelty_thr} and {self.temperature}"
            )

    def judge(self, scores: np.ndarray, novelty: float | None) -> Judgement:
        """Judge a clip.

        Args:
            scores: (K,) class probabilities, the mean over the views of the clip.
            novelty: The mean over its views; None where the classifier does not measure it.
        """
        is_unknown = novelty is not None and novelty > self.novelty_thr
        return Judgement(is_unknown, tempered(scores, self.temperature))


def tempered(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (..., K) float64 at a temperature; 1 leaves them as they are."""
    if temperature == 1:
        return np.asarray(scores, np.float64)
    # Half precision and underflow give zeros, which stay the least probable.
    logits = np.log(np.maximum(scores, np.finfo(np.float32).tiny).astype(np.float64)) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities
