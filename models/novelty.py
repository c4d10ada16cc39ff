"""How little the features of a clip are like those of the classes that a classifier knows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The network that tells other actions, and how much it counts beside the distance: set once and not
# searched. benchmarks/unknown.py reports either part and their sum.
_HIDDEN = 64
_OTHERS_WEIGHT = 1 / 3
_STEPS = 300
_RATE = 3e-3
_DROPOUT = 0.3


class Novelty(nn.Module):
    """Mahalanobis distance to the nearest class, and a small network that knows other actions.

    The distance has one covariance shared by all classes (Lee et al. 2018, "A simple unified
    framework for detecting out-of-distribution samples and adversarial attacks"), of the features
    before the classifier's last layer. It is divided by the root of the number of features, so that
    it is about 1 for a clip of a class, however many features there are. Where clips of other
    actions were at hand, the network's logit is added (after Hendrycks et al. 2019, "Deep anomaly
    detection with outlier exposure", with the classifier left as it is); it is 0 otherwise.

    Args:
        num_classes: K.
        feature_dim: D.
    """

    means: Tensor
    whitening: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, num_classes: int, feature_dim: int) -> None:
        super().__init__()
        # Means of the classes, whitened.
        self.register_buffer("means", torch.zeros(num_classes, feature_dim))
        self.register_buffer("whitening", torch.eye(feature_dim))
        self.register_buffer("centre", torch.zeros(feature_dim))
        self.register_buffer("scale", torch.ones(feature_dim))
        last = nn.Linear(_HIDDEN, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.others = nn.Sequential(
            nn.Linear(feature_dim, _HIDDEN), nn.ReLU(), nn.Dropout(_DROPOUT), last
        )

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

    def fit_others(self, known: Tensor, unknown: Tensor, seed: int) -> None:
        """Train the network that tells other actions.

        Args:
            known: (N, D) features of clips of the classes.
            unknown: (N', D) features of clips of other actions.
            seed: Seed of weights and dropout; the global random state stays.
        """
        x = torch.cat([known, unknown]).detach()
        y = torch.cat([known.new_zeros(len(known)), known.new_ones(len(unknown))])
        self.centre.copy_(x.mean(dim=0))
        self.scale.copy_(x.std(dim=0).clamp(min=1e-3))
        x = (x - self.centre) / self.scale
        weight = torch.where(y == 1, 0.5 / y.mean(), 0.5 / (1 - y.mean()))  # both sides alike
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(seed)
            for layer in self.others:
                if isinstance(layer, nn.Linear):
                    layer.reset_parameters()
            self.others.train()
            optimizer = torch.optim.AdamW(self.others.parameters(), lr=_RATE)
            for _ in range(_STEPS):
                logits = self.others(x).squeeze(1)
                loss = F.binary_cross_entropy_with_logits(logits, y, weight=weight)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.others.eval()

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, D) to novelty, (N,); the higher, the less they are like any class."""
        x = features.float()
        others: Tensor = self.others((x - self.centre) / self.scale).squeeze(1)
        return self.distance(x) + _OTHERS_WEIGHT * others

    def distance(self, features: Tensor) -> Tensor:
        """Map features (N, D) to the distance over the root of D, (N,)."""
        white = features @ self.whitening.T
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
