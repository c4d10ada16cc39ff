"""What the network of flights says, and how it is put together with what the counter says.

    windows -> network -> chances of each factor
    counter's chances, network's chances -> logarithmic opinion pool (Genest and Zidek 1986)

The pool is their normalised geometric mean: where they do not agree it is less sure. On simulated
flights powers that are fitted leave little but the network, which has learned from such flights;
real ones are not quite like those, and what physics says counts as much there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ... import SkelactError
from ...pose_extract.common.files import PACKAGE_FOLDER
from .flight_window import CHANNELS, NUM_FACTS, WINDOW_STEPS, FlightWindow

SHIPPED_FLIGHT_NET = PACKAGE_FOLDER / "models" / "pretrained" / "flight_factors.json"
# Nothing is impossible: a chance of 0 would rule out what the other one is sure of.
_LEAST_CHANCE = 1e-4


@dataclass(frozen=True, eq=False)
class FlightReading:
    """What the network says of one flight.

    Attributes:
        chances: Of each factor of ``models.flight.FACTORS``, the chance (K,) of each value.
        share: The power of these chances; those of the counter have the rest of 1.
    """

    chances: Mapping[str, np.ndarray]
    share: float = 0.5

    @property
    def whole(self) -> float:
        """The chance that the window shows a flight, and not a part of one or more than one.

        The counter has none.
        """
        return float(self.chances["whole"][1])

    def pooled(self, factor: str, counted: np.ndarray) -> np.ndarray:
        """Return chances (K,) from those of the counter, (K,), and of the network.

        What the network has no value for it takes for next to impossible.
        """
        read = np.zeros(len(counted))
        read[: len(self.chances[factor])] = self.chances[factor]
        mine, its = (np.log(np.maximum(chances, _LEAST_CHANCE)) for chances in (counted, read))
        logs = (1 - self.share) * mine + self.share * its
        chances: np.ndarray = np.exp(logs - logs.max())
        return chances / chances.sum()


# Windows become readings; ``flight_reader`` makes one.
ReadFlights = Callable[[Sequence[FlightWindow]], list[FlightReading]]


@lru_cache(maxsize=4)
def flight_reader(path: Path, share: float = 0.5) -> ReadFlights:
    """Load a network that reads flights.

    Args:
        path: Its model file.
        share: The power of its chances; those of the counter have the rest of 1.

    Raises:
        SkelactError: if it cannot be loaded, or reads other windows than this version makes.
    """
    import torch

    from ..checkpoints.flight_factors import load_flight_net

    net, meta = load_flight_net(path)
    fold, channels, facts = meta.network.fold, meta.channels, meta.num_facts
    if WINDOW_STEPS % fold or (channels, facts) != (CHANNELS, NUM_FACTS):
        raise SkelactError(
            f"the network of flights: expected windows of {CHANNELS} channels, {NUM_FACTS} facts "
            f"and a fold that divides {WINDOW_STEPS} steps, got {channels}, {facts} and {fold}"
        )

    def read(windows: Sequence[FlightWindow]) -> list[FlightReading]:
        joints = torch.from_numpy(np.stack([window.joints for window in windows]))
        facts = torch.from_numpy(np.stack([window.facts for window in windows]))
        with torch.inference_mode():
            found = {k: v.softmax(dim=1).double().numpy() for k, v in net(joints, facts).items()}
        return [
            FlightReading({name: rows[i] for name, rows in found.items()}, share)
            for i in range(len(windows))
        ]

    return read


def read_flights(windows: Sequence[FlightWindow]) -> list[FlightReading]:
    """Read windows with the network that ships, which is loaded when the first ones come."""
    return flight_reader(SHIPPED_FLIGHT_NET)(windows)
