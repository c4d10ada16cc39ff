"""The reconstruction error on cases worked out by hand."""

from __future__ import annotations

import pytest
import torch

from skelact.models.losses import reconstruction_loss, tube_loss

# Two hidden joints of one sample: cosines 0 and -1; the third joint is not hidden.
TARGET = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]])
OUTPUT = torch.tensor([[[0.0, 3.0], [0.0, -1.0], [-9.0, 9.0]]])
MASK = torch.tensor([[True, True, False]])


def test_mean_form():
    # ((1 - 0)^2 + (1 + 1)^2) / 2
    assert reconstruction_loss(OUTPUT, TARGET, MASK, form="mean").item() == pytest.approx(2.5)


def test_paper_form():
    # (1/2 - 0/2)^2 + (1/2 + 1/2)^2
    assert reconstruction_loss(OUTPUT, TARGET, MASK, form="paper").item() == pytest.approx(1.25)


@pytest.mark.parametrize(("form", "expected"), [("mean", 1.5), ("paper", 1.5)])
def test_with_beta_1_both_forms_agree(form, expected):
    loss = reconstruction_loss(OUTPUT, TARGET, MASK, beta=1.0, form=form)
    assert loss.item() == pytest.approx(expected)


def test_samples_weigh_alike_whatever_they_hide():
    target = TARGET.repeat(2, 1, 1)
    reconstructed = torch.cat([OUTPUT, TARGET])  # the second sample is right
    mask = torch.tensor([[True, True, False], [True, False, False]])
    loss = reconstruction_loss(reconstructed, target, mask, form="mean")
    assert loss.item() == pytest.approx(2.5 / 2)


def test_right_up_to_length_costs_nothing():
    assert reconstruction_loss(5 * TARGET, TARGET, MASK).item() == pytest.approx(0, abs=1e-10)


def test_what_is_not_hidden_does_not_count():
    other = OUTPUT.clone()
    other[0, 2] = torch.tensor([4.0, -8.0])
    assert reconstruction_loss(OUTPUT, TARGET, MASK) == reconstruction_loss(other, TARGET, MASK)


def test_a_sample_that_hides_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one hidden joint"):
        reconstruction_loss(OUTPUT, TARGET, torch.zeros_like(MASK))


def test_another_form_is_refused():
    with pytest.raises(ValueError, match="'paper' or 'mean'"):
        reconstruction_loss(OUTPUT, TARGET, MASK, form="sum")


def walk():
    """One joint walks by (3, 4) a frame for three frames; the other is never seen."""
    x = torch.zeros(1, 3, 2, 2)
    x[0, :, 0] = torch.tensor([[1.0, 1.0], [4.0, 5.0], [7.0, 9.0]])
    return x


def test_reconstructed_tubes_that_are_right_cost_nothing():
    x = walk()
    motion = torch.zeros_like(x)
    motion[0, 1:, 0] = torch.tensor([3.0, 4.0]) / 5.001  # in units of the clip's motion
    hidden = torch.ones(1, 3, 2, dtype=torch.bool)
    assert tube_loss(x, motion, x, hidden).item() == pytest.approx(0, abs=1e-6)


def test_tube_loss_by_hand():
    x = walk()
    hidden = torch.zeros(1, 3, 2, dtype=torch.bool)
    hidden[0, 2] = True  # the last frame: one joint seen, one not
    positions = x + 1.0  # wrong by (1, 1)
    # No motion is reconstructed: the error is the square of the true one's length, about 1.
    loss = tube_loss(positions, torch.zeros_like(x), x, hidden, motion_weight=0.5)
    assert loss.item() == pytest.approx(2.0 + 0.5 * (5 / 5.001) ** 2, rel=1e-4)


def test_hidden_joints_that_are_all_missing_cost_nothing():
    x = torch.zeros(2, 3, 4, 2)
    hidden = torch.ones(2, 3, 4, dtype=torch.bool)
    assert tube_loss(x + 1, x + 1, x, hidden).item() == 0
