"""The teacher's features: what it follows, and what is scored."""

from __future__ import annotations

import pytest
import torch

from skelact.models.teacher import FeatureTeacher
from skelact.models.tube import TubeEncoder
from skelact.pose_extract.layout import COCO_17


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return TubeEncoder(COCO_17, 2, (8, 16), (2, 1), 4)


@pytest.fixture
def people():
    return torch.randn(3, 8, 17, 2, generator=torch.Generator().manual_seed(1))


def test_it_begins_as_the_encoder_and_follows_it(encoder):
    teacher = FeatureTeacher(encoder, 0.75)
    before = encoder.embed.weight.detach().clone()
    with torch.no_grad():
        encoder.embed.weight += 1.0
    teacher.follow(encoder)
    torch.testing.assert_close(teacher.encoder.embed.weight, before + 0.25)
    assert not any(p.requires_grad for p in teacher.encoder.parameters())


def test_what_predicts_the_features_of_the_whole_clip_has_no_loss(encoder, people):
    teacher = FeatureTeacher(encoder.eval(), 0.9).eval()
    features = encoder.channels_first(people).movedim(0, -1)
    target = torch.nn.functional.layer_norm(features, features.shape[-1:]).movedim(-1, 0)
    hidden = torch.ones(3, 8, 17, dtype=torch.bool)
    teacher.predict = torch.nn.Identity()
    assert teacher(target, people, hidden).item() == pytest.approx(0, abs=1e-6)
    assert teacher(target + 1, people, hidden).item() == pytest.approx(0.5, rel=1e-4)


def test_what_is_seen_or_missing_is_not_scored(encoder, people):
    teacher = FeatureTeacher(encoder, 0.9).eval()
    people[1, :, 3] = 0
    encoded = encoder.channels_first(people)
    hidden = torch.zeros(3, 8, 17, dtype=torch.bool)
    assert teacher(encoded, people, hidden).item() == 0
    hidden[1, :, 3] = True
    assert teacher(encoded, people, hidden).item() == 0
    hidden[1, :2, 4] = True  # one step of the encoder
    loss = teacher(encoded, people, hidden)
    assert loss.item() > 0
    loss.backward()
    assert encoder.embed.weight.grad is not None
