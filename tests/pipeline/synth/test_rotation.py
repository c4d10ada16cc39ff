"""The integrator against a top whose motion is known, and roots of systems that are known."""

from __future__ import annotations

import numpy as np
import pytest

from skelact.pipeline.synth.roots import find_roots
from skelact.pipeline.synth.rotation import about_pitch, integrate


def test_the_length_of_a_symmetric_top_moves_on_a_cone_about_the_momentum():
    """With equal inertias A across its length, it is carried round in 2 pi A / |L| seconds, and
    half way it lies twice as far from the plane of pitch as the momentum does."""
    across, along = 0.18, 0.015
    momentum = np.array([[1.2, 1.2], [0.0, 0.2]])
    size = np.linalg.norm(momentum, axis=0)
    steps = 201
    step = 2 * np.pi * across / size / (steps - 1)
    inertia = np.zeros((2, steps, 3, 3)) + np.diag([across, along, across])
    angles, _ = integrate(inertia, np.zeros((2, steps, 3)), momentum, np.zeros((2, 2)), step)
    pitch, tilt, twist = np.moveaxis(angles, -1, 0)
    assert pitch[:, -1] == pytest.approx([2 * np.pi] * 2, abs=1e-3)
    assert tilt[:, -1] == pytest.approx([0, 0], abs=1e-3)
    beside = 2 * np.arctan2(0.2, 1.2)
    assert np.abs(tilt[:, steps // 2]) == pytest.approx([0, beside], abs=1e-3)
    # It spins about its length with (1 / C - 1 / A) times the momentum along it.
    spin = 0.2 * (1 / along - 1 / across) * step[1] * (steps - 1)
    turned = twist[1, -1] - twist[1, 0]
    assert (turned - spin) / (2 * np.pi) == pytest.approx(round((turned - spin) / (2 * np.pi)),
                                                         abs=1e-3)  # fmt: skip
    assert twist[0, -1] == pytest.approx(0, abs=1e-9)


def test_a_guided_tilt_falls_as_prescribed():
    steps = 101
    inertia = np.zeros((1, steps, 3, 3)) + np.diag([0.18, 0.015, 0.17])
    fall = np.clip(np.linspace(-1, 1, steps), 0, 1)[None]
    momentum = np.array([[1.2], [0.1]])
    angles, _ = integrate(inertia, np.zeros((1, steps, 3)), momentum, np.zeros((1, 2)),
                          np.array([0.005]), (fall, np.array([50])))  # fmt: skip
    held = angles[0, 50, 1]
    assert abs(held) > 0.05
    np.testing.assert_allclose(angles[0, 51:, 1], held * (1 - fall[0, 51:]), atol=1e-12)


def test_the_axis_of_pitch_is_the_side_of_a_body_and_its_front_after_a_quarter_twist():
    inertia = np.zeros((2, 1, 3, 3)) + np.diag([3.0, 1.0, 2.0])
    inner = np.broadcast_to([0.3, 0.1, 0.2], (2, 1, 3))
    moment, limbs = about_pitch(inertia, inner, np.array([0, np.pi / 2]))
    np.testing.assert_allclose(moment[:, 0], [2, 3])
    np.testing.assert_allclose(limbs[:, 0], [0.2, -0.3])


def test_roots_of_systems_are_found_within_bounds_and_others_are_left_alone():
    targets = np.array([[4.0, 3.0], [9.0, 1.0], [1.0, 1.0]])
    rows = np.array([0, 1])

    def residual(which, x):
        return np.stack([x[:, 0] ** 2, x[:, 0] + x[:, 1]], -1) - targets[which]

    begin = np.full((3, 2), 1.5)
    bounds = np.full((3, 2), -2.5), np.full((3, 2), 10.0)
    x, miss = find_roots(residual, rows, begin, None, np.ones((3, 2)), bounds, 1e-6, 30)
    np.testing.assert_allclose(x[:2], [[2, 1], [3, -2]], atol=1e-5)
    assert np.abs(miss).max() < 1e-6
    np.testing.assert_array_equal(x[2], begin[2])
    # A second unknown that may not be negative leaves the second system without a root.
    bounds = np.zeros((3, 2)), bounds[1]
    x, miss = find_roots(residual, rows, begin, None, np.ones((3, 2)), bounds, 1e-6, 30)
    assert x.min() >= 0
    assert np.abs(miss[1]).max() > 0.1
