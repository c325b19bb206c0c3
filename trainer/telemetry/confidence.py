"""Whether the network's probabilities can be believed, from summary.json and in words. Pure.

Runs of before there were such values have none of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.telemetry.documents import first_number, mapping
from trainer.training.calibration import BINS
from trainer.words import decimal


@dataclass(frozen=True)
class Change:
    """What the temperature changes on the pictures of a split, each as "before → after"."""

    pictures: str
    loss: str
    error: str


@dataclass(frozen=True)
class Threshold:
    """Of the test pictures, those that are answered with at least this probability, and the share of right answers."""

    least: float
    answered: int
    share: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Confidence:
    """What the report says of the network's probabilities; any part may be empty, but not all."""

    text: str
    changes: tuple[Change, ...]
    thresholds: tuple[Threshold, ...]


def of_summary(summary: Mapping[str, Any]) -> Confidence | None:
    """Return what summary.json says of probabilities; None if it says nothing."""
    test, calibration = mapping(summary.get("test")), mapping(summary.get("calibration"))
    found = Confidence(
        " ".join(filter(None, (_error(test), _temperature(calibration)))),
        tuple(
            _change(words, mapping(calibration[split]))
            for split, words in (("valid", "Validation"), ("test", "Test"))
            if calibration.get(split)
        ),
        tuple(_threshold(mapping(row)) for row in test.get("thresholds") or ()),
    )
    return found if found.text or found.changes or found.thresholds else None


def _error(test: Mapping[str, Any]) -> str:
    error = first_number(test.get("ece"))
    if error is None:
        return ""
    return (
        "On the test pictures, the probability that the network gives its answer and the share of answers that are "
        f"right differ by {100 * error:.1f} percentage points on average (expected calibration error, {BINS} bins)."
    )


def _temperature(calibration: Mapping[str, Any]) -> str:
    temperature = first_number(calibration.get("temperature"))
    if temperature is None:
        return ""
    if temperature == 1:
        return "The validation pictures gave no reason to divide the logits by another temperature than 1."
    direction = "less" if temperature > 1 else "more"
    return (
        f"The exported model divides its logits by {temperature:.3g}, a temperature fitted on the validation pictures. "
        f"This makes it {direction} sure and changes no answer."
    )


def _change(pictures: str, quality: Mapping[str, Any]) -> Change:
    def both(name: str, scale: float, digits: int) -> str:
        values = (first_number(quality.get(f"{name}_{when}")) for when in ("before", "after"))
        return " → ".join(decimal(float("nan") if value is None else scale * value, digits) for value in values)

    return Change(pictures, both("loss", 1, 4), both("ece", 100, 1))


def _threshold(row: Mapping[str, Any]) -> Threshold:
    return Threshold(
        first_number(row.get("threshold")) or 0.0,
        int(first_number(row.get("answered")) or 0),
        first_number(row.get("share")),
        first_number(row.get("accuracy")),
    )
