"""ST-GCN++ as its paper describes it."""

from __future__ import annotations

import pytest
import torch

from skelact import SkelactError
from skelact.models.skeleton_mae import SkeletonMAE
from skelact.models.stgcn import STGCNClassifier, _SpatialGraph
from skelact.pose_extract.layout import COCO_17


def test_it_has_the_size_of_the_published_one():
    """1.39 M parameters with NTU's 25 joints and 60 classes; adjacencies are smaller with 17."""
    model = STGCNClassifier(COCO_17, 60, in_channels=3)
    adjacencies = 10 * 3 * (25**2 - 17**2)
    count = sum(p.numel() for p in model.parameters()) + adjacencies
    assert count == pytest.approx(1.39e6, rel=0.02)


def test_neighbours_are_summed_in_each_partition():
    torch.manual_seed(0)
    graph = _SpatialGraph(COCO_17, 2, 4).eval()
    torch.nn.init.normal_(graph.adjacency)  # not the same from v to w as back
    x = torch.randn(3, 2, 5, 17)
    weight = graph.conv.weight.view(4, 3, 2)
    by_hand = torch.einsum("okc,kvw,bctv->botw", weight, graph.adjacency, x)
    by_hand = by_hand + graph.conv.bias[:, None, None]
    expected = torch.relu(graph.norm(by_hand) + graph.down(x))
    torch.testing.assert_close(graph(x), expected)


def test_logits_time_and_absent_people():
    torch.manual_seed(0)
    model = STGCNClassifier(COCO_17, 5, base_width=8, clip_len=16).eval()
    x = torch.randn(3, 2, 16, 17, 2)
    assert model(x).shape == (3, 5)
    assert not torch.allclose(model(x), model(x.flip(2)), atol=1e-5)
    x[:, 1] = 0
    assert torch.allclose(model(x), model(x[:, :1]), atol=1e-6)


def test_a_quarter_of_the_frames_is_left():
    model = STGCNClassifier(COCO_17, 5, base_width=8).eval()
    assert model.blocks(torch.randn(1, 2, 16, 17)).shape == (1, 32, 4, 17)


def test_it_has_no_pretraining():
    with pytest.raises(SkelactError, match="'stgcn' has no pre-training"):
        STGCNClassifier(COCO_17, 5, base_width=8).load_pretrained(SkeletonMAE(COCO_17))
