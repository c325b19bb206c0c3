"""How good an exported model is on a split: accuracy, loss, confusion, and the pictures it is most wrong about."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.data.decode import Pixels
from trainer.data.pipeline import Rows, in_order
from trainer.tensors import Tensors
from trainer.training import calibration, scores
from trainer.training.calibration import Answered

BATCH = 16
_SMALLEST = 1e-7  # probabilities are clipped here before the logarithm, as Keras does

MOST_ANSWERS = 5
MANY_CLASSES = 10
"""With more classes than that it is told how often the right one is among the MOST_ANSWERS most probable."""


Probabilities = npt.NDArray[np.float64]
"""[n, classes], by example id."""


class Judged(Protocol):
    """A split with its labels: a PixelCache, a PictureStream or a FeatureCache."""

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
    ece: float | None = None  # expected calibration error; None if no picture could be used
    top5_accuracy: float | None = None  # with more than MANY_CLASSES classes
    thresholds: tuple[Answered, ...] = ()  # with two classes

    def as_json(self) -> dict[str, Any]:
        """The part that is in summary.json and `catdog evaluate -o json`."""
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": interval(self.accuracy, self.examples),
            "loss": self.loss,
            "examples": self.examples,
            "confusion": [list(row) for row in self.confusion],
            "balanced_accuracy": scores.balanced_accuracy(self.matrix),
            "macro_f1": scores.macro_f1(self.matrix),
            "recall": scores.recalls(self.matrix),
            "wrong": [sum(row) - row[label] for label, row in enumerate(self.confusion)],
            "ece": self.ece,
            **({} if self.top5_accuracy is None else {"top5_accuracy": self.top5_accuracy}),
            **({"thresholds": [dataclasses.asdict(row) for row in self.thresholds]} if self.thresholds else {}),
        }

    @property
    def matrix(self) -> scores.Matrix:
        """`confusion` as an array."""
        return np.array(self.confusion, np.int64)


def interval(accuracy: float, examples: int) -> list[float] | None:
    """The 95 % interval of an accuracy as JSON has it, [low, high]; None without pictures."""
    return list(scores.wilson_interval(accuracy, examples)) if examples else None


def probabilities(serve_pixels: Callable[..., Tensors], split: Rows) -> Probabilities:
    """Probabilities of every picture of a split, float64 [n, classes], by example id."""
    parts = [serve_pixels(pixels=tf.constant(part))["probabilities"].numpy() for part in pixels_of(split)]
    return np.concatenate(parts).astype(np.float64)


def pixels_of(split: Rows) -> Iterator[Pixels]:
    """The pictures of a split in order of id, up to BATCH at a time: uint8 [n, size, size, 3]."""
    every = np.arange(len(split), dtype=np.int64)
    starts = range(0, len(split), BATCH)
    return in_order(lambda start: split.rows(every[start : start + BATCH])[0], starts, split.ahead)


def evaluate(predictions: Probabilities, cache: Judged) -> Evaluation:
    """Compare probabilities, float64 [n, classes], with the labels of the usable pictures."""
    count, classes = predictions.shape
    usable, labels = cache.usable, cache.labels
    predicted, probability = predictions.argmax(axis=1), predictions.max(axis=1)
    own = predictions[np.arange(count), labels]
    right = predicted == labels
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels[usable], predicted[usable]), 1)
    wrong = np.flatnonzero(usable & ~right)
    examples = int(usable.sum())
    top, hits = probability[usable], right[usable]
    return Evaluation(
        accuracy=float(hits.mean()) if examples else 0.0,
        loss=float(-np.log(np.clip(own[usable], _SMALLEST, 1.0)).mean()) if examples else 0.0,
        examples=examples,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        predicted=predicted,
        probability=probability,
        most_wrong=tuple(int(i) for i in wrong[np.argsort(own[wrong], kind="stable")]),
        ece=calibration.expected_calibration_error(top, hits) if examples else None,
        top5_accuracy=_top5(predictions[usable], labels[usable]),
        thresholds=calibration.answered(top, hits) if classes == 2 else (),
    )


def _top5(predictions: npt.NDArray[np.float64], labels: npt.NDArray[np.int32]) -> float | None:
    few = predictions.shape[1] <= MANY_CLASSES
    return None if few else scores.top_accuracy(predictions, labels, MOST_ANSWERS)
