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
        (1.21, 4.18, 1.88, -5.06, 5.22, 39.73),
        (-1.21, -4.18, -1.88, 5.06, -5.22, -39.73),
    ),
    "part": (
        (5.35, -4.46, 2.82, -1.71),
        (-2.34, 5.20, -2.67, 1.05),
        (-3.01, -0.74, -0.15, 0.66),
    ),
    "hands": (
        (6.61, 5.77, -1.32, -6.20, 6.83, -7.19),
        (1.21, -5.19, 0.38, 3.20, -2.29, -6.47),
        (-7.13, -1.69, 1.58, 1.95, -3.04, 8.97),
        (-0.69, 1.12, -0.64, 1.05, -1.50, 4.69),
    ),
    "forward": (
        (0.52, -8.17, -14.56),
        (-0.52, 8.17, 14.56),
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
