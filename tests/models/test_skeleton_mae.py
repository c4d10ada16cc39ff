"""SkeletonMAE: what is hidden stays hidden, and training reconstructs it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from skelact.models.losses import reconstruction_loss
from skelact.models.masking import part_mask
from skelact.models.skeleton_mae import SkeletonMAE
from skelact.pose_extract.layout import COCO_17


def walkers(count, seed=0):
    """Return (count, 17, 2) bodies: one figure at any rotation, its hands and feet swung."""
    generator = torch.Generator().manual_seed(seed)
    body = torch.tensor(
        [[0, -9], [-0.3, -9.3], [0.3, -9.3], [-0.7, -9], [0.7, -9], [-2, -7], [2, -7], [-2.6, -5],
         [2.6, -5], [-3, -3], [3, -3], [-1.2, -3], [1.2, -3], [-1.4, 0], [1.4, 0], [-1.5, 3],
         [1.5, 3]]
    )  # fmt: skip
    angle = (torch.rand(count, 1, generator=generator) * 2 - 1) * 3.14
    swing = torch.rand(count, 2, generator=generator) * 4 - 2
    bodies = body.repeat(count, 1, 1)
    bodies[:, [9, 15], 0] += swing[:, :1]
    bodies[:, [10, 16], 0] += swing[:, 1:]
    cos, sin = angle.cos(), angle.sin()
    x = cos * bodies[..., 0] - sin * bodies[..., 1]
    y = sin * bodies[..., 0] + cos * bodies[..., 1]
    return torch.stack([x, y], dim=-1) / 9


def train(model, steps, lr=2e-3):
    x = walkers(256)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(steps):
        mask = part_mask(len(x), COCO_17, generator=generator)
        loss = reconstruction_loss(*model(x, mask), mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("gnn", ["gin", "gcn", "gat"])
@pytest.mark.parametrize("training", [True, False])
def test_hidden_joints_do_not_leak_into_the_encoding(gnn, training):
    torch.manual_seed(0)
    model = SkeletonMAE(COCO_17, gnn=gnn).train(training)
    mask = part_mask(6, COCO_17, parts=["left_arm", "torso"])
    x = torch.randn(6, 17, 2)
    other = torch.where(mask.unsqueeze(-1), torch.randn(6, 17, 2) * 50, x)
    encoded = [model.encode(model.embedded(points), mask) for points in (x, other)]
    assert torch.equal(*encoded)
    reconstructed = [model(points, mask)[0] for points in (x, other)]
    assert torch.equal(*reconstructed)


def test_visible_joints_do_matter():
    torch.manual_seed(0)
    model = SkeletonMAE(COCO_17).eval()
    mask = part_mask(1, COCO_17, parts=["left_arm"])
    x = torch.randn(1, 17, 2)
    other = x.clone()
    other[0, 5] += 1  # the shoulder beside the hidden arm
    assert not torch.allclose(model(x, mask)[0][0, 7], model(other, mask)[0][0, 7])


def test_shapes_and_the_free_output_of_the_decoder():
    model = SkeletonMAE(COCO_17, in_channels=3, embed_dim=16, hidden_dim=24).eval()
    reconstructed, target = model(torch.randn(5, 17, 3), part_mask(5, COCO_17))
    assert reconstructed.shape == target.shape == (5, 17, 16)
    assert (reconstructed < 0).any()


@pytest.mark.parametrize("detach", [True, False])
def test_gradient_through_the_target(detach):
    model = SkeletonMAE(COCO_17, detach_target=detach)
    _, target = model(torch.randn(2, 17, 2), part_mask(2, COCO_17))
    assert target.requires_grad is not detach


def test_remasking_hides_the_encoding_of_hidden_joints_from_the_decoder():
    torch.manual_seed(0)
    model = SkeletonMAE(COCO_17, remask=True).eval()
    seen = []
    model.decoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    mask = part_mask(2, COCO_17, parts=["head"])
    model(torch.randn(2, 17, 2), mask)
    assert (seen[0][:, mask] == 0).all()
    assert (seen[0][:, ~mask] != 0).any()


def test_training_reconstructs_hidden_parts_better_than_the_mean_body():
    torch.manual_seed(0)
    model = SkeletonMAE(COCO_17, embed_dim=32, hidden_dim=32)
    losses = train(model, 250, lr=4e-3)
    assert losses[-1] < 0.2 * losses[0]
    x = walkers(256, seed=9)
    mask = part_mask(256, COCO_17, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        reconstructed, target = model.eval()(x, mask)
    mean_target = model.embedded(walkers(256)).detach().mean(dim=1).T.expand_as(target)
    ours = reconstruction_loss(reconstructed, target, mask, form="mean")
    theirs = reconstruction_loss(mean_target, target, mask, form="mean")
    assert ours < 0.5 * theirs


def test_the_target_does_not_collapse():
    """Features of different joints stay different: with a detached target no shortcut is learnt."""
    torch.manual_seed(0)
    model = SkeletonMAE(COCO_17, embed_dim=32, hidden_dim=32)
    train(model, 150)
    features = F.normalize(model.embedded(walkers(64, seed=9)).detach().movedim(0, -1), dim=-1)
    alike = (features @ features.transpose(1, 2)).mean()
    assert alike < 0.9
