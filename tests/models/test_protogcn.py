"""ProtoGCN as its paper describes it."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from skelact import SkelactError
from skelact.models.protogcn import (
    ProtoGCNClassifier,
    _ClassContrast,
    _MotionTopology,
    _Prototypes,
    _WithMeanJoint,
)
from skelact.models.skeleton_mae import SkeletonMAE
from skelact.models.stgcn import TemporalBranches
from skelact.pose_extract.layout import COCO_17


def network(**settings):
    torch.manual_seed(0)
    shape = {"base_width": 8, "num_prototypes": 6, "clip_len": 16} | settings
    return ProtoGCNClassifier(COCO_17, 5, **shape)


def with_own_topologies(model):
    """Let the clips' own topologies, which start at 0, count."""
    for block in model.blocks:
        torch.nn.init.constant_(block.graph.of_differences, 0.5)
        torch.nn.init.constant_(block.graph.of_similarity, 0.5)
    return model


def test_joints_are_summed_by_an_adjacency_for_each_channel_and_clip():
    torch.manual_seed(0)
    graph = _MotionTopology(17, 3, 16).eval()
    torch.nn.init.constant_(graph.of_differences, 0.7)
    torch.nn.init.constant_(graph.of_similarity, 0.3)
    x = torch.randn(2, 3, 5, 17)
    before = graph.before(x).reshape(2, 8, 2, 5, 17)
    # As the paper has it: convolved first, the mean over time after.
    query, key = (
        torch.einsum("oc,bctv->botv", layer.weight, x).add(layer.bias[:, None, None]).mean(2)
        for layer in (graph.query, graph.key)
    )
    summed = torch.zeros(2, 8, 2, 5, 17)
    for group in range(8):
        of_group = slice(2 * group, 2 * group + 2)
        q, k = query[:, of_group], key[:, of_group]
        similarity = torch.softmax(torch.einsum("bcv,bcw->bvw", q, k), dim=-2)
        for channel in range(2):
            difference = torch.tanh(q[:, channel, :, None] - k[:, channel, None, :])
            adjacency = graph.adjacency[group] + 0.7 * difference + 0.3 * similarity
            summed[:, group, channel] = torch.einsum(
                "btv,bvw->btw", before[:, group, channel], adjacency
            )
    expected = torch.relu(graph.norm(graph.after(summed.flatten(1, 2))) + graph.down(x))
    torch.testing.assert_close(graph(x), expected)


def test_branches_over_time_add_what_they_give_for_the_mean_joint():
    torch.manual_seed(0)
    time = _WithMeanJoint(17, 12, 2).eval()
    of_mean = torch.linspace(-1, 1, 17)
    x = torch.randn(2, 12, 8, 17)
    alone = time.joined(x)  # the weights start at 0
    torch.testing.assert_close(alone, TemporalBranches.joined(time, x))
    time.of_mean.data.copy_(of_mean)
    mean = TemporalBranches.joined(time, x.mean(dim=-1, keepdim=True))
    torch.testing.assert_close(time.joined(x), alone + mean * of_mean)


def test_a_topology_is_rebuilt_from_prototypes():
    torch.manual_seed(0)
    prototypes = _Prototypes(8, 3).eval()
    topology = torch.randn(2, 8, 17, 17)
    shares = torch.softmax(torch.einsum("pd,bdvw->bpvw", prototypes.query.weight, topology), dim=1)
    rebuilt = torch.einsum("dp,bpvw->bdvw", prototypes.memory.weight, shares)
    expected = prototypes.mix(rebuilt).mean(dim=1).reshape(2, 17 * 17)
    torch.testing.assert_close(prototypes(topology), expected)


def test_classes_remember_what_was_classified_rightly():
    torch.manual_seed(0)
    contrast = _ClassContrast(9, 4)
    before = contrast.memory.clone()
    topologies, labels = torch.randn(3, 9), torch.tensor([0, 0, 1])
    # The second clip of class 0, and that of class 1, are taken for another class.
    logits = F.one_hot(torch.tensor([0, 3, 2]), 4).float()
    loss = contrast(topologies, labels, logits)
    feature = contrast.project(topologies)
    expected = before.clone()
    expected[0] = 0.9 * before[0] + 0.1 * feature[0]
    torch.testing.assert_close(contrast.memory, expected.detach())
    cosines = F.cosine_similarity(feature[:, None], expected[None], dim=-1)
    torch.testing.assert_close(loss, F.cross_entropy(cosines / 0.125, labels))


def test_its_loss_is_the_cross_entropy_and_the_contrast():
    x, labels = torch.randn(4, 2, 16, 17, 2), torch.tensor([0, 1, 2, 3])
    model = with_own_topologies(network()).eval()
    same = copy.deepcopy(model)
    plain = F.cross_entropy(model(x), labels, label_smoothing=0.1)
    model.contrast_weight = 0.0
    torch.testing.assert_close(model.loss(x, labels, 0.1), plain)
    _, topology = same._run(x[:, 0])
    _, other = same._run(x[:, 1])
    described = (same.prototypes(topology) + same.prototypes(other)) / 2
    contrast = copy.deepcopy(same.contrast)(described, labels, same(x))
    torch.testing.assert_close(same.loss(x, labels, 0.1), plain + 0.2 * contrast)


def test_people_who_are_absent_count_for_nothing():
    model = with_own_topologies(network()).eval()
    x, labels = torch.randn(3, 2, 16, 17, 2), torch.tensor([0, 1, 2])
    x[:, 1] = 0
    assert model(x).shape == (3, 5)
    torch.testing.assert_close(model(x), model(x[:, :1]))
    alone = copy.deepcopy(model).loss(x[:, :1], labels)
    torch.testing.assert_close(copy.deepcopy(model).loss(x, labels), alone)
    # Nor for the statistics of a batch.
    other = copy.deepcopy(model)
    model.train().loss(x, labels)
    other.train().loss(x[:, :1], labels)
    torch.testing.assert_close(model.norm.running_mean, other.norm.running_mean)
    empty = torch.zeros(2, 2, 16, 17, 2)
    assert torch.isfinite(model.loss(empty, torch.tensor([0, 1])))


def test_all_weights_learn():
    model = with_own_topologies(network())
    model.loss(torch.randn(4, 1, 16, 17, 2), torch.tensor([0, 1, 2, 3])).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert not without


def test_its_blocks_see_the_mean_joint():
    assert all(isinstance(block.time, _WithMeanJoint) for block in network().blocks)


def test_time_counts_and_a_quarter_of_the_frames_is_left():
    model = network().eval()
    x = torch.randn(3, 1, 16, 17, 2)
    assert not torch.allclose(model(x), model(x.flip(2)), atol=1e-5)
    h = torch.randn(1, 2, 16, 17)
    for block in model.blocks:
        h = block(h)
    assert h.shape == (1, 32, 4, 17)


def test_it_starts_from_a_classifier_of_other_classes():
    other, model = (
        network(),
        ProtoGCNClassifier(COCO_17, 9, base_width=8, num_prototypes=6, clip_len=16),
    )
    own = model.contrast.memory.clone()
    model.load_body(other)
    torch.testing.assert_close(model.blocks[3].graph.adjacency, other.blocks[3].graph.adjacency)
    torch.testing.assert_close(model.contrast.memory, own)
    wider = ProtoGCNClassifier(COCO_17, 9, base_width=16, num_prototypes=6, clip_len=16)
    with pytest.raises(SkelactError) as caught:
        wider.load_body(other)
    assert str(caught.value).endswith(
        " weights differ, such as blocks.0.graph.before.0.weight: expected (16, 2, 1, 1), "
        "got (8, 2, 1, 1)"
    )
    assert "\n" not in str(caught.value)


def test_it_has_no_pretraining():
    with pytest.raises(SkelactError, match="'protogcn' has no pre-training"):
        network().load_pretrained(SkeletonMAE(COCO_17))
