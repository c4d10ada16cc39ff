"""Simulated dives keep the rules of diving and of mechanics."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pipeline.synth.dive import Dive, diving_labels
from skelact.pipeline.synth.motion import GRAVITY, simulate_dives
from skelact.pose_extract.layout import COCO_17

FPS = 120.0


def simulate(name, count=4, seed=0):
    dives = [Dive.parse(name)] * count
    rates, lead = np.full(count, FPS), np.full(count, 0.5)
    return simulate_dives(dives, rates, int(3 * FPS), lead, np.random.default_rng(seed))


def middle(motion, joint):
    pair = [COCO_17.index(f"{side}_{joint}") for side in ("left", "right")]
    return motion.joints[:, :, pair].mean(axis=2)


def at(motion, values, share):
    """Return values (N, ...) at a share of the flight."""
    steps = np.abs(motion.times - share * motion.flight_seconds[:, None]).argmin(axis=1)
    return values[np.arange(len(values)), steps]


@pytest.mark.parametrize("name", diving_labels()[0])
def test_every_class_rotates_and_twists_as_it_is_named(name):
    dive, motion = Dive.parse(name), simulate(name)
    sign = 1 if dive.rotates_forward else -1
    rotation = at(motion, motion.somersault, 1.0)
    assert rotation == pytest.approx(sign * 180 * dive.half_somersaults, abs=3)
    assert np.abs(at(motion, motion.twist, 1.0)) == pytest.approx(180 * dive.half_twists, abs=1)
    head_over_hips = at(motion, middle(motion, "ear") - middle(motion, "hip"), 1.0)[:, 1]
    assert ((head_over_hips < 0) == dive.enters_head_first).all()


def test_a_forward_two_and_a_half_somersault():
    """900 degrees towards the chest, away from the board, hands first into the water."""
    motion = simulate("Forward 25som NoTwis TUCK")
    assert at(motion, motion.somersault, 1.0) == pytest.approx(900, abs=3)
    lowest = at(motion, motion.joints, 1.0)[..., 1].argmin(axis=1)
    assert set(lowest) <= {COCO_17.index("left_wrist"), COCO_17.index("right_wrist")}
    assert (at(motion, motion.center, 1.0)[:, 0] > at(motion, motion.center, 0.0)[:, 0]).all()


@pytest.mark.parametrize(
    ("take_off", "faces", "head_goes"),
    [("Forward", 1, 1), ("Back", -1, 1), ("Reverse", 1, -1), ("Inward", -1, -1)],
)
def test_which_way_a_take_off_faces_and_rotates(take_off, faces, head_goes):
    motion = simulate(f"{take_off} Dive NoTwis PIKE")
    nose = motion.joints[:, :, COCO_17.index("nose")]
    assert (np.sign((nose - middle(motion, "ear"))[:, 0, 0]) == faces).all()
    # After 90 degrees the trunk points to where the head goes.
    trunk = middle(motion, "shoulder") - middle(motion, "hip")
    quarter = np.abs(np.abs(motion.somersault) - 90).argmin(axis=1)
    assert (np.sign(trunk[np.arange(4), quarter, 0]) == head_goes).all()


def test_an_armstand_dive_starts_on_the_hands():
    dives = [Dive("Armstand", 2, 0, "TUCK")] * 4
    rates, lead = np.full(4, FPS), np.full(4, 0.3)
    motion = simulate_dives(dives, rates, 300, lead, np.random.default_rng(0))
    assert (middle(motion, "wrist")[:, 0, 1] < middle(motion, "ankle")[:, 0, 1]).all()
    assert at(motion, motion.somersault, 1.0) == pytest.approx(-360, abs=3)
    # 360 degrees from the hands end on the hands.
    assert (at(motion, middle(motion, "ear") - middle(motion, "hip"), 1.0)[:, 1] < 0).all()


@pytest.mark.parametrize(("name", "changes"), [
    ("Forward 15som NoTwis PIKE", 0), ("Back 15som 05Twis FREE", 1),
    ("Forward 15som 1Twis FREE", 2), ("Forward 25som 3Twis PIKE", 6),
    ("Reverse 15som 35Twis FREE", 7),
])  # fmt: skip
def test_a_half_twist_makes_the_shoulders_change_sides(name, changes):
    motion = simulate(name)
    left, right = (COCO_17.index(f"{side}_shoulder") for side in ("left", "right"))
    across = (motion.joints[:, :, right] - motion.joints[:, :, left])[..., 2]
    flying = (motion.times > 0) & (motion.times < motion.flight_seconds[:, None])
    for values, air in zip(across, flying):
        assert (np.diff(np.sign(values[air])) != 0).sum() == changes


def test_a_tuck_rotates_faster_than_a_stretched_body():
    motion = simulate("Back 25som NoTwis TUCK")
    rate = np.abs(np.gradient(motion.somersault, axis=1)) * FPS
    assert (at(motion, rate, 0.5) > 1.8 * at(motion, rate, 0.97)).all()


def test_the_centre_of_mass_falls_freely():
    motion = simulate("Inward 15som NoTwis TUCK")
    for times, center, flight in zip(motion.times, motion.center, motion.flight_seconds):
        air = (times > 0) & (times < flight)
        fall = np.diff(center[air].astype(np.float64), n=2, axis=0) * FPS**2
        assert fall.mean(axis=0) == pytest.approx([0, -GRAVITY, 0], abs=0.2)


def test_angular_momentum_stays():
    """Computed anew from the joints' motion, with masses at the middles of the segments."""
    motion = simulate("Forward 25som NoTwis PIKE", count=8)
    ears = middle(motion, "ear")
    points = {joint: middle(motion, joint) for joint in
              ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")} | {"head": ears}  # fmt: skip
    segments = [("shoulder", "hip", 0.497), ("shoulder", "head", 0.081),
                ("shoulder", "elbow", 0.056), ("elbow", "wrist", 0.044),
                ("hip", "knee", 0.2), ("knee", "ankle", 0.122)]  # fmt: skip
    total = np.zeros(motion.times.shape)
    for one, two, mass in segments:
        ends = [(points[name] - motion.center)[..., :2].astype(np.float64) for name in (one, two)]
        mean, half = (ends[0] + ends[1]) / 2, (ends[0] - ends[1]) / 2
        # A rod about its middle: a third of the moment of point masses at its ends.
        for arm, share in ((mean, mass), (half, mass / 3)):
            rate = np.gradient(arm, axis=1) * FPS
            total += share * (arm[..., 0] * rate[..., 1] - arm[..., 1] * rate[..., 0])
    for momentum, times, flight in zip(total, motion.times, motion.flight_seconds):
        air = (times > 0.05 * flight) & (times < 0.95 * flight)
        assert momentum[air].std() < 0.08 * abs(momentum[air].mean())


def test_feet_stay_on_the_board_before_the_take_off():
    motion = simulate("Back 2som 15Twis FREE")
    ankles = middle(motion, "ankle")
    standing = (motion.times < 0) & (motion.times > -0.4)
    for place, before in zip(ankles, standing):
        assert np.ptp(place[before], axis=0).max() < 1e-3
