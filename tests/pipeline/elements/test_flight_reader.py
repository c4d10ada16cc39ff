"""How what the network says is put together with what the counter says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from flying_bodies import somersault

from skelact import SkelactError
from skelact.models.flight import FACTORS
from skelact.pipeline.checkpoints.flight_factors import (
    FlightFactorsMeta,
    build_flight_net,
    save_flight_net,
)
from skelact.pipeline.elements.counter import count_flights
from skelact.pipeline.elements.flight_reader import FlightReading, flight_reader
from skelact.pipeline.network_config import FlightNetConfig


def reading(share=0.5, **chances):
    """Return a reading that knows nothing but what is named."""
    flat = {name: np.full(count, 1 / count) for name, count in FACTORS.items()}
    known = {name: np.array(row) for name, row in chances.items()}
    return FlightReading(flat | known, share)


def test_agreement_is_surer_than_disagreement():
    counted = np.array([0.2, 0.8])
    agrees = reading(forward=[0.2, 0.8]).pooled("forward", counted)
    # The roots of .2 * .2 and .8 * .8.
    np.testing.assert_allclose(agrees, [0.2, 0.8])
    differs = reading(forward=[0.8, 0.2]).pooled("forward", counted)
    np.testing.assert_allclose(differs, [0.5, 0.5])


def test_agreement_on_one_value_is_surer_than_either():
    """Where they doubt different values, each rules out what the other one doubts."""
    counted = np.full(10, 1e-3)
    counted[[2, 3]] = 0.6, 0.392
    read = np.full(10, 1e-3)
    read[[2, 4]] = 0.6, 0.392
    assert reading(half_twists=read).pooled("half_twists", counted)[2] > 0.9


def test_the_share_weighs_both():
    counted = np.array([0.2, 0.8])
    alone = reading(1.0, forward=[0.7, 0.3]).pooled("forward", counted)
    np.testing.assert_allclose(alone, [0.7, 0.3])
    np.testing.assert_allclose(reading(0.0).pooled("forward", counted), counted)


def test_what_the_network_has_no_value_for_is_next_to_impossible():
    counted = np.full(12, 1 / 12)
    pooled = reading().pooled("half_somersaults", counted)
    assert pooled[10:].max() < 0.01
    assert pooled.sum() == pytest.approx(1)


def counted(clip, read):
    still = np.tile(np.eye(2, 3), (len(clip[2]), 1, 1))
    return count_flights(*clip, still, read=read).flights


def test_a_reading_changes_the_answers_of_its_flight():
    clip = somersault(4, hip=115, knee=130)
    (alone,) = counted(clip, None)
    assert (alone.position.value, alone.half_somersaults.value) == ("tuck", 4)
    five = np.full(10, 0.001)
    five[5] = 0.991
    sure = reading(1.0, position=[0.9, 0.04, 0.03, 0.03], half_somersaults=five)
    (told,) = counted(clip, lambda windows: [sure] * len(windows))
    assert (told.position.value, told.half_somersaults.value) == ("straight", 5)


def split_somersault():
    """Return a flight in which the body seems to stand still for a third of a second."""
    keypoints, scores, seconds = somersault(6, fall=1.0)
    keypoints[27:35] = keypoints[27]
    return keypoints, scores, seconds


def test_parts_of_a_flight_are_one_where_the_network_says_so():
    clip = split_somersault()
    parts = counted(clip, None)
    assert len(parts) == 2

    def says(joined, part):
        def read(windows):
            # The windows are the parts and, last, both as one.
            assert len(windows) == 3
            return [reading(whole=[1 - p, p]) for p in (part, part, joined)]

        return read

    (whole,) = counted(clip, says(0.9, 0.2))
    assert (whole.first_frame, whole.last_frame) == (parts[0].first_frame, parts[1].last_frame)
    assert len(counted(clip, says(0.2, 0.9))) == 2


def test_a_clip_without_a_flight_needs_no_network():
    keypoints, scores, seconds = somersault(0)

    def read(windows):
        raise AssertionError("nothing to read")

    assert counted((keypoints, scores, seconds), read) == ()


def test_a_network_of_other_windows_is_refused(tmp_path):
    shape = FlightNetConfig(fold=4, widths=(8,), strides=(1,), hidden=8)
    torch.manual_seed(0)
    net = build_flight_net(shape, 3, 2)
    meta = FlightFactorsMeta(shape, 3, 2, {}, {}, 0, {})
    path = save_flight_net(tmp_path / "net", net, meta)
    with pytest.raises(SkelactError, match="expected windows of 8 channels"):
        flight_reader(path)
