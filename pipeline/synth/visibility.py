"""What of an athlete can be seen: water, splash and the borders of the image hide joints."""

from __future__ import annotations

import numpy as np

# The splash of an entry: seconds that it stands, metres that it is high at most, and the chance of
# a joint in it to be hidden; set by eye.
_SPLASH_SECONDS, _SPLASH_METRES, _SPLASH_CHANCE = 0.5, 0.7, 0.6


def visible(
    joints: np.ndarray,
    keypoints: np.ndarray,
    times: np.ndarray,
    entry: np.ndarray,
    img_shapes: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return which joints can be seen (N, T, 17), bool.

    Args:
        joints: (N, T, 17, 3) metres, world axes.
        keypoints: (N, T, 17, 2) pixels.
        times: (N, T) seconds.
        entry: (N,) seconds of the entry into water; NaN where there is no water.
        img_shapes: (N, 2) int, (height, width) of the images in pixels.
        rng: Random state.
    """
    wet = ~np.isnan(entry)[:, None]
    out = ~(wet[..., None] & (joints[..., 1] < 0))
    since = np.where(wet, times - np.nan_to_num(entry)[:, None], -1.0)
    share = (since / _SPLASH_SECONDS).clip(0, 1)
    high = np.where(since >= 0, _SPLASH_METRES * 4 * share * (1 - share), 0)
    hidden = joints[..., 1] < high[..., None]
    out &= ~(hidden & (rng.random(out.shape) < _SPLASH_CHANCE))
    low = (keypoints >= 0).all(axis=-1)
    return np.asarray(out & low & (keypoints < img_shapes[:, None, None, ::-1]).all(axis=-1))
