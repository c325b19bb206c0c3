"""Whether probabilities can be believed, and the temperature that makes them so (Guo et al. 2017). Pure."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 15
LOWEST, HIGHEST = 1 / 20, 20.0
"""Bounds of the temperature: with hardly a mistake the best one is near 0, and with hardly a right answer infinite."""

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)

_STEPS = 100  # bisection alone would need 50
_CLOSE = 1e-9  # of the temperature, relative

Numbers = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Quality:
    """Cross-entropy and expected calibration error, before and after the logits are divided by a temperature."""

    loss_before: float
    loss_after: float
    ece_before: float
    ece_after: float


@dataclass(frozen=True)
class Answered:
    """What is left when only answers with at least this probability count; `accuracy` is None if none is left."""

    threshold: float
    answered: int
    share: float
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """A temperature, and what it changes on the pictures it was fitted on and on others; None without pictures."""

    temperature: float
    valid: Quality | None
    test: Quality | None


def calibrated(valid: tuple[Numbers, Labels], test: tuple[Numbers, Labels] | None) -> Calibration:
    """Fit the temperature on logits and labels of valid; measure it there and on test, which may be absent."""
    temperature = fit_temperature(*valid)
    return Calibration(temperature, quality(*valid, temperature), None if test is None else quality(*test, temperature))


def expected_calibration_error(top: Numbers, right: npt.NDArray[np.bool_]) -> float:
    """Mean distance of probability and accuracy over BINS equally wide bins, each counted by its pictures.

    `top` is the probability of the predicted class, [n], of at least one picture. Bins are open below and closed above,
    as in the paper.
    """
    at = np.clip(np.ceil(top * BINS).astype(np.int64) - 1, 0, BINS - 1)
    surplus = np.bincount(at, weights=top - right, minlength=BINS)
    return float(np.abs(surplus).sum() / len(top))


def answered(top: Numbers, right: npt.NDArray[np.bool_]) -> tuple[Answered, ...]:
    """For each of THRESHOLDS the share of pictures that are still answered, and the accuracy among them."""
    return tuple(_answered(top >= threshold, right, threshold) for threshold in THRESHOLDS if len(top))


def _answered(kept: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_], threshold: float) -> Answered:
    return Answered(threshold, int(kept.sum()), float(kept.mean()), float(right[kept].mean()) if kept.any() else None)


def per_class(logits: npt.NDArray[Any]) -> Numbers:
    """A logit for each class, float64 [n, classes], of a network's [n, 1 or classes]: one logit is the second's."""
    exact = logits.astype(np.float64)
    return np.concatenate([np.zeros_like(exact), exact], axis=1) if exact.shape[1] == 1 else exact


def cross_entropy(logits: Numbers, labels: Labels, temperature: float = 1.0) -> float:
    """Mean cross-entropy of softmax(logits / temperature), exact where the softmax itself would be 0 or 1."""
    return -float(_log_softmax(logits / temperature)[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: Numbers, labels: Labels) -> float:
    """The temperature in [LOWEST, HIGHEST] with the lowest cross-entropy; logits [n, classes], one for each class.

    1.0 where the pictures cannot tell: there are none, or the network is right on all of them. In the latter case the
    lower the temperature, the lower the loss, down to any bound: how sure to be is learned from mistakes only.
    """
    if not len(labels) or bool((logits.argmax(axis=1) == labels).all()):
        return 1.0
    fitted = 1 / _best_inverse(logits, labels)
    # Rounding aside it is at most as high; where nothing is gained, the network stays as it is.
    return fitted if cross_entropy(logits, labels, fitted) < cross_entropy(logits, labels) else 1.0


def quality(logits: Numbers, labels: Labels, temperature: float) -> Quality | None:
    """Loss and calibration error at temperature 1 and at `temperature`; None without pictures."""
    if not len(labels):
        return None
    right = logits.argmax(axis=1) == labels
    losses = [cross_entropy(logits, labels, one) for one in (1.0, temperature)]
    tops = [np.exp(_log_softmax(logits / one)).max(axis=1) for one in (1.0, temperature)]
    return Quality(*losses, *(expected_calibration_error(top, right) for top in tops))


def _best_inverse(logits: Numbers, labels: Labels) -> float:
    """The inverse temperature at which the slope of the cross-entropy, which is convex in it, is zero."""
    low, high = 1 / HIGHEST, 1 / LOWEST
    if _slopes(logits, labels, low)[0] >= 0:
        return low
    if _slopes(logits, labels, high)[0] <= 0:
        return high
    at = 1.0
    for _ in range(_STEPS):
        slope, curvature = _slopes(logits, labels, at)
        low, high = (low, at) if slope > 0 else (at, high)
        # Newton's step where it stays between the bounds, which close in on the minimum either way.
        newton = at - slope / curvature if curvature > 0 else math.nan
        before, at = at, newton if low <= newton <= high else float(np.sqrt(low * high))
        if abs(at - before) <= _CLOSE * at:
            break
    return at


def _slopes(logits: Numbers, labels: Labels, inverse: float) -> tuple[float, float]:
    """First and second derivative of the cross-entropy by the inverse temperature."""
    shares = np.exp(_log_softmax(logits * inverse))
    mean = (shares * logits).sum(axis=1)
    spread = (shares * (logits - mean[:, None]) ** 2).sum(axis=1)
    return float((mean - logits[np.arange(len(labels)), labels]).mean()), float(spread.mean())


def _log_softmax(logits: Numbers) -> Numbers:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
