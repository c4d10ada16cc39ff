"""Images are augmented within their range and by their seed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from distill_scenes import load

from skelact import SkelactError
from skelact.pipeline.distill.image_augment import ImageAugmentConfig, augment_images


def test_images_are_augmented_within_their_range_and_by_their_seed():
    x = torch.rand(8, 3, 64, 48, generator=torch.Generator().manual_seed(0)) * 255
    first = augment_images(x, ImageAugmentConfig(), torch.Generator().manual_seed(1))
    again = augment_images(x, ImageAugmentConfig(), torch.Generator().manual_seed(1))
    other = augment_images(x, ImageAugmentConfig(), torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 255
    assert first.shape == x.shape
    clean = ImageAugmentConfig(brightness=0, contrast=0, color=0, grayscale_prob=0,
                               motion_blur_prob=0, downscale_prob=0, noise_prob=0,
                               cutout_prob=0)  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    shuffled = augment_images(x, replace(clean, channel_shuffle_prob=1.0), generator)
    assert torch.allclose(shuffled.sum(1), x.sum(1), atol=1e-3)
    assert not torch.allclose(shuffled, x)
    mixed = augment_images(x, replace(clean, mixup_prob=1.0, mixup_share=0.5), generator)
    other_share = ((mixed - x) / (x.roll(1, 0) - x)).flatten(1).nanmedian(dim=1)[0]
    assert ((other_share >= 0) & (other_share <= 0.5)).all()
    assert other_share.max() > 0.1


@pytest.mark.parametrize(("old", "new"), ImageAugmentConfig.RENAMED.items())
def test_renamed_keys_of_image_augmentation_name_the_new_ones(old, new):
    with pytest.raises(SkelactError, match=f"'{old}' is now called '{new}'"):
        load("detector_rtmdet", f"images.{old}=0.1")
    assert getattr(load("detector_rtmdet", f"images.{new}=1").images, new) == 1
