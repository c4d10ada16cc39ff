"""Simulated flights as the network learns them: labels, splits, and what is learned of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from skelact.pipeline.cli.main import main
from skelact.pipeline.elements.calibration import POSITIONS
from skelact.pipeline.elements.element import Element
from skelact.pipeline.elements.flight_reader import flight_reader
from skelact.pipeline.flight_training import flights
from skelact.pipeline.flight_training.flights import (
    NAMES,
    UNKNOWN,
    labelled_spans,
    labelled_windows,
    simulated_clips,
    varied,
)
from skelact.pipeline.flight_training.module import FlightWindows, augmented, without


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flights, "CHUNK", 12)
        yield


@pytest.fixture(scope="module")
def clips(small):
    return simulated_clips(0, 5)


def test_equal_seeds_give_equal_flights(small, clips):
    again, other = simulated_clips(0, 5), simulated_clips(1, 5)
    assert all((one.keypoints == two.keypoints).all() for one, two in zip(clips, again))
    assert any(
        one.keypoints.shape != two.keypoints.shape or (one.keypoints != two.keypoints).any()
        for one, two in zip(clips, other)
    )


def test_counts_and_shapes_vary_within_what_can_be_said():
    """Saltos keep landing on the feet, and a body that does not twist has no free position."""
    rng = np.random.default_rng(0)
    dive, salto = (
        Element("dive", "back", 5, 0, "pike"),
        Element("salto", "forward", 2, 3, "straight"),
    )
    dives, saltos = ([varied(one, rng) for _ in range(100)] for one in (dive, salto))
    assert {one.half_somersaults for one in dives} == {4, 5, 6}
    assert {one.half_somersaults for one in saltos} == {2, 4}
    assert {one.half_twists for one in dives} == {0, 1, 2}
    assert {one.half_twists for one in saltos} == {1, 2, 3, 4, 5}
    assert {one.position for one in dives if not one.half_twists} == {"straight", "pike", "tuck"}
    assert {one.position for one in dives if one.half_twists} == {"free"}
    assert {one.position for one in saltos} == {"straight"}
    assert {one.takeoff for one in dives} == {"back"}


def test_what_no_body_can_do_is_left_out(small, monkeypatch):
    impossible = Element("salto", "back", 2, 9, "tuck")
    monkeypatch.setattr(flights, "varied", lambda element, rng: impossible)
    clips = simulated_clips(0, 5)
    assert 0 < len(clips) < 12
    assert not any(one == impossible for clip in clips for one, _, _ in clip.flights)


def test_labels_are_those_of_the_flight_that_is_shown(clips):
    """Each flight is shown by one window at most, and its factors are the labels."""
    shown = 0
    for clip in clips:
        truths = [
            (element.half_somersaults, element.half_twists, POSITIONS.index(element.position))
            for element, _, _ in clip.flights
        ]
        labels = [labels for _, _, labels in labelled_spans(clip)]
        of_flights = [row for row in labels if row[NAMES.index("whole")]]
        assert len(of_flights) <= len(truths)
        shown += len(of_flights)
        for row in labels:
            if not row[NAMES.index("whole")]:
                assert set(row[:-1]) == {UNKNOWN}
            elif row[0] != UNKNOWN:
                assert row[:3] in truths
    assert shown >= len(clips) / 2


@pytest.mark.parametrize(
    ("element", "forward", "travel"),
    [
        (Element.from_dive_number("105B"), 1, 1),
        (Element.from_dive_number("405B"), 1, 0),
        (Element.from_dive_number("205B"), 0, 1),
        (Element.from_dive_number("305B"), 0, 0),
        (Element.from_dive_number("626C"), 0, 1),
        (Element.from_dive_number("636C"), 0, 0),
        (Element.from_dive_number("614B"), 1, UNKNOWN),
        (Element("salto", "back", 4, 2, "straight"), 0, UNKNOWN),
    ],
)
def test_sense_and_travel_of_take_offs(element, forward, travel):
    labels = flights._factors(element, True)
    assert labels == (
        element.half_somersaults, element.half_twists, POSITIONS.index(element.position),
        forward, travel,
    )  # fmt: skip
    assert flights._factors(element, False)[:2] == (UNKNOWN, UNKNOWN)


def test_counts_of_flights_that_are_cut_are_not_learned(clips):
    for clip in clips:
        for element, start, end in clip.flights:
            if start < 0 or end > len(clip.seconds):
                assert not flights._is_shown(clip, start, end)
                assert flights._factors(element, False)[0] == UNKNOWN


def test_combinations_are_left_out(small):
    windows = FlightWindows.of(labelled_windows(0, 5))
    known = windows.labels[windows.labels[:, 0] != UNKNOWN]
    combination = tuple(int(value) for value in known[0, :3])
    rest = without(windows, [combination])
    assert len(rest) < len(windows)
    assert not (rest.labels[:, :3] == combination).all(axis=1).any()
    assert len(without(windows, [])) == len(windows)


def test_the_command_trains_a_network_that_reads(small, tmp_path):
    arguments = [
        "train-flight", "--quiet", "--work-dir", str(tmp_path), "--set", "train_chunks=2",
        "--set", "held_out_chunks=1", "--set", "optim.epochs=2", "--set", "optim.batch_size=8",
        "--set", "network.widths=[8,16]", "--set", "network.strides=[1,1]",
        "--set", "optim.warmup_epochs=1", "--set", 'leave_out=["5 3 pike"]',
    ]  # fmt: skip
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    path = tmp_path / "flight_factors.json"
    assert done.output.strip() == str(path)
    values = json.loads(path.read_text())
    assert values["data"]["simulated_clips"] == 24
    assert 0 <= values["figures"]["position"] <= 1
    (window,) = [one.window for one in labelled_windows(0, 5)[:1]]
    (reading,) = flight_reader(path)([window])
    assert reading.chances["half_twists"].sum() == pytest.approx(1)


def test_a_combination_that_is_none_is_an_error(tmp_path):
    arguments = ["train-flight", "--work-dir", str(tmp_path), "--set", 'leave_out=["5 3 pyke"]']
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "such as '5 3 pike', got '5 3 pyke'" in done.output


def test_augmented_windows_are_shifted_scaled_and_lose_joints_for_a_while():
    joints = torch.ones(64, 64, 17, 8)
    joints *= torch.arange(1.0, 65)[None, :, None, None]  # each step shows its number
    changed = augmented(joints, torch.Generator().manual_seed(0))
    hidden = (changed == 0).all(dim=-1)
    assert hidden[:, 8:-8].float().mean() == pytest.approx(0.05, abs=0.01)
    assert hidden[:, 8:16].all(dim=1).float().mean() == pytest.approx(0.05, abs=0.02)
    # The score has no scale: it shows by how many steps a window is shifted, up to 3.
    score, length = changed[:, 32, :, 2].amax(dim=1), changed[:, 32, :, 0].amax(dim=1)
    assert set((score - 33).tolist()) == {-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0}
    ratio = length / score
    assert 0.9 <= ratio.min() < 0.95 < 1.05 < ratio.max() <= 1.1
