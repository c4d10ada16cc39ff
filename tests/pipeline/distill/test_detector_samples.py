"""Frames for the detector at any angle: the boxes stay around their people."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from distill_scenes import labelled_frames, load

from skelact import SkelactError
from skelact.pipeline.distill.detector_samples import DetectorSamples, DetectorSampling


@pytest.mark.parametrize("stretch", [0.0, 0.5])
def test_boxes_stay_around_their_people_in_detector_samples(stretch):
    samples = DetectorSamples(labelled_frames())
    generator = torch.Generator().manual_seed(3)
    sampling = DetectorSampling(min_zoom=0.9, max_zoom=1.1, stretch=stretch)
    images, people, ignored = samples.batch(torch.arange(30) % 3, 320, sampling, generator)
    assert images.shape == (30, 3, 320, 320)
    assert people.shape[::2] == (30, 4)
    assert (people[:12].any(-1).sum(1) >= 4).all()  # mosaics hold the people of four frames
    assert ignored.any()
    inside = torch.zeros(30, 320, 320, dtype=torch.bool)
    for row, boxes in enumerate(people):
        for x1, y1, x2, y2 in boxes[boxes.any(-1)].round().int().tolist():
            inside[row, max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2] = True
    dots = (images[:, 0] > 150) & (images[:, 2] < 100)
    assert dots.sum() > 1000
    # Dots of people of whom too little is in the sample have no box.
    assert (dots & inside).sum() > 0.97 * dots.sum()


def test_training_crops_show_people_at_the_scale_of_the_whole_input():
    samples, generator = DetectorSamples(labelled_frames()), torch.Generator().manual_seed(3)
    sampling = DetectorSampling(min_zoom=1.0, max_zoom=1.0, mosaic_prob=0.0, side=192,
                              rotated_prob=0.0, upright_degrees=0.0)  # fmt: skip
    inds = torch.zeros(60, dtype=torch.long)
    shares = []
    for person_prob in (0.0, 1.0):
        sampling = replace(sampling, person_prob=person_prob)
        images, people, _ = samples.batch(inds, 320, sampling, generator)
        assert images.shape == (60, 3, 192, 192)
        whole = people[people[..., 0].gt(0) & people[..., 2].lt(192) & people[..., 3].lt(192)
                       & people[..., 1].gt(0)]  # fmt: skip
        # A box of 60 or 48 wide, less or more where keypoints end.
        sizes = whole[:, 2] - whole[:, 0]
        assert len(sizes) > 20
        assert sizes.min() > 40
        assert sizes.max() < 75
        shares.append(len(sizes))
    assert shares[1] > shares[0]
    # Measuring shows the whole input.
    assert samples.batch(inds[:2], 320, sampling, generator, 30.0)[0].shape == (2, 3, 320, 320)


@pytest.mark.parametrize(("old", "new"), DetectorSampling.RENAMED.items())
def test_renamed_keys_of_detector_sampling_name_the_new_ones(old, new):
    with pytest.raises(SkelactError, match=f"'{old}' is now called '{new}'"):
        load("detector_rtmdet", f"detector.{old}=0.1")
    assert getattr(load("detector_rtmdet", f"detector.{new}=1").detector, new) == 1
