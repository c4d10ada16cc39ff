"""What heatmaps say: chances of joints, and their places, against heatmaps of a known belief."""

import numpy as np
import pytest

from skelact.pose_extract.layout import COCO_17
from skelact.pose_extract.pose.heatmaps import blurred, found_chances

SIGMA = 2.0
SHAPE = (64, 48)


def gaussian(x, y, sigma=SIGMA):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)).astype(np.float32)


@pytest.fixture
def spots():
    """Return joints with a trunk of 15 cells: near is within 3."""
    points = np.full((1, 17, 2), 24.0)
    for name, place in (
        ("left_shoulder", (30, 15)), ("right_shoulder", (18, 15)),
        ("left_hip", (28, 30)), ("right_hip", (20, 30)),
    ):  # fmt: skip
        points[0, COCO_17.index(name)] = place
    return points


def heatmaps_of(channel):
    return np.repeat(channel[None, None], 17, axis=1)


class TestFoundChances:
    def test_a_sure_joint_has_a_chance_of_one(self, spots):
        chances = found_chances(heatmaps_of(gaussian(24, 24)), spots, SIGMA)
        assert chances[0, 0] == pytest.approx(1.0, abs=0.02)

    @pytest.mark.parametrize("belief", [0.2, 0.5, 0.8])
    def test_a_joint_that_is_seen_or_not_has_the_chance_that_it_is(self, spots, belief):
        chances = found_chances(belief * heatmaps_of(gaussian(24, 24)), spots, SIGMA)
        assert chances[0, 0] == pytest.approx(belief, abs=0.02)

    def test_of_two_places_each_has_its_own_chance(self, spots):
        either = 0.7 * gaussian(24, 24) + 0.3 * gaussian(8, 50)
        chances = found_chances(heatmaps_of(either), spots, SIGMA)
        assert chances[0, 0] == pytest.approx(0.7, abs=0.02)

    def test_a_joint_that_is_a_little_uncertain_stays_likely_though_its_peak_falls(self, spots):
        # A belief of deviation 1 cell, blurred by the Gaussian of the targets.
        wide = (SIGMA**2 / (SIGMA**2 + 1)) * gaussian(24, 24, np.hypot(SIGMA, 1))
        assert wide.max() == pytest.approx(0.8)
        chances = found_chances(heatmaps_of(wide), spots, SIGMA)
        assert chances[0, 0] > 0.9

    def test_nothing_seen_has_none_and_noise_below_zero_takes_nothing(self, spots):
        assert found_chances(np.zeros((1, 17, *SHAPE), np.float32), spots, SIGMA).max() == 0
        noisy = heatmaps_of(gaussian(24, 24) - 0.05 * (gaussian(24, 24) < 1e-3))
        assert found_chances(noisy, spots, SIGMA)[0, 0] == pytest.approx(1.0, abs=0.02)

    def test_a_joint_at_the_border_is_as_sure_as_elsewhere(self, spots):
        spots[0, 0] = (0, 24)
        chances = found_chances(heatmaps_of(gaussian(0, 24)), spots, SIGMA)
        assert chances[0, 0] == pytest.approx(1.0, abs=0.02)


def test_the_highest_point_of_the_blur_has_the_most_belief_around_it():
    # A spike of one cell is higher than the broad belief beside it, but holds less of it.
    rough = 0.6 * gaussian(30, 30) + 0.7 * gaussian(12, 12, 0.4)
    heatmaps = np.repeat(rough[None, None], 17, axis=1)
    assert np.unravel_index(rough.argmax(), SHAPE) == (12, 12)
    smooth = blurred(heatmaps, SIGMA)
    assert smooth.shape == heatmaps.shape
    assert np.unravel_index(smooth[0, 3].argmax(), SHAPE) == (30, 30)


def test_heatmaps_of_nobody_are_left_alone():
    none = np.zeros((0, 17, *SHAPE), np.float32)
    assert blurred(none, SIGMA).shape == none.shape
    assert found_chances(none, np.zeros((0, 17, 2)), SIGMA).shape == (0, 17)
