"""How far the counter and the network are to be believed: powers of their chances.

Fitted by maximum likelihood on simulated flights that neither was fitted on: the logarithmic pool
is a multinomial logistic regression on the logs of both, with two weights and no constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

from ..checkpoints.flight_factors import POOLED
from ..elements.flight_answers import answers_about
from ..elements.flight_reader import FlightReading, ReadFlights
from ..elements.flight_window import flight_window
from .flights import NAMES, UNKNOWN, SimulatedClip, labelled_spans

# Powers to begin with, and those that a power may have.
_START, _BOUNDS = (0.5, 0.5), (0.0, 3.0)
_COUNTER_ALONE = (1.0, 0.0)
# Weight of a squared power's distance from the start, in flights: a factor that is always right
# would have powers without end.
_DECAY = 0.1


@dataclass(frozen=True, eq=False)
class _Noted(FlightReading):
    """A reading that keeps what the counter says beside it."""

    counted: dict[str, np.ndarray] = field(default_factory=dict)

    def pooled(self, factor: str, counted: np.ndarray) -> np.ndarray:
        self.counted[factor] = counted
        return super().pooled(factor, counted)


def fit_powers(
    clips: Iterable[SimulatedClip], read: ReadFlights, factors: Sequence[str] = POOLED
) -> dict[str, tuple[float, float]]:
    """Return the powers of the counter's chances and of the network's, by factor.

    Args:
        clips: Simulated clips that neither was fitted on.
        read: The network.
        factors: Those that are pooled; the counter tells the others alone.
    """
    powers = dict.fromkeys(POOLED, _COUNTER_ALONE) | dict.fromkeys(factors, _START)
    rows: dict[str, list[tuple[np.ndarray, int]]] = {name: [] for name in factors}
    for clip in clips:
        for noted, labels in _noted_flights(clip, read, powers):
            for name in factors:
                label = labels[NAMES.index(name)]
                if label != UNKNOWN:
                    logs = noted.logs(name, noted.counted[name])
                    rows[name].append((np.stack(logs), label))
    return powers | {name: _fit(found) for name, found in rows.items()}


def _noted_flights(
    clip: SimulatedClip, read: ReadFlights, powers: dict[str, tuple[float, float]]
) -> Iterator[tuple[_Noted, tuple[int, ...]]]:
    """Yield what is said of the flights that a clip shows, and what is true of them."""
    for followed, span, labels in labelled_spans(clip):
        if not labels[NAMES.index("whole")]:
            continue
        (reading,) = read([flight_window(followed, span, clip.seconds)])
        noted = _Noted(reading.chances, powers)
        answers_about(
            span, followed.body, followed.path, followed.agreement, clip.seconds,
            knows_camera=True, reading=noted,
        )  # fmt: skip
        yield noted, labels


def _fit(rows: list[tuple[np.ndarray, int]]) -> tuple[float, float]:
    """Return the powers that make the labels most probable.

    Args:
        rows: Of each flight the logs (2, K) of both chances, and the label.
    """
    if not rows:
        return _START
    logs = np.stack([row for row, _ in rows], axis=1)  # (2, N, K)
    truth = np.array([label for _, label in rows])

    def loss(powers: np.ndarray) -> float:
        logits = np.tensordot(powers, logs, 1)
        logits = logits - logits.max(axis=1, keepdims=True)
        likely = logits[np.arange(len(truth)), truth] - np.log(np.exp(logits).sum(axis=1))
        return float(-likely.sum() + _DECAY * ((powers - _START) ** 2).sum())

    found = minimize(loss, _START, method="Nelder-Mead", bounds=[_BOUNDS, _BOUNDS]).x
    counter, network = (round(float(power), 3) for power in found)
    return counter, network
