"""The reconstruction error on cases worked out by hand."""

from __future__ import annotations

import pytest
import torch

from skelact.models.losses import reconstruction_loss

# Two hidden joints of one sample: cosines 0 and -1; the third joint is not hidden.
TARGET = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]])
REBUILT = torch.tensor([[[0.0, 3.0], [0.0, -1.0], [-9.0, 9.0]]])
MASK = torch.tensor([[True, True, False]])


def test_mean_form():
    # ((1 - 0)^2 + (1 + 1)^2) / 2
    assert reconstruction_loss(REBUILT, TARGET, MASK, form="mean").item() == pytest.approx(2.5)


def test_paper_form():
    # (1/2 - 0/2)^2 + (1/2 + 1/2)^2
    assert reconstruction_loss(REBUILT, TARGET, MASK, form="paper").item() == pytest.approx(1.25)


@pytest.mark.parametrize(("form", "expected"), [("mean", 1.5), ("paper", 1.5)])
def test_with_beta_1_both_forms_agree(form, expected):
    loss = reconstruction_loss(REBUILT, TARGET, MASK, beta=1.0, form=form)
    assert loss.item() == pytest.approx(expected)


def test_samples_weigh_alike_whatever_they_hide():
    target = TARGET.repeat(2, 1, 1)
    rebuilt = torch.cat([REBUILT, TARGET])  # the second sample is right
    mask = torch.tensor([[True, True, False], [True, False, False]])
    loss = reconstruction_loss(rebuilt, target, mask, form="mean")
    assert loss.item() == pytest.approx(2.5 / 2)


def test_right_up_to_length_costs_nothing():
    assert reconstruction_loss(5 * TARGET, TARGET, MASK).item() == pytest.approx(0, abs=1e-10)


def test_what_is_not_hidden_does_not_count():
    other = REBUILT.clone()
    other[0, 2] = torch.tensor([4.0, -8.0])
    assert reconstruction_loss(REBUILT, TARGET, MASK) == reconstruction_loss(other, TARGET, MASK)


def test_a_sample_that_hides_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one hidden joint"):
        reconstruction_loss(REBUILT, TARGET, torch.zeros_like(MASK))


def test_another_form_is_refused():
    with pytest.raises(ValueError, match="'paper' or 'mean'"):
        reconstruction_loss(REBUILT, TARGET, MASK, form="sum")
