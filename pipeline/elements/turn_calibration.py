"""Chances of what a turn heels over head is, by logistic regression on simulated clips.

The coefficients are what `benchmarks/turns.py fit` prints: of clips without errors of poses, with
the measured ones and with twice as large ones. `benchmarks/turns.py simulated` reports on clips
that nothing was fitted on. The first of a row is the constant; the others are of the features in
their order.

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
    "part": ("roll", "hands", "none"),
    "hands": ("flic_flac", "walkover", "cartwheel", "none"),
    "forward": ("back", "forward"),
}
_ROWS: dict[str, tuple[tuple[float, ...], ...]] = {
    "support": (
        (1.90, 2.78, 2.60, -4.87, 4.81, 6.64),
        (-1.90, -2.78, -2.60, 4.87, -4.81, -6.64),
    ),
    "part": (
        (6.58, -6.17, 1.30, -4.61),
        (-3.55, 4.96, -2.06, -1.12),
        (-3.02, 1.22, 0.76, 5.73),
    ),
    "hands": (
        (6.36, 0.68, -1.69, -3.45, 3.54, -5.11),
        (2.11, -3.00, 1.82, 0.82, 0.41, -13.55),
        (-8.18, 0.55, 1.41, 0.71, -2.24, 13.29),
        (-0.30, 1.77, -1.54, 1.93, -1.71, 5.37),
    ),
    "forward": (
        (0.59, -8.20, -13.00),
        (-0.59, 8.20, 13.00),
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
