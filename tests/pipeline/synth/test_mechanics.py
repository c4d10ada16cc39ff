"""Simulated flights keep the rules of diving and of mechanics."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pipeline.elements.element import Element, diving48_elements
from skelact.pipeline.synth.body import Body
from skelact.pipeline.synth.dive_scripts import dive_script
from skelact.pipeline.synth.flight import rotations
from skelact.pipeline.synth.gymnastics_scripts import gymnastics_script
from skelact.pipeline.synth.motion import GRAVITY, simulate
from skelact.pipeline.synth.posture import POSTURES, mirrored
from skelact.pose_extract.layout import COCO_17

RATE = 120.0
COUNT = 6
NUMBERS = ("626C", "6243D", "612B", "636C", "101A", "5237D", "5154B")


def fly(elements, seed=0, make=dive_script):
    """Return the motion of elements at 120 Hz, those that could not be solved left out."""
    rng = np.random.default_rng(seed)
    scripts = [make(element, rng) for element in elements]
    times = [np.arange(0, script.time, 1 / RATE) for script in scripts]
    motion = simulate(scripts, times, rng)
    assert motion.solved.any()
    return motion, np.flatnonzero(motion.solved)


def bounds(motion, i, number=0):
    span = motion.scripts[i].elements[number]
    return np.searchsorted(motion.times[i], [span.start, span.end])


def pair(motion, i, joint):
    sides = [COCO_17.index(f"{side}_{joint}") for side in ("left", "right")]
    return motion.joints[i][:, sides].mean(axis=1)


ALL = {e.code: e for e in diving48_elements()[1]} | {
    n: Element.from_dive_number(n) for n in NUMBERS
}


@pytest.mark.parametrize("code", ALL)
def test_every_dive_rotates_twists_and_enters_as_it_is_named(code):
    dive = ALL[code]
    motion, rows = fly([dive] * COUNT)
    sign = 1 if dive.rotates_forward == dive.faces_water else -1
    for i in rows:
        start, end = bounds(motion, i)
        armstand = dive.takeoff.startswith("armstand")
        inverted = np.sign(motion.pitch[i, start]) * 180 if armstand else 0
        total = motion.pitch[i, end] - inverted
        assert total == pytest.approx(sign * 180 * dive.half_somersaults, abs=14)
        twisted = abs(motion.twist[i, end] - motion.twist[i, start])
        assert twisted == pytest.approx(180 * dive.half_twists, abs=14)
        head = pair(motion, i, "ear")[end, 1] - pair(motion, i, "hip")[end, 1]
        assert (head < 0) == dive.enters_head_first


@pytest.mark.parametrize(
    ("code", "faces", "head_goes"),
    [("101B", 1, 1), ("201B", -1, 1), ("301B", 1, -1), ("401B", -1, -1)],
)
def test_which_way_a_take_off_faces_and_rotates(code, faces, head_goes):
    motion, rows = fly([Element.from_dive_number(code)] * COUNT)
    for i in rows:
        start, end = bounds(motion, i)
        nose = motion.joints[i, start, COCO_17.index("nose")]
        assert np.sign(nose[0] - pair(motion, i, "ear")[start, 0]) == faces
        trunk = pair(motion, i, "shoulder") - pair(motion, i, "hip")
        quarter = start + np.abs(np.abs(motion.pitch[i, start:end]) - 90).argmin()
        assert np.sign(trunk[quarter, 0]) == head_goes


def test_tilt_grows_with_the_twists_and_a_dive_without_has_none():
    tilts = []
    for code in ("5231D", "5233D", "5235D", "5237D"):
        motion, rows = fly([Element.from_dive_number(code)] * 12)
        tilts.append(np.median([np.abs(motion.tilt[i]).max() for i in rows]))
    assert (np.diff(tilts) > 0).all()
    # Half a twist takes some six degrees, three and a half some twenty-five (Yeadon 1993).
    assert 4 < tilts[0] < 9
    assert 17 < tilts[-1] < 29
    motion, _ = fly([Element.from_dive_number("205B")] * 4)
    assert np.abs(motion.tilt).max() < 1e-6


def test_a_tuck_rotates_faster_than_a_stretched_body():
    motion, rows = fly([Element.from_dive_number("205C")] * COUNT)
    for i in rows:
        start, end = bounds(motion, i)
        rate = np.abs(np.gradient(motion.pitch[i])) * RATE
        assert rate[(start + end) // 2] > 1.7 * rate[end - 4]


def test_the_centre_of_mass_falls_freely_and_nothing_jumps():
    motion, rows = fly([Element.from_dive_number("405C")] * COUNT)
    for i in rows:
        start, end = bounds(motion, i)
        fall = np.diff(motion.center[i, start + 1 : end].astype(np.float64), n=2, axis=0) * RATE**2
        assert fall.mean(axis=0) == pytest.approx([0, -GRAVITY, 0], abs=0.2)
        speed = np.linalg.norm(np.diff(motion.joints[i], axis=0), axis=-1) * RATE
        assert speed.max() < 40


@pytest.mark.parametrize(
    ("code", "most"), [("107B", 0.1), ("205C", 0.1), ("5233D", 0.2), ("5253B", 0.2)]
)
def test_angular_momentum_stays(code, most):
    """Computed anew from postures and rotations, against its mean: the residual of the vector.

    The thickness of segments is left out here, some 8 % of the inertia of a tuck.
    """
    motion, rows = fly([Element.from_dive_number(code)] * 4)
    for i in rows:
        momentum = momentum_of(motion, i)
        start, end = bounds(motion, i)
        air = momentum[start + 4 : end - 4]
        mean = air.mean(axis=0)
        residual = np.linalg.norm(air - mean, axis=1) / np.linalg.norm(mean)
        assert np.sqrt((residual**2).mean()) < most


def momentum_of(motion, i):
    """Return the angular momentum (T, 3) by masses at the joints' middles, about their centre."""
    joints = motion.joints[i].astype(np.float64)
    at = {name: joints[:, n] for n, name in enumerate(COCO_17.keypoint_names)}
    hips, neck = pair(motion, i, "hip").astype(float), pair(motion, i, "shoulder").astype(float)
    ears = pair(motion, i, "ear").astype(float)
    parts = [(hips, neck, 0.497, 0.5), (ears, ears, 0.081, 0.5)]
    for side in ("left", "right"):
        for one, two, mass, share in (
            ("shoulder", "elbow", 0.028, 0.436),
            ("elbow", "wrist", 0.022, 0.682),
            ("hip", "knee", 0.1, 0.433),
            ("knee", "ankle", 0.061, 0.606),
        ):
            parts.append((at[f"{side}_{one}"], at[f"{side}_{two}"], mass, share))
    points, masses = [], []
    for one, two, mass, share in parts:
        middle = one + share * (two - one)
        for sign in (-1, 1):  # a rod's radius of gyration is .3 of its length
            points.append(middle + sign * 0.3 * (two - one))
            masses.append(mass / 2)
    points, masses = np.stack(points, 1), np.array(masses)
    points = points - (masses[:, None] * points).sum(axis=1, keepdims=True) / masses.sum()
    rates = np.gradient(points, axis=0) * RATE
    return (masses[:, None] * np.cross(points, rates)).sum(axis=1)


def test_feet_stay_on_the_board_while_it_is_pressed():
    motion, rows = fly([Element.from_dive_number("201B")] * COUNT)
    for i in rows:
        start, _ = bounds(motion, i)
        ankles = pair(motion, i, "ankle")[start - 20 : start]
        assert np.ptp(ankles[:, [0, 2]], axis=0).max() < 0.02


@pytest.mark.parametrize("name", ["tuck", "pike", "lunge", "split", "straddle"])
def test_a_mirrored_posture_has_mirrored_points_and_the_same_inertia(name):
    body = Body(1, np.random.default_rng(0))
    one, two = (
        body.points(p[None, None].repeat(3, 1)) for p in (POSTURES[name], mirrored(POSTURES[name]))
    )
    left, right = (
        np.array([COCO_17.index(n) for n in names])
        for names in zip(
            *[
                (n, n.replace("left", "right"))
                for n in COCO_17.keypoint_names
                if n.startswith("left")
            ]
        )
    )
    joints, other = body.coco(one), body.coco(two)
    np.testing.assert_allclose(joints[:, :, left] * (1, 1, -1), other[:, :, right], atol=1e-6)
    step = np.array([0.01])
    i_one, i_two = body.inertia(one, step)[0], body.inertia(two, step)[0]
    np.testing.assert_allclose(
        np.diagonal(i_one, 0, -2, -1), np.diagonal(i_two, 0, -2, -1), atol=1e-5
    )


def test_rotations_are_rotations_in_the_order_pitch_tilt_twist():
    angles = np.random.default_rng(0).uniform(-170, 170, (50, 3))
    axes = rotations(angles)
    np.testing.assert_allclose(
        axes @ np.swapaxes(axes, 1, 2), np.eye(3)[None].repeat(50, 0), atol=1e-5
    )
    # 90 degrees of pitch take the head to x; 90 of twist take the chest to the left, which is -z.
    np.testing.assert_allclose(rotations(np.array([90.0, 0, 0]))[:, 1], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(rotations(np.array([0.0, 0, 90]))[:, 0], [0, 0, -1], atol=1e-6)


GYMNASTICS = [
    (Element("salto", "back", 2, 0, "tuck"), 360),
    (Element("salto", "forward", 2, 1, "straight"), 360),
    (Element("salto", "back", 4, 0, "pike"), 720),
    (Element("flic_flac", "back"), 360),
    (Element("giant", "forward"), 360),
    (Element("cartwheel", "sideways"), 360),
    (Element("roll", "back"), 360),
    (Element("walkover", "forward"), 360),
    (Element("handstand"), 180),
]


@pytest.mark.parametrize(("element", "degrees"), GYMNASTICS)
def test_gymnastics_ends_on_the_feet_and_above_the_floor(element, degrees):
    motion, rows = fly([element] * COUNT, make=gymnastics_script)
    for i in rows:
        number = len(motion.scripts[i].elements) - 1
        start, end = bounds(motion, i, number)
        turned = abs(motion.pitch[i, end] - motion.pitch[i, start])
        kind = motion.scripts[i].scene.kind if element.kind == "salto" else "floor"
        # A bar is left on the way; from the hands on a vault half a somersault comes first.
        spread = 120 if kind == "bar" else 55
        more = 180 if kind == "vault" else 0
        assert turned == pytest.approx(degrees + more, abs=spread)
        assert motion.joints[i, ..., 1].min() > 0.02
        if element.kind == "salto":
            assert pair(motion, i, "ear")[end, 1] > pair(motion, i, "ankle")[end, 1] + 0.8
        if element.kind == "giant":
            wrists = pair(motion, i, "wrist")[start:end]
            assert np.ptp(wrists, axis=0).max() < 1e-3
