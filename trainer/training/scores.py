"""What predictions are worth in numbers: accuracy and its interval; of each class, of pairs, of all alike. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


def recalls(matrix: Matrix) -> list[float | None]:
    """Share of each class's pictures that was classified correctly; None for a class without pictures."""
    return [row.recall for row in class_rows(matrix, [""] * len(matrix))]


def balanced_accuracy(matrix: Matrix) -> float | None:
    """Mean recall of the classes that have pictures, whatever their number; None when there are none."""
    return _mean(recalls(matrix))


def macro_f1(matrix: Matrix) -> float | None:
    """Mean F1 of the classes that have pictures or were predicted; None when there are none."""
    return _mean([row.f1 for row in class_rows(matrix, [""] * len(matrix))])


def worst_classes(matrix: Matrix, labels: Sequence[str]) -> list[ClassRow]:
    """Classes that have pictures, lowest recall first; of equal ones the larger, whose recall is surer, first."""
    rows = [row for row in class_rows(matrix, labels) if row.recall is not None]
    return sorted(rows, key=lambda row: (row.recall, -row.examples))


def in_one_line(matrix: Matrix, labels: Sequence[str]) -> str:
    """Accuracy and the worst class: "97.3 % on 1,000 pictures; worst class: tabby 41.2 % of 34"."""
    total = int(matrix.sum())
    if not total:
        return "unknown: no picture could be used"
    worst = worst_classes(matrix, labels)[0]
    assert worst.recall is not None  # of classes with pictures
    return (
        f"{100 * int(np.trace(matrix)) / total:.1f} % on {total:,} pictures; "
        f"worst class: {worst.label} {100 * worst.recall:.1f} % of {worst.examples:,}"
    )


def top_accuracy(probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.int32], most: int) -> float | None:
    """Share of the rows of [n, C] whose label is among the `most` most probable classes; None without rows.

    Of equally probable classes the first counts as the more probable, as in argmax: with `most` 1 it is the accuracy.
    """
    if not len(labels):
        return None
    own = probabilities[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    before = (probabilities > own) | ((probabilities == own) & earlier)
    return float((before.sum(axis=1) < most).mean())


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


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
