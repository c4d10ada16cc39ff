"""Scripts become motion: rotation by mechanics, centres of mass by contacts and ballistics.

World axes as in ``flight.py``; metres, seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...pose_extract.layout import COCO_17
from .body import Body
from .curves import Curves, make_curves, padded_rows
from .rotation import rotations
from .script import Script, Span

GRAVITY = 9.81
# Metres from a joint to the skin that touches the ground, by joint: foot, hand, knee, seat, back,
# head.
_SKIN = {"ankle": 0.08, "wrist": 0.05, "knee": 0.06, "hip": 0.1, "shoulder": 0.09, "elbow": 0.04,
         "ear": 0.06, "eye": 0.05, "nose": 0.03}  # fmt: skip
_CLEARANCE = np.array([_SKIN[name.split("_")[-1]] for name in COCO_17.keypoint_names])
# Metres within which joints share the weight: what is higher than the lowest by more carries none.
_SHARE = 0.012
# Under water the speed decays at 5 per second, which stops a diver from ten metres within three.
_DRAG = 5.0
_WRISTS = [COCO_17.index("left_wrist"), COCO_17.index("right_wrist")]
# Metres of the centre of mass below the surface of who has come up, and seconds to come up.
_FLOATING, _RISE_SECONDS = 0.45, 1.1


@dataclass(frozen=True, eq=False)
class Motion:
    """N clips in three dimensions.

    Attributes:
        times: (N, T) float64 seconds of the script.
        joints: (N, T, 17, 3) float32 metres, world axes, COCO-17 order.
        center: (N, T, 3) float32 metres, the centre of mass.
        phase: (N, T) int8: 0 other, 1 on the board or apparatus, 2 flight, 3 entry or landing.
        pitch: (N, T) float32 degrees, unwrapped somersault, positive where the head moves to x.
        tilt: (N, T) float32 degrees.
        twist: (N, T) float32 degrees, unwrapped; 0 faces x, positive to the left.
        height: (N,) float32 metres, of the body.
        scripts: The N scripts.
        solved: (N,) bool, whether all flights came out as planned.
        bodies: The N bodies.
        curves: Postures and angles at any time.
    """

    times: np.ndarray
    joints: np.ndarray
    center: np.ndarray
    phase: np.ndarray
    pitch: np.ndarray
    tilt: np.ndarray
    twist: np.ndarray
    height: np.ndarray
    scripts: Sequence[Script]
    solved: np.ndarray
    bodies: Body
    curves: Curves


def simulate(
    scripts: Sequence[Script], times: Sequence[np.ndarray], rng: np.random.Generator
) -> Motion:
    """Simulate scripts by bodies of random proportions.

    Args:
        scripts: N scripts.
        times: For each, the seconds (T_n,) of the script to look at, ascending; shorter ones are
            padded at the end by their last.
        rng: Random state.
    """
    body = Body(len(scripts), rng)
    curves = make_curves(scripts, body)
    starts = [np.array([s.start for s in script.spans] + [script.time]) for script in scripts]
    # Contacts change at known times, which are looked at as well.
    every = [np.union1d(t, bounds) for t, bounds in zip(times, starts)]
    (padded,) = padded_rows([(t,) for t in every])
    angles = curves.angles(padded)
    points = body.points(curves.postures(padded))
    axes = np.swapaxes(rotations(angles), -1, -2)
    center = body.center(points)[:, :, None]
    joints = (body.coco(points) - center) @ axes
    place = np.stack([
        _place(script, t, joints[i, : len(t)], padded.shape[1])
        for i, (script, t) in enumerate(zip(scripts, every))
    ])  # fmt: skip
    (wanted,) = padded_rows([(np.searchsorted(e, t),) for e, t in zip(every, times)])
    wanted = wanted.astype(int)

    def pick(values: np.ndarray) -> np.ndarray:
        return values[np.arange(len(values))[:, None], wanted]

    joints, place = pick(joints), pick(place)
    chosen = pick(padded)
    angles = pick(angles).astype(np.float32)
    return Motion(
        chosen,
        (joints + place[:, :, None]).astype(np.float32),
        place.astype(np.float32),
        np.stack([_phase(script, t) for script, t in zip(scripts, chosen)]),
        angles[..., 0],
        angles[..., 1],
        angles[..., 2],
        body.height,
        scripts,
        curves.solved,
        body,
        curves,
    )


def _phase(script: Script, times: np.ndarray) -> np.ndarray:
    starts = np.array([span.start for span in script.spans])
    phases = np.array([span.phase for span in script.spans], np.int8)
    out: np.ndarray = phases[(np.searchsorted(starts, times, side="right") - 1).clip(0)]
    return out


def _place(script: Script, times: np.ndarray, joints: np.ndarray, length: int) -> np.ndarray:
    """Return the centre of mass (length, 3) of one clip.

    Args:
        script: The script.
        times: (T,) seconds, with all bounds of spans among them.
        joints: (T, 17, 3) metres from the centre of mass, world axes.
        length: Length to pad to.
    """
    out = np.zeros((length, 3))
    weights, low = _carrying(joints)
    for span in script.spans:
        first, last = (int(np.searchsorted(times, t - 1e-9)) for t in (span.start, span.end))
        rows = slice(first, last + 1)
        out[rows] = _span_place(
            span, times[rows], joints[rows], weights[rows], low[rows], out[first]
        )
    last = int(np.searchsorted(times, script.spans[script.anchor].end - 1e-9))
    contact = (weights[last, :, None] * joints[last]).sum(axis=0) + out[last]
    if script.spans[script.anchor].contact == "bar":
        contact = joints[last, _WRISTS].mean(axis=0) + out[last]
    out[: len(times), [0, 2]] -= contact[[0, 2]]
    out[len(times) :] = out[len(times) - 1]
    return out


def _carrying(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how joints share the weight (T, 17), and the height of the lowest skin (T,)."""
    skin = joints[..., 1] - _CLEARANCE
    low = skin.min(axis=1)
    weights = np.exp(-(skin - low[:, None]) / _SHARE)
    return weights / weights.sum(axis=1, keepdims=True), low


def _span_place(
    span: Span,
    times: np.ndarray,
    joints: np.ndarray,
    weights: np.ndarray,
    low: np.ndarray,
    start: np.ndarray,
) -> np.ndarray:
    """Return the centre of mass (T, 3) during a span that begins at ``start``."""
    since, seconds = times - times[0], span.end - span.start
    out = np.repeat(start[None], len(times), axis=0)
    if span.contact == "surface":
        # What carries the weight does not slip: the body moves past it.
        held = (weights[1:] + weights[:-1]) / 2
        slip = (held[..., None] * np.diff(joints, axis=0)).sum(axis=1)
        out[1:, [0, 2]] -= np.cumsum(slip, axis=0)[:, [0, 2]]
        out[:, 1] = span.surface - span.dip * np.sin(np.pi * since / seconds) - low
    elif span.contact == "bar":
        wrists = joints[:, _WRISTS].mean(axis=1)
        out -= wrists - wrists[:1]
        out[:, 1] = span.surface - wrists[:, 1]
    elif span.contact == "air":
        end = span.surface - low[-1]
        upward = (end - start[1]) / seconds + GRAVITY * seconds / 2
        out[:, 0] += span.speed * since
        out[:, 1] += upward * since - GRAVITY / 2 * since**2
    elif span.contact == "water":
        # Entered head or feet first, a body has fallen from some metres: v = sqrt(2 g h).
        speed = np.sqrt(2 * GRAVITY * 5.0)
        out[:, 1] -= speed / _DRAG * (1 - np.exp(-_DRAG * since))
    else:
        u = (since / _RISE_SECONDS).clip(0, 1)
        out[:, 1] += (-_FLOATING - start[1]) * u * u * (3 - 2 * u)
        out[:, 0] += 0.4 * since
    return out
