"""How far the features of a clip lie from those of all classes that a classifier was trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Novelty(nn.Module):
    """Mahalanobis distance to the nearest class, with one covariance shared by all classes.

    After Lee et al. 2018, "A simple unified framework for detecting out-of-distribution samples and
    adversarial attacks", of the features before the classifier's last layer. It is
    divided by the root of the number of features, so that it is about 1 for a clip of a class,
    however many features there are.

    Args:
        num_classes: K.
        feature_dim: D.
    """

    means: Tensor
    whitening: Tensor

    def __init__(self, num_classes: int, feature_dim: int) -> None:
        super().__init__()
        # Means of the classes, whitened.
        self.register_buffer("means", torch.zeros(num_classes, feature_dim))
        self.register_buffer("whitening", torch.eye(feature_dim))

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, num_clips: int) -> None:
        """Estimate the means and the covariance.

        Args:
            features: (N, D), each clip in one view or several.
            labels: (N,) int64, 0 to K - 1.
            num_clips: Clips that the N views are of; the fewer, the more the covariance is shrunk.
        """
        x = features.double()
        counts = torch.bincount(labels, minlength=len(self.means)).double()
        sums = x.new_zeros(self.means.shape).index_add_(0, labels, x)
        means = sums / counts.clamp(min=1).unsqueeze(1)
        rest = x - means[labels]
        # A class without a clip must not be nearest to any: it stands where another does.
        means = torch.where(counts.unsqueeze(1) > 0, means, means[counts.argmax()].clone())
        covariance = shrunk_covariance(rest, num_clips)
        # Sigma^-1 = L^-T L^-1: |L^-1 d| is the Mahalanobis length of d.
        whitening = torch.linalg.inv(torch.linalg.cholesky(covariance))
        self.whitening.copy_(whitening)
        self.means.copy_(means @ whitening.T)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, D) to the distance over the root of D, (N,)."""
        white = features.float() @ self.whitening.T
        squares: Tensor = (white.unsqueeze(1) - self.means).square().mean(dim=2)  # (N, K)
        return squares.amin(dim=1).sqrt()


def shrunk_covariance(rest: Tensor, num_samples: int) -> Tensor:
    """Return the covariance of few samples, drawn to a multiple of the unit matrix.

    The oracle approximating shrinkage of Chen, Wiesel, Eldar and Hero 2010 ("Shrinkage algorithms
    for MMSE covariance estimation"), equation 23.

    Args:
        rest: (N, D) float64, samples without their mean.
        num_samples: Independent samples among them.
    """
    dim = rest.shape[1]
    covariance = rest.T @ rest / max(len(rest), 1)
    square, trace = float((covariance @ covariance).trace()), float(covariance.trace())
    spread = (num_samples + 1 - 2 / dim) * (square - trace**2 / dim)
    least = (1 - 2 / dim) * square + trace**2
    share = min(1.0, least / spread) if spread > 0 else 1.0
    # Features that never vary have no scale of their own.
    mean_variance = trace / dim or 1.0
    return (1 - share) * covariance + share * mean_variance * torch.eye(dim, dtype=rest.dtype)
