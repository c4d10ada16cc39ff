"""Features of the pose network: those it computes, and those it can be given."""

from __future__ import annotations

from itertools import chain

import torch

from skelact.pipeline.distill.pose_features import (
    FeatureTeacher,
    feature_losses,
    features_of,
    new_lite_hrnet,
)
from skelact.pipeline.training.muon import Muon
from skelact.pose_extract.nets.lite_hrnet import LiteHRNet
from skelact.pose_extract.nets.mmpose_adapter import build_pose_model


def test_features_are_those_that_the_network_computes_and_can_be_given():
    torch.manual_seed(0)
    net, other = new_lite_hrnet((64, 64)), new_lite_hrnet((64, 64))
    as_built = build_pose_model(LiteHRNet().pose_config((64, 64))["model"])
    as_built.load_state_dict(net.state_dict())
    for each in (net, other, as_built):
        # Without running statistics or those of a batch activations grow to millions.
        each.train()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = features_of(net, x)
        assert len(found) == 33  # stem, transitions, units, fusions, neck, head
        plain = as_built.head(as_built.extract_feat(x))
        assert torch.allclose(found[-1][0], plain, atol=1e-5)
        given = features_of(net, x, found)
        assert all(torch.equal(a, b) for a, b in zip(chain(*found), chain(*given)))
        # Given another network's features, a block's output depends on those alone.
        theirs = features_of(other, x)
        mixed = features_of(net, x, theirs)
        assert torch.equal(mixed[0][0], found[0][0])
        assert not torch.allclose(mixed[1][0], found[1][0])
        coarser = torch.nn.functional.interpolate(
            theirs[-2][0], (16, 16), mode="bilinear", align_corners=True
        )
        finest = net.backbone.head_layer.projects[-1](theirs[-5][0] + coarser)
        assert torch.equal(mixed[-1][0], net.head.final_layer(finest))
    assert max(feature_losses(found, given)) == 0
    flat = [[branch.mean(dim=(0, 2, 3), keepdim=True).expand_as(branch) for branch in part]
            for part in found]  # fmt: skip
    assert all(0.5 < loss <= 1 for loss in feature_losses(flat, found))


def test_block_wise_distillation_comes_nearer_to_the_teacher(shared):
    torch.manual_seed(0)
    teacher = FeatureTeacher("litehrnet18-coco-256x192")
    net = new_lite_hrnet((64, 64)).to(memory_format=torch.channels_last)
    optimizer = Muon(net.parameters(), lr=0.05)
    x = torch.randn(8, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    theirs = teacher(x)
    losses = []
    for _ in range(20):
        loss = torch.stack(feature_losses(features_of(net, x, theirs), theirs))
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        losses.append(loss.detach())
    assert (losses[-1][:-1] < 0.7 * losses[0][:-1]).all()
    assert all(p.grad is None for p in teacher.net.parameters())


def test_the_fusion_of_branches_is_mmpose_s_own():
    torch.manual_seed(0)
    net = new_lite_hrnet((64, 64)).to(memory_format=torch.channels_last).train()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = features_of(net, x)
        # Stem (2), transition, two units, and the fusion of the first module.
        units, fused = found[4], found[5]
        before = [branch.clone() for branch in units]
        # MMPose adds in place: the finest branch counts twice, the coarser one is made of its sum.
        rows = net.backbone.stage0[0].fuse_layers
        finest = 2 * units[0] + rows[0][1](units[1])
        coarser = 2 * rows[1][0](finest) + units[1]
        assert torch.allclose(fused[0], finest.relu(), rtol=1e-5, atol=1e-4)
        assert torch.allclose(fused[1], coarser.relu(), rtol=1e-5, atol=1e-4)
        assert all(map(torch.equal, units, before))
        # What is given stays as it was, too, although MMPose adds to it.
        given = [[branch.clone() for branch in block] for block in found]
        features_of(net, x, given)
    assert all(map(torch.equal, chain(*given), chain(*found)))


def test_one_batch_weighs_the_same_in_all_statistics():
    net = new_lite_hrnet((64, 64)).train()
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    batches = {norm: [] for norm in norms}
    for norm in norms:
        norm.register_forward_hook(
            lambda norm, inputs, _: batches[norm].append(inputs[0].var(dim=(0, 2, 3)))
        )
    with torch.no_grad():
        features_of(net, torch.randn(2, 3, 64, 64))
    # MMPose computes some of the layers twice in each step.
    assert {len(variances) for variances in batches.values()} == {1, 2}
    for norm, variances in batches.items():
        assert torch.allclose(norm.running_var, 0.97 + 0.03 * variances[0], rtol=1e-3)
