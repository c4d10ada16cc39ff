"""The camera's path of simulated clips, held against where the scene lies in the pictures."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pipeline.elements.element import Element
from skelact.pipeline.synth.camera import camera_maps
from skelact.pipeline.synth.clips import ClipConfig, make_clips


def test_a_pan_and_a_zoom_are_undone():
    """The background moves 10 px to the right, then grows by a tenth about the image's middle."""
    maps = camera_maps(np.array([[0, 0, 0, 0], [10, 0, 0, 0], [0, 0, np.log(1.1), 0]]), (200, 300))
    point = np.array([40.0, 50.0])
    seen = np.add(point, [10, 0])
    assert maps[1] @ [*seen, 1] == pytest.approx(point, abs=1e-4)
    seen = (seen - (150, 100)) * 1.1 + (150, 100)
    assert maps[2] @ [*seen, 1] == pytest.approx(point, abs=1e-4)


def test_the_edge_of_a_board_stays_where_it_is():
    """The board of clips that pan and zoom, in the scene's pixels: within 5 % of the image."""
    config = ClipConfig(0.0, None, (0.3, 0.3), (0.3, 0.3), slow_motion=0, cut_chance=0)
    dives = [Element.from_dive_number(code) for code in ("103B", "205C", "403B", "301A")]
    for clip in make_clips(dives, np.random.default_rng(3), config):
        maps = camera_maps(clip.camera_motion, clip.img_shape)
        edge = clip.board[:, 0]
        seen = np.isfinite(edge).all(axis=1)
        placed = np.einsum("tij,tj->ti", maps[:, :, :2], edge)[seen] + maps[seen, :, 2]
        assert np.abs(placed - placed[0]).max() < 0.05 * max(clip.img_shape)
