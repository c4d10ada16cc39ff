"""STRL and the SSL classifier."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from skelact import SkelactError
from skelact.models.classifier import bones_and_motion
from skelact.models.skeleton_mae import SkeletonMAE
from skelact.models.strl import SSLClassifier, STRLLayer
from skelact.models.temporal import MultiScaleTemporalConv
from skelact.pose_extract.layout import COCO_17

SMALL = {"embed_dim": 16, "hidden_dim": 16, "temporal_dim": 32, "clip_len": 16}


def clips(count=4, num_person=2, seed=0):
    return torch.randn(count, num_person, 16, 17, 2, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("combine", ["concat", "add"])
@pytest.mark.parametrize("temporal", ["last", "every"])
@pytest.mark.parametrize("gnn", ["gin", "gcn", "gat"])
def test_a_logit_per_class(combine, temporal, gnn):
    model = SSLClassifier(COCO_17, 5, combine=combine, temporal=temporal, gnn=gnn, **SMALL).eval()
    assert model(clips()).shape == (4, 5)


def test_the_pooled_encoding_reaches_every_joint():
    torch.manual_seed(0)
    layer = STRLLayer(COCO_17, 8, 8, 1, 1, "gin", "concat").eval()
    h = torch.randn(8, 1, 17)
    moved = h.clone()
    moved[..., 9] += 1  # one bone away is the elbow alone, so the others change by the pooling
    changed = (layer(h, 0) - layer(moved, 0)).abs().sum(dim=0)[0] > 1e-7
    assert changed.all()


def test_absent_people_change_nothing():
    model = SSLClassifier(COCO_17, 5, **SMALL).eval()
    x = clips()
    x[:, 1] = 0
    alone = model.features(x)[0][:, 0]
    assert torch.allclose(model(x), model.head(alone), atol=1e-6)


def test_in_training_absent_people_stay_out_of_the_batch_statistics():
    torch.manual_seed(0)
    model = SSLClassifier(COCO_17, 5, **SMALL).train()
    present = clips(4)
    present[:, 1] = 0
    padded = torch.cat([present, torch.zeros_like(present)])
    logits = [model(x)[:4] for x in (present, padded)]
    assert torch.allclose(*logits, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_a_clip_without_a_person_gives_finite_logits(training):
    model = SSLClassifier(COCO_17, 5, **SMALL).train(training)
    assert torch.isfinite(model(torch.zeros(3, 2, 16, 17, 2))).all()


def test_each_person_has_an_encoder_of_their_own():
    torch.manual_seed(0)
    model = SSLClassifier(COCO_17, 5, **SMALL).eval()
    x = clips(2)
    features, _ = model.features(torch.stack([x[:, 0], x[:, 0]], dim=1))
    assert not torch.allclose(features[:, 0], features[:, 1])
    for layer in model.layers:
        layer.encoders[1].load_state_dict(layer.encoders[0].state_dict())
    features, _ = model.features(torch.stack([x[:, 0], x[:, 0]], dim=1))
    assert torch.allclose(features[:, 0], features[:, 1], atol=1e-6)


def test_order_in_time_matters():
    torch.manual_seed(0)
    model = SSLClassifier(COCO_17, 5, **SMALL).eval()
    x = clips()
    assert not torch.allclose(model(x), model(x.flip(2)), atol=1e-4)


def test_pretrained_weights_go_into_every_layer_and_person():
    torch.manual_seed(0)
    mae = SkeletonMAE(COCO_17, embed_dim=16, hidden_dim=16)
    model = SSLClassifier(COCO_17, 5, **SMALL)
    model.load_pretrained(mae)
    assert torch.equal(model.embed.weight, mae.embed.weight)
    theirs = mae.encoder.state_dict()
    for layer in model.layers:
        for encoder in layer.encoders:
            for name, tensor in encoder.state_dict().items():
                assert torch.equal(tensor, theirs[name])


def test_pretrained_weights_of_another_shape_are_refused():
    with pytest.raises(SkelactError, match="does not fit this classifier"):
        SSLClassifier(COCO_17, 5, **SMALL).load_pretrained(SkeletonMAE(COCO_17, embed_dim=32))


def test_overfits_eight_clips():
    torch.manual_seed(0)
    model = SSLClassifier(COCO_17, 8, **SMALL)
    x, labels = clips(8), torch.arange(8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step in range(60):
        if step == 40:  # batch statistics settle, so that the trained network is the one evaluated
            optimizer.param_groups[0]["lr"] = 0.005
        loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert (model.eval()(x).argmax(dim=1) == labels).all()


def test_temporal_branches_reach_as_far_as_their_dilation():
    torch.manual_seed(0)
    conv = MultiScaleTemporalConv(8, 8).eval()
    x = torch.randn(8, 21, 1, 1)
    moved = x.clone()
    moved[:, 10] += 1
    changed = (conv(x) - conv(moved)).abs().amax(dim=(0, 2, 3)) > 1e-6
    # Five frames, two apart: four to either side. At dilation 2 the odd ones are reached by
    # dilation 1 and the pooling only up to two frames away.
    assert changed.nonzero().flatten().tolist() == [6, 8, 9, 10, 11, 12, 14]


def test_widths_that_branches_cannot_share_are_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        MultiScaleTemporalConv(8, 10)


def test_a_joint_that_was_not_seen_is_the_mask_of_pre_training():
    torch.manual_seed(0)
    mae = SkeletonMAE(COCO_17, embed_dim=16, hidden_dim=16)
    model = SSLClassifier(COCO_17, 5, missing="mask", **SMALL).eval()
    model.load_pretrained(mae)
    assert torch.equal(model.mask_token, mae.mask_token)
    x = clips()
    x[:, :, :, [1, 2, 3, 4]] = 0
    before = model(x)
    with torch.no_grad():
        model.mask_token += 1
    assert not torch.allclose(before, model(x))
    seen = clips()
    with torch.no_grad():
        whole = model(seen)
        model.mask_token += 1
    assert torch.equal(whole, model(seen))


@pytest.mark.parametrize("option", [{"combine": "mix"}, {"temporal": "never"}, {"missing": "lost"}])
def test_unknown_options_list_the_known_ones(option):
    with pytest.raises(ValueError, match="expected '"):
        SSLClassifier(COCO_17, 5, **option)


def test_streams_by_hand():
    model = SSLClassifier(COCO_17, 5, streams=("bone", "motion"), **SMALL)
    x = clips(1)[..., :2]
    x[0, 0, 3, 7] = 0  # the left elbow is missing in one frame
    bone, motion = (out.unsqueeze(1) for out in bones_and_motion(x[:, 0], model.parents))
    assert torch.allclose(bone[0, 0, 5, 9], x[0, 0, 5, 9] - x[0, 0, 5, 7])  # elbow to wrist
    assert torch.allclose(motion[0, 0, 5, 9], x[0, 0, 5, 9] - x[0, 0, 4, 9])
    assert (bone[0, 0, 3, [7, 9]] == 0).all()
    assert (motion[0, 0, 3:5, 7] == 0).all()
    assert (motion[:, :, 0] == 0).all()
    assert (bone[..., 0, :] == 0).all()
    assert model.eval()(x).shape == (1, 5)
