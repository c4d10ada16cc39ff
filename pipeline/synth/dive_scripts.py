"""Scripts of dives: approach, hurdle or back press, armstand; flight; entry; surfacing."""

from __future__ import annotations

import numpy as np

from ..elements.element import Element
from .posture import POSTURES, changed
from .script import LANDING, OTHER, ElementSpan, Scene, Script

GRAVITY = 9.81
_PLATFORMS = (5.0, 7.5, 10.0)
# Upward speeds at the take-off, m/s, set by hand: with them a flight takes 1.2 s from 1 m, 1.4 s
# from 3 m and 1.7 s from 10 m (``benchmarks/simulator.py``).
_SPEEDS = {"springboard": (4.4, 5.7), "platform": (2.2, 3.2), "armstand": (0.2, 1.0)}
# Metres of the centre of mass above the toes at the take-off and above the hands or feet at the
# entry, which a script only needs to draw a time; the flight itself is ballistic in the body's own
# metres.
_CENTER_UP, _CENTER_HANDS, _CENTER_FEET = 1.02, 1.0, 0.9
# Seconds that a springboard is bent down before it throws the diver up, set by hand.
_PRESS_SECONDS = 0.42


def dive_script(dive: Element, rng: np.random.Generator, height: float | None = None) -> Script:
    """Draw the script of a dive, from before its approach until after the diver has come up.

    Args:
        dive: All factors known.
        rng: Random state.
        height: Metres of the board; drawn from those that the dive is done from without it.
    """
    armstand = str(dive.takeoff).startswith("armstand")
    height = _draw_height(dive, armstand, rng) if height is None else height
    kind = "springboard" if height <= 3 and not armstand else "platform"
    script = Script(Scene(kind, height, has_water=True), rng)  # type: ignore[arg-type]
    upward = rng.uniform(*_SPEEDS["armstand" if armstand else kind])
    if not armstand:
        upward += 0.12 * ((dive.half_somersaults or 0) - 4)
    pitch_sign = 1.0 if dive.rotates_forward == dive.faces_water else -1.0
    lean = rng.uniform(5, 13) * (1.5 if armstand else 1.0)
    if armstand:
        _armstand(script, dive, lean * pitch_sign, rng)
    elif dive.faces_water:
        _approach(script, kind, upward, lean * pitch_sign, rng)
    else:
        _back_press(script, kind, upward, lean * pitch_sign, rng)
    _fly(script, dive, upward, pitch_sign, lean, rng)
    _enter(script, rng)
    return script


def _draw_height(dive: Element, armstand: bool, rng: np.random.Generator) -> float:
    halves, twists = dive.half_somersaults or 0, dive.half_twists or 0
    if armstand:
        return float(rng.choice(_PLATFORMS, p=(0.1, 0.15, 0.75)))
    heights, weights = [3.0, 5.0, 7.5, 10.0], [0.45, 0.08, 0.1, 0.37]
    if halves <= 5 and twists <= 3:
        heights, weights = [1.0, *heights], [0.18, *weights]
    if halves >= 7 or twists >= 6:
        heights, weights = [3.0, 10.0], [0.4, 0.6]
    return float(rng.choice(heights, p=np.array(weights) / sum(weights)))


def _fly(
    script: Script,
    dive: Element,
    upward: float,
    sign: float,
    lean: float,
    rng: np.random.Generator,
) -> None:
    head_first = bool(dive.enters_head_first)
    fall = script.scene.height + _CENTER_UP - (_CENTER_HANDS if head_first else _CENTER_FEET)
    seconds = (upward + np.sqrt(upward**2 + 2 * GRAVITY * fall)) / GRAVITY
    start = script.time
    total = sign * (180.0 * (dive.half_somersaults or 0) - lean + rng.normal(0, 2.5))
    end = POSTURES["reach"] if head_first else POSTURES["stand"]
    script.anchor = len(script.spans) - 1
    twist = 180.0 * (dive.half_twists or 0) * rng.choice([-1.0, 1.0])
    script.fly(dive, float(seconds), pitch=total, twist=twist, end=end, surface=0.0,
               speed=float(rng.uniform(0.6, 1.2)))  # fmt: skip
    script.elements.append(ElementSpan(dive, start, script.time))


def _approach(
    script: Script, kind: str, upward: float, lean: float, rng: np.random.Generator
) -> None:
    """Stand, walk, hurdle and press; from platforms some divers stand still or run."""
    script.begin("stand")
    script.hold(rng.uniform(0.4, 1.6), [(1.0, "stand")])
    standing = kind == "platform" and rng.random() < 0.3
    if standing:
        script.hold(rng.uniform(0.5, 1.2), [(0.6, "reach"), (1.0, "reach")])
    else:
        script.walk(int(rng.integers(2, 4)), rng.uniform(0.42, 0.58), rng.uniform(22, 30))
        knee_up = changed(POSTURES["reach"], hip_l=85.0, knee_l=95.0)
        script.hold(0.22, [(1.0, "swing_back")])
        air = rng.uniform(0.45, 0.58) if kind == "springboard" else rng.uniform(0.24, 0.34)
        script.hold(air, [(0.45, knee_up), (0.9, "reach")], contact="air", speed=1.1)
    _push(script, kind, upward, lean, rng, quick=not standing)


def _back_press(
    script: Script, kind: str, upward: float, lean: float, rng: np.random.Generator
) -> None:
    """Walk to the end and turn round, lift the arms, and press."""
    walks = rng.random() < 0.4
    script.begin("stand", twist=0.0 if walks else 180.0)
    if walks:
        script.walk(2, 0.5, 20)
        script.hold(rng.uniform(0.8, 1.3), [(0.5, "stand"), (1.0, "stand")], twist=180.0)
    script.hold(rng.uniform(0.4, 1.5), [(1.0, "stand")])
    script.hold(rng.uniform(0.5, 0.9), [(0.8, "reach"), (1.0, "reach")])
    if kind == "springboard":
        dip = rng.uniform(0.05, 0.12)
        for _ in range(int(rng.integers(1, 3))):
            script.hold(0.55, [(0.5, "t"), (1.0, "reach")], dip=dip)
    script.hold(rng.uniform(0.28, 0.4), [(1.0, "swing_back")])
    _push(script, kind, upward, lean, rng, quick=False)


def _push(
    script: Script, kind: str, upward: float, lean: float, rng: np.random.Generator, quick: bool
) -> None:
    """Bend, and push off: a springboard that goes down d and up again throws with pi d / t."""
    seconds = _PRESS_SECONDS if kind == "springboard" else (0.2 if quick else 0.34)
    dip = upward * seconds / np.pi * 0.85 if kind == "springboard" else 0.0
    shape = "dip_arms_up" if quick and rng.random() < 0.6 else "dip"
    script.hold(seconds, [(0.45, shape)], dip=float(dip), pitch=lean, rotate=(0.5, 1.0))


def _armstand(script: Script, dive: Element, lean: float, rng: np.random.Generator) -> None:
    """Hands down, kick or press to the handstand, hold it, tip over."""
    if dive.faces_water:
        # Who stood facing the water has the chest to the platform in the handstand.
        script.begin("stand")
        script.hold(rng.uniform(0.3, 0.8), [(1.0, "stand")])
        script.hold(0.8, [(0.9, "hip_down")], pitch=70.0)
        raised = changed(POSTURES["handstand"], hip=40.0)
        script.hold(rng.uniform(0.9, 1.5), [(0.7, raised), (1.0, "handstand")], pitch=110.0)
    else:
        script.begin("handstand", pitch=-180.0, twist=180.0)
    script.hold(rng.uniform(0.8, 2.2), [(1.0, "handstand")])
    script.hold(rng.uniform(0.45, 0.6), [(0.9, "handstand")], pitch=lean, rotate=(0.2, 1.0))


def _enter(script: Script, rng: np.random.Generator) -> None:
    """Go under, come up after a while, and swim aside."""
    script.hold(rng.uniform(0.45, 0.7), [], phase=LANDING, contact="water", surface=0.0)
    upright = 360.0 * np.round(script.pitch / 360.0) - script.pitch
    script.hold(rng.uniform(0.9, 1.6), [(0.8, "stand")], phase=OTHER, contact="rise", surface=0.0,
                pitch=float(upright))  # fmt: skip
    paddle = changed(POSTURES["stand"], lift=70.0, out=30.0, elbow=60.0)
    script.hold(
        rng.uniform(0.5, 2.0),
        [(0.3, paddle), (1.0, "sprawl")],
        phase=OTHER,
        contact="rise",
        surface=0.0,
    )
