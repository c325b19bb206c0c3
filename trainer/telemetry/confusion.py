"""The confusion matrix of the test pictures, from summary.json and in words. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.telemetry.documents import mapping
from trainer.training.scores import ConfusedPair, Matrix


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
