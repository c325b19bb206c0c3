"""What the confusion matrix of the test pictures says, by class, by pair of classes, and in words. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.telemetry.documents import mapping

MOST_PAIRS = 8

Matrix = npt.NDArray[np.int64]
"""Counts, [C, C]: rows are the true classes, columns the predicted ones."""


@dataclass(frozen=True)
class ClassRow:
    """Results for the pictures of one class; a share is None if its denominator is zero."""

    label: str
    examples: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class ConfusedPair:
    """How often pictures of class `true`, `examples` in all, were mistaken for class `predicted`."""

    true: str
    predicted: str
    count: int
    examples: int

    @property
    def share(self) -> float:
        """Share of the pictures of class `true`, in [0, 1]."""
        return self.count / self.examples


def of_summary(summary: Mapping[str, Any]) -> tuple[list[str], Matrix | None]:
    """Return the C labels of summary.json and the confusion matrix of its test, None if it has none.

    Raises:
        ValueError: the matrix does not fit the labels.
    """
    labels = [str(label) for label in summary.get("labels") or ()]
    counts = mapping(summary.get("test")).get("confusion")
    if not counts:
        return labels, None
    if len(counts) != len(labels) or any(len(row) != len(labels) for row in counts):
        raise ValueError(f"summary: the confusion matrix does not fit the {len(labels)} labels")
    return labels, np.asarray(counts, dtype=np.int64)


def class_rows(matrix: Matrix, labels: Sequence[str]) -> tuple[ClassRow, ...]:
    """Return precision, recall and F1 of each class from counts."""
    hits, true, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    return tuple(
        ClassRow(
            label=label,
            examples=int(true[at]),
            precision=_share(int(hits[at]), int(predicted[at])),
            recall=_share(int(hits[at]), int(true[at])),
            f1=_share(2 * int(hits[at]), int(true[at] + predicted[at])),
        )
        for at, label in enumerate(labels)
    )


def confused_pairs(matrix: Matrix, labels: Sequence[str]) -> tuple[ConfusedPair, ...]:
    """Return up to MOST_PAIRS pairs of classes that were confused most often, most frequent first."""
    wrong = [
        (int(matrix[true, predicted]), true, predicted)
        for true, predicted in np.argwhere(matrix > 0).tolist()
        if true != predicted
    ]
    wrong.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return tuple(
        ConfusedPair(labels[true], labels[predicted], count, int(matrix[true].sum()))
        for count, true, predicted in wrong[:MOST_PAIRS]
    )


def in_words(matrix: Matrix, pairs: Sequence[ConfusedPair]) -> str:
    """Return how many pictures were classified correctly and the most frequent mistake; empty if there are none."""
    if not matrix.sum():
        return ""
    right, total = int(np.trace(matrix)), int(matrix.sum())
    text = f"{right:,} of {total:,} test pictures were classified correctly."
    if pairs:
        top = pairs[0]
        text += (
            f" The most frequent mistake: {top.count:,} of {top.examples:,} pictures of “{top.true}” mistaken "
            f"for “{top.predicted}”."
        )
    return text


def wilson_interval(share: float, examples: int) -> tuple[float, float]:
    """Return the 95 % interval of a share observed on `examples` independent examples (Wilson 1927).

    Raises:
        ValueError: `share` is outside [0, 1] or `examples` is below 1.
    """
    if not 0 <= share <= 1 or examples < 1:
        raise ValueError(f"no interval for a share of {share} of {examples} examples")
    z = 1.959964
    scale = 1 + z * z / examples
    middle = (share + z * z / (2 * examples)) / scale
    half = z * math.sqrt(share * (1 - share) / examples + z * z / (4 * examples * examples)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
