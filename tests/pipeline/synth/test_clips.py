"""Clips: labels of frames and elements wherever a clip is cut, and equal clips for equal seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from skelact import SkelactError
from skelact.pipeline.elements.element import Element
from skelact.pipeline.synth.clips import ClipConfig, make_clips

DIVE = Element.from_dive_number("305C")
EXACT = ClipConfig(noise=0.0, slow_motion=0.0, cut_chance=0.0)


def make(config=EXACT, seed=0, elements=(DIVE,) * 12):
    return make_clips(list(elements), np.random.default_rng(seed), config)


def test_flight_is_labelled_where_the_element_is_and_never_elsewhere():
    for clip in make():
        (span,) = clip.elements
        flight = np.flatnonzero(clip.phase == 2)
        inside = flight[(flight >= span.start) & (flight < span.end)]
        assert len(inside) >= span.end - span.start - 1
        # Phases come in order: flight, entry, other.
        later = clip.phase[span.start :]
        order = [later[0], *later[1:][np.diff(later) != 0]]
        assert order == [2, 3, 0][: len(order)]
        assert set(clip.phase[: span.start]) <= {1}
        assert set(clip.phase[span.end + 1 :]) <= {3, 0}


def test_a_clip_that_begins_in_the_air_says_so():
    clips = make(replace(EXACT, lead_seconds=(-0.6, -0.5), tail_seconds=(-0.3, -0.2)))
    for clip in clips:
        (span,) = clip.elements
        assert not span.is_whole
        assert (span.start, span.end) == (0, len(clip.phase))
        assert (clip.phase == 2).all()
    assert all(clip.elements[0].is_whole for clip in make())


def test_slow_motion_shows_the_same_in_more_frames():
    normal = make(
        replace(EXACT, lead_seconds=(0.2, 0.2), tail_seconds=(0.2, 0.2)), elements=(DIVE,) * 4
    )
    slow = make(replace(EXACT, slow_motion=1.0, lead_seconds=(0.2, 0.2), tail_seconds=(0.2, 0.2),
                        max_frames=2000), elements=(DIVE,) * 4)  # fmt: skip
    for one in (*normal, *slow):
        span = one.elements[0]
        seconds = (span.end - span.start) / one.fps / one.slow_motion
        assert 0.9 < seconds < 1.9
        turned = one.rotation[span.end - 1, 0] - one.rotation[span.start, 0]
        assert turned == pytest.approx(-900, abs=60)
    assert min(clip.slow_motion for clip in slow) >= 2


def test_a_cut_is_one_frame_with_a_jump_that_camera_motion_leaves_out():
    for clip in make(replace(EXACT, cut_chance=1.0)):
        (cut,) = np.flatnonzero(clip.is_cut)
        assert (clip.camera_motion[cut] == 0).all()
    assert not any(clip.is_cut.any() for clip in make())


def test_camera_motion_is_that_of_the_board_as_far_as_perspective_lets_it():
    """The board is nearer than the background, but moves the same way."""
    checked = 0
    for clip in make(replace(EXACT, tail_seconds=(0.0, 0.1))):
        board = clip.board[:, 0]
        moved = np.diff(board, axis=0)
        told = clip.camera_motion[1:, :2]
        big = np.abs(told[:, 1]) > 5
        if big.sum() > 5:
            checked += 1
            assert np.corrcoef(moved[big, 1], told[big, 1])[0, 1] > 0.8
    assert checked > 5


FACING = ["103B", "403B", "203B", "303B", "105C", "405C", "205C", "305C", "5132D", "5231D"]


def test_the_board_tells_forward_from_inward_and_back_from_reverse():
    """Who faces the water flies forward or reverse: the nose, in the last frames before the flight,
    and the board, which lies behind who leaves it, say so where both are seen from the side."""
    elements = [Element.from_dive_number(number) for number in FACING] * 20
    config = replace(EXACT, lead_seconds=(0.5, 0.6), tail_seconds=(0.0, 0.1))
    right = []
    for clip in make(config, elements=elements):
        start, element = clip.elements[-1].start, clip.elements[-1].element
        points = clip.keypoints[start - 4 : start]
        nose = (points[:, 0, 0] - points[:, 3:5, 0].mean(axis=1)).mean()
        edge, behind = clip.board[start - 1, :, 0]
        trunk = np.linalg.norm(points[:, 5:7].mean(axis=1) - points[:, 11:13].mean(axis=1), axis=-1)
        # End on, a board of two metres is as short in the image as a trunk, or shorter.
        if not (clip.keypoint_scores[start - 4 : start, :13] > 0).all():
            continue
        if abs(edge - behind) > trunk.mean():
            right.append((np.sign(nose) == np.sign(edge - behind)) == element.faces_water)
    assert len(right) > len(elements) / 2
    assert np.mean(right) >= 0.95


def test_under_water_nothing_is_seen():
    for clip in make(replace(EXACT, tail_seconds=(0.5, 0.5))):
        assert (clip.keypoint_scores[clip.elements[0].end + int(0.4 * clip.fps)] == 0).mean() > 0.8
        assert (clip.keypoints[clip.keypoint_scores == 0] == 0).all()


def test_equal_seeds_make_equal_clips():
    for one, two in zip(make(ClipConfig(), 3), make(ClipConfig(), 3)):
        np.testing.assert_array_equal(one.keypoints, two.keypoints)
        assert one.elements == two.elements
    assert not np.array_equal(
        make(ClipConfig(), 3)[0].keypoints, make(ClipConfig(), 4)[0].keypoints
    )


def test_a_table_of_errors_can_be_put_in():
    def errors(keypoints, scores, depth, fps, rng):
        return keypoints + 1000, scores * 0.5

    plain, moved = make(), make(replace(EXACT, errors=errors))
    seen = plain[0].keypoint_scores > 0
    np.testing.assert_allclose(moved[0].keypoints[seen], plain[0].keypoints[seen] + 1000, atol=1e-3)
    assert moved[0].keypoint_scores.max() == 0.5


@pytest.mark.parametrize(("element", "message"), [
    (Element("dive", "forward_or_inward", 3, 0, "pike"), "expected one take-off"),
    (Element("salto", "back", None, 0, "tuck"), "expected half_somersaults, got None"),
])  # fmt: skip
def test_what_cannot_be_simulated(element, message):
    with pytest.raises(SkelactError, match=message):
        make(elements=(element,))
    with pytest.raises(SkelactError, match="cut_chance: expected 0 to 1"):
        ClipConfig(cut_chance=2)
