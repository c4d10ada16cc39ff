"""Multinomial logistic regression with an L2 penalty that cross-validation chooses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

# Penalties that are tried, and folds of the cross-validation (Hastie, Tibshirani and Friedman 2009,
# section 7.10). The least is set by hand: where simulated clips are told apart without an error,
# the smaller the better, and chances of real ones would be 0 or 1.
PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
_FOLDS = 5
_FOLD_SEED = 0


@dataclass(frozen=True, eq=False)
class LogisticFit:
    """A fitted regression.

    Attributes:
        coefficients: (classes, 1 + F) float64, the constant first; they sum to 0 over the classes.
        penalty: The weight of the squared coefficients of standardised features in the mean loss.
        loss: Mean log loss of clips that were left out of a fit.
    """

    coefficients: np.ndarray
    penalty: float
    loss: float


def fit_logistic(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int
) -> LogisticFit:
    """Fit the penalty whose mean log loss is least in cross-validation, then all rows with it.

    Args:
        features: (N, F) float.
        labels: (N,) int, 0 to ``classes`` - 1.
        groups: (N,) int, numbers of clips: rows of one clip are left out together.
        classes: How many outcomes there are.
    """
    folds = np.random.default_rng(_FOLD_SEED).integers(_FOLDS, size=int(groups.max()) + 1)[groups]
    losses = {}
    for penalty in PENALTIES:
        left_out = np.zeros(len(labels))
        for fold in np.unique(folds):
            rows = folds == fold
            fitted = _fit(features[~rows], labels[~rows], classes, penalty)
            left_out[rows] = _log_losses(fitted, features[rows], labels[rows])
        losses[penalty] = float(left_out.mean())
    best = min(losses, key=lambda penalty: losses[penalty])
    return LogisticFit(_fit(features, labels, classes, best), best, losses[best])


def _fit(features: np.ndarray, labels: np.ndarray, classes: int, penalty: float) -> np.ndarray:
    """Minimise the mean log loss + penalty * |W|^2 / 2, W without the constants; (classes, 1 + F).

    The features are standardised, so that the penalty weighs all alike.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    inputs = _with_constant((features - mean) / spread)
    target = np.eye(classes)[labels]
    weighed = np.append(0.0, np.ones(features.shape[1]))  # the constant is free

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(classes, -1)
        logs = _log_chances(inputs @ weights.T)
        penalised = penalty * weighed * weights
        gradient = (np.exp(logs) - target).T @ inputs / len(inputs) + penalised
        mean_loss = -float((target * logs).sum()) / len(inputs)
        return mean_loss + float((penalised * weights).sum()) / 2, gradient.ravel()

    found = minimize(loss, np.zeros(classes * inputs.shape[1]), jac=True, method="L-BFGS-B",
                     options={"maxiter": 10_000, "gtol": 1e-7, "ftol": 1e-12})  # fmt: skip
    if not found.success:
        raise RuntimeError(f"the fit did not converge: {found.message}")
    out: np.ndarray = found.x.reshape(classes, -1)
    out -= out.mean(axis=0)  # what all classes share says nothing
    out[:, 1:] /= spread
    out[:, 0] -= out[:, 1:] @ mean
    return out


def _log_losses(coefficients: np.ndarray, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logs = _log_chances(_with_constant(features) @ coefficients.T)
    return -logs[np.arange(len(labels)), labels]


def _log_chances(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    out: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return out


def _with_constant(features: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(features), 1)), features], axis=1)
