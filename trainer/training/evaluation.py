"""How good an exported model is on a split: accuracy, loss, confusion, and the pictures it is most wrong about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.data.cache import PixelCache
from trainer.tensors import Tensors
from trainer.training import scores

BATCH = 64
_SMALLEST = 1e-7  # probabilities are clipped here before the logarithm, as Keras does


Probabilities = npt.NDArray[np.float64]
"""[n, classes], by example id."""


class Judged(Protocol):
    """A split with its labels: a PixelCache or a FeatureCache."""

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        """[n], by example id."""

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """[n]: which pictures count."""


@dataclass(frozen=True)
class Evaluation:
    """Over the usable pictures of a split. `confusion` has a row per true class, a column per predicted class."""

    accuracy: float
    loss: float
    examples: int
    confusion: tuple[tuple[int, ...], ...]
    predicted: npt.NDArray[np.int64]  # [n], by example id
    probability: npt.NDArray[np.float64]  # [n] of the predicted class
    most_wrong: tuple[int, ...]  # ids of mistakes, the most confident first

    def as_json(self) -> dict[str, Any]:
        """The part that is in summary.json and `catdog evaluate -o json`."""
        return {
            "accuracy": self.accuracy,
            "loss": self.loss,
            "examples": self.examples,
            "confusion": [list(row) for row in self.confusion],
            "balanced_accuracy": scores.balanced_accuracy(self.matrix),
            "macro_f1": scores.macro_f1(self.matrix),
            "recall": scores.recalls(self.matrix),
        }

    @property
    def matrix(self) -> scores.Matrix:
        """`confusion` as an array."""
        return np.array(self.confusion, np.int64)


def probabilities(serve_pixels: Callable[..., Tensors], cache: PixelCache) -> Probabilities:
    """Probabilities of every picture of a split, float64 [n, classes], by example id."""
    parts = [
        serve_pixels(pixels=tf.constant(cache.pixels[start : start + BATCH]))["probabilities"].numpy()
        for start in range(0, len(cache), BATCH)
    ]
    return np.concatenate(parts).astype(np.float64)


def evaluate(predictions: Probabilities, cache: Judged) -> Evaluation:
    """Compare probabilities, float64 [n, classes], with the labels of the usable pictures."""
    count, classes = predictions.shape
    predicted = predictions.argmax(axis=1)
    own = predictions[np.arange(count), cache.labels]
    right = predicted == cache.labels
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (cache.labels[cache.usable], predicted[cache.usable]), 1)
    wrong = np.flatnonzero(cache.usable & ~right)
    examples = int(cache.usable.sum())
    return Evaluation(
        accuracy=float(right[cache.usable].mean()) if examples else 0.0,
        loss=float(-np.log(np.clip(own[cache.usable], _SMALLEST, 1.0)).mean()) if examples else 0.0,
        examples=examples,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        predicted=predicted,
        probability=predictions.max(axis=1),
        most_wrong=tuple(int(i) for i in wrong[np.argsort(own[wrong], kind="stable")]),
    )
