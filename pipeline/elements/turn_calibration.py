"""Chances of what a turn heels over head is, by logistic regression on simulated clips.

Fitted on 1,200 turns of simulated clips, without errors of poses, with the measured ones and with
twice as large ones; `benchmarks/turns.py fit` does it anew on other draws, and
`benchmarks/turns.py simulated` reports on clips that nothing was fitted on. The first of a row is
the constant; the others are of the features in their order.

Each step asks for few features, of which physics says why they tell: of all that could be measured,
what is alike in simulated clips alone would tell as well, and be wrong of real ones.
"""

from __future__ import annotations

import numpy as np

from .element import Kind
from .turn_features import TurnFeatures

# Steps: features, and a row of coefficients for each outcome.
STEP_FEATURES = {
    "support": ("lowest_height", "rise", "center_height", "highest", "curvature"),
    "part": ("center_height", "wrist_height", "lowest_height"),
    "hands": ("highest", "leg_spread", "log_seconds", "log_seconds_inverted", "sideways"),
    "forward": ("front", "front_standing"),
}
STEP_OUTCOMES = {
    "support": ("flight", "held"),
    "part": ("roll", "hands", "none"),
    "hands": ("flic_flac", "walkover", "cartwheel", "none"),
    "forward": ("back", "forward"),
}
_ROWS: dict[str, tuple[tuple[float, ...], ...]] = {
    "support": (
        (1.40, 2.01, 0.59, -4.12, 4.31, 17.31),
        (-1.40, -2.01, -0.59, 4.12, -4.31, -17.31),
    ),
    "part": (
        (6.73, -5.36, 0.97, -3.25),
        (-4.39, 5.71, -0.58, -4.11),
        (-2.34, -0.35, -0.38, 7.36),
    ),
    "hands": (
        (4.20, 2.74, -0.73, -3.71, 2.61, -9.68),
        (0.92, -2.22, 0.33, 2.47, -1.44, -6.85),
        (-5.22, -0.49, 1.37, 0.10, -0.36, 11.09),
        (0.09, -0.02, -0.98, 1.14, -0.81, 5.44),
    ),
    "forward": (
        (0.37, -4.94, -3.89),
        (-0.37, 4.94, 3.89),
    ),
}


def held_chance(features: TurnFeatures) -> float:
    """Return the chance that a body on the ground is held up, and does not fly."""
    return _step("support", features)["held"]


def kind_chances(features: TurnFeatures) -> dict[Kind | str, float]:
    """Return the chance of each kind, and of "none" of them; they sum to 1."""
    held = held_chance(features)
    part, hands = _step("part", features), _step("hands", features)
    chances = {name: held * part["hands"] * chance for name, chance in hands.items()}
    chances["roll"] = held * part["roll"]
    chances["none"] = 1 - sum(chance for name, chance in chances.items() if name != "none")
    return chances


def forward_chance(features: TurnFeatures) -> float:
    """Return the chance that a body turns towards its chest; else it turns towards its back."""
    return _step("forward", features)["forward"]


def _step(name: str, features: TurnFeatures) -> dict[str, float]:
    rows = np.array(_ROWS[name])
    logits = rows[:, 0] + rows[:, 1:] @ features.pick(STEP_FEATURES[name])
    chances = np.exp(logits - logits.max())
    return dict(zip(STEP_OUTCOMES[name], (chances / chances.sum()).tolist()))
