"""Areas and overlaps of boxes, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from skelact.pipeline.distill.losses import box_areas, generalised_iou, shared_areas

BOX = torch.tensor([[10.0, 10.0, 30.0, 20.0]])


@pytest.mark.parametrize(
    ("other", "area", "shared", "giou"),
    [
        ([10.0, 10.0, 30.0, 20.0], 200, 200, 1.0),
        ([20.0, 10.0, 40.0, 20.0], 200, 100, 100 / 300),  # the hull is their union
        ([40.0, 10.0, 60.0, 20.0], 200, 0, -100 / 500),  # a fifth of the hull lies between them
        ([10.0, 20.0, 20.0, 30.0], 100, 0, -100 / 400),
        ([30.0, 10.0, 10.0, 20.0], 0, 0, 0.0),  # its sides have crossed
    ],
)
def test_boxes_share_what_can_be_counted(other, area, shared, giou):
    other = torch.tensor([other])
    assert box_areas(other) == area
    assert shared_areas(BOX, other) == shared
    assert generalised_iou(BOX, other).item() == pytest.approx(giou)
