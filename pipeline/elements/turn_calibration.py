"""Chances of what a turn heels over head is, by logistic regression on simulated clips.

The coefficients are what `benchmarks/turns.py fit` prints, with L2 penalties that cross-validation
chooses: of clips without errors of poses, with the measured ones and with twice as large ones.
`benchmarks/turns.py simulated` reports on clips that nothing was fitted on. The first of a row is
the constant; the others are of the features in their order.

Each step asks for few features, of which physics says why they tell: of all that could be measured,
what is alike in simulated clips alone would tell as well, and be wrong of real ones.
"""

from __future__ import annotations

import numpy as np

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
    "part": ("roll", "hands"),
    "hands": ("flic_flac", "walkover", "cartwheel", "none"),
    "forward": ("back", "forward"),
}
_ROWS: dict[str, tuple[tuple[float, ...], ...]] = {
    "support": (
        (1.59, 4.15, 1.96, -5.87, 6.37, 40.13),
        (-1.59, -4.15, -1.96, 5.87, -6.37, -40.13),
    ),
    "part": (
        (4.48, -5.42, 2.87, -1.23),
        (-4.48, 5.42, -2.87, 1.23),
    ),
    "hands": (
        (5.50, 4.70, -1.19, -4.51, 5.14, -6.35),
        (1.38, -4.64, 0.37, 2.49, -1.67, -6.11),
        (-6.26, -1.31, 1.42, 1.22, -2.30, 8.26),
        (-0.63, 1.26, -0.60, 0.80, -1.18, 4.20),
    ),
    "forward": (
        (0.44, -6.70, -10.36),
        (-0.44, 6.70, 10.36),
    ),
}


def held_chance(features: TurnFeatures) -> float:
    """Return the chance that a body on the ground is held up, and does not fly."""
    return _step("support", features)["held"]


def kind_chances(features: TurnFeatures) -> dict[str, float]:
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
