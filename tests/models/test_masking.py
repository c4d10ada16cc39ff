"""Masks of masked autoencoders."""

from __future__ import annotations

import pytest
import torch

from skelact import SkelactError
from skelact.models.masking import joint_mask, part_mask, tube_mask
from skelact.pose_extract.layout import COCO_17


def parts_hidden(mask):
    """Return the names of the hidden parts; a part of which some joints are visible fails."""
    names = []
    for name, inds in COCO_17.parts.items():
        hidden = mask[list(inds)]
        assert hidden.all() or not hidden.any()
        if hidden.all():
            names.append(name)
    return names


def test_named_parts_are_hidden_in_every_sample():
    mask = part_mask(3, COCO_17, parts=["left_arm", "right_leg"])
    for row in mask:
        assert row.nonzero().flatten().tolist() == [7, 9, 14, 16]


def test_random_parts_are_whole_and_of_every_number():
    mask = part_mask(400, COCO_17, num_parts=(1, 3), generator=torch.Generator().manual_seed(0))
    counts = [len(parts_hidden(row)) for row in mask]
    assert set(counts) == {1, 2, 3}
    assert mask.any(dim=0).all()
    assert (~mask).any(dim=0).all()


def test_random_joints_hide_the_share_asked_for():
    mask = joint_mask(200, 17, 0.5, generator=torch.Generator().manual_seed(0))
    assert (mask.sum(dim=1) == 8).all()
    assert mask.any(dim=0).all()


@pytest.mark.parametrize("ratio", [0.001, 0.999])
def test_never_none_and_never_all(ratio):
    hidden = joint_mask(5, 17, ratio).sum(dim=1)
    assert ((hidden > 0) & (hidden < 17)).all()


def test_same_generator_same_mask():
    draws = [part_mask(9, COCO_17, generator=torch.Generator().manual_seed(4)) for _ in range(2)]
    assert torch.equal(*draws)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": ["left_am"]}, "did you mean 'left_arm'"),
        ({"parts": list(COCO_17.parts)}, "expected 1 to 5"),
        ({"num_parts": (0, 2)}, "num_parts"),
        ({"num_parts": (3, 6)}, "num_parts"),
    ],
)
def test_masks_that_cannot_be(arguments, message):
    with pytest.raises(SkelactError, match=message):
        part_mask(2, COCO_17, **arguments)


def test_a_ratio_that_cannot_be():
    with pytest.raises(SkelactError, match="between 0 and 1"):
        joint_mask(2, 17, 1.5)


def tubes(ratio=0.5, **options):
    return tube_mask(300, 40, COCO_17, ratio, generator=torch.Generator().manual_seed(0), **options)


def test_tubes_hide_whole_parts_for_whole_spans():
    mask = tubes(tube_frames=10)
    assert mask.shape == (300, 40, 17)
    for clip in mask[:20]:
        for frame in clip:
            parts_hidden(frame)
    # What is hidden changes at most every ten frames, and at the same frames for all joints.
    changes = (mask[:, 1:] != mask[:, :-1]).any(dim=2)
    for clip in changes:
        at = clip.nonzero().flatten()
        assert (at.diff() % 10 == 0).all()
    assert changes.any(dim=0).all()  # spans begin anywhere
    assert mask.float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_tubes_of_joints_need_not_hide_whole_parts():
    mask = tubes(kind="joint")
    left_arm = mask[..., [7, 9]]
    assert (left_arm[..., 0] != left_arm[..., 1]).any()


@pytest.mark.parametrize("options", [{"ratio": 0.0}, {"ratio": 1.0}, {"tube_frames": 0}])
def test_tubes_that_cannot_be(options):
    with pytest.raises(SkelactError, match="tubes: expected a ratio between 0 and 1"):
        tubes(**options)


def test_parts_that_move_are_hidden_rather_than_others():
    moved = torch.zeros(300, 40, 17)
    arm = [7, 9]
    moved[:, 20:, arm] = 1.0
    mask = tubes(0.4, tube_frames=10, moved=moved)
    counts = [len(parts_hidden(frame)) for clip in mask[:20] for frame in clip]
    assert set(counts) == {2}  # two of six in each span
    late, early = mask[:, 30:, arm].float().mean(), mask[:, :10, arm].float().mean()
    assert late > 0.9
    assert early.item() == pytest.approx(2 / 6, abs=0.06)
