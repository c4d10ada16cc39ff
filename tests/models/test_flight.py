"""The network that reads flights: shapes, the fold of time, and where its encoder may come from."""

from __future__ import annotations

import pytest
import torch

from skelact import SkelactError
from skelact.models.flight import FACTORS, FlightFactorNet
from skelact.models.skeleton_mae import SkeletonMAE
from skelact.models.tube import TubeMAE
from skelact.pose_extract.layout import COCO_17

SHAPE = {"widths": (16, 32), "strides": (1, 1), "num_heads": 4}


def make_net(**changes):
    torch.manual_seed(0)
    options = {"in_channels": 3, "num_facts": 2, "fold": 4, **SHAPE, **changes}
    return FlightFactorNet(COCO_17, **options).eval()


def flights(count=3, steps=16):
    generator = torch.Generator().manual_seed(1)
    joints = torch.randn(count, steps, 17, 3, generator=generator)
    return joints, torch.randn(count, 2, generator=generator)


def test_each_factor_has_a_logit_for_each_of_its_values():
    logits = make_net()(*flights())
    assert {name: rows.shape for name, rows in logits.items()} == {
        name: (3, count) for name, count in FACTORS.items()
    }


def test_the_fold_puts_successive_steps_side_by_side():
    """The encoder's input at token 0 are the joints of steps 0 to 3, each with its channels."""
    net, seen = make_net(), []
    net.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    joints, facts = flights()
    net(joints, facts)
    (folded,) = seen
    assert folded.shape == (3, 4, 17, 12)
    torch.testing.assert_close(folded[:, 0, :, 3:6], joints[:, 1])
    torch.testing.assert_close(folded[:, 3, :, 9:12], joints[:, 15])


def test_facts_are_read_too():
    net = make_net()
    joints, facts = flights()
    one, other = net(joints, facts), net(joints, facts + 1)
    assert not torch.allclose(one["half_twists"], other["half_twists"])


def test_the_encoder_comes_from_a_masked_autoencoder_of_its_shape():
    net, mae = make_net(), TubeMAE(COCO_17, in_channels=12, **SHAPE)
    net.load_pretrained(mae)
    torch.testing.assert_close(net.encoder.embed.weight, mae.encoder.embed.weight)
    with pytest.raises(SkelactError, match="same channels, widths and heads"):
        net.load_pretrained(TubeMAE(COCO_17, in_channels=3, **SHAPE))
    with pytest.raises(SkelactError, match="model 'tube', got SkeletonMAE"):
        net.load_pretrained(SkeletonMAE(COCO_17))
