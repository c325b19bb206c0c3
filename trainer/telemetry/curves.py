"""What the learning curves say: the best epoch, and where overfitting starts.

Pure functions on the rows of a run's metrics.jsonl. A loss or accuracy that is missing, null or not finite (a diverged
epoch) is kept as NaN and ignored in every decision.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.words import decimal, percent

WINDOW = 5
"""Epochs in the running median that smooths the losses (two on either side)."""

PATIENCE = 15
"""Epochs without improvement after which validation loss counts as having stopped improving."""

PATIENCE_IF_RISING = 5
"""The same, if validation loss has risen clearly above the noise."""

RELATIVE_TOLERANCE = 0.005
"""Differences in validation loss below this share of its lowest value are no improvement."""

TRAINING_FALL = 0.10
"""Share by which training loss must fall further to count as still falling."""


@dataclass(frozen=True)
class EpochRow:
    """One epoch of metrics.jsonl; losses are means over examples, accuracies shares in [0, 1], NaN means unknown."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    learning_rate: float
    examples_per_second: float
    seconds: float


History = Sequence[EpochRow | Mapping[str, Any]]
"""Epochs in ascending order, as dataclasses or as the objects of metrics.jsonl."""


def rows(history: History) -> tuple[EpochRow, ...]:
    """Return the history as EpochRow values.

    Raises:
        ValueError: a row has no whole number as epoch, or a value that should be a number is not; the message names the
            row and the field.
    """
    return tuple(row if isinstance(row, EpochRow) else _row(row, at) for at, row in enumerate(history, start=1))


def best_epoch(history: History) -> int | None:
    """Return the epoch with the highest validation accuracy, None when no epoch has one.

    Ties go to the lower validation loss (an unknown loss counts as infinite), then to the earlier epoch.
    """
    known = [row for row in rows(history) if math.isfinite(row.valid_accuracy)]
    if not known:
        return None
    return min(known, key=lambda row: (-row.valid_accuracy, _or_infinity(row.valid_loss), row.epoch)).epoch


def overfitting_start(history: History) -> int | None:
    """Return the first epoch from which validation loss no longer improves while training loss keeps falling.

    Exactly: take the epochs whose losses are both finite, and smooth both losses with a centred running median over
    WINDOW epochs (cut off at the ends). Estimate the noise sigma of the validation loss from the median absolute
    difference of neighbouring epochs, which a slow trend hardly affects. Let

    - ``low`` be the lowest smoothed validation loss;
    - ``tolerance`` be ``max(RELATIVE_TOLERANCE * low, sigma / sqrt(WINDOW))``;
    - ``turn`` be the first epoch whose smoothed validation loss is at most ``low + tolerance``: no later epoch improves
      on it by more than the noise.

    The answer is the epoch after ``turn`` if both of these hold, else None:

    - enough epochs follow ``turn``: PATIENCE of them, or PATIENCE_IF_RISING if the median validation loss of the later
      half of them lies more than three tolerances above ``low``;
    - training loss keeps falling: its last smoothed value is at least TRAINING_FALL below its value at ``turn``.
    """
    known = [row for row in rows(history) if math.isfinite(row.valid_loss) and math.isfinite(row.train_loss)]
    if len(known) <= PATIENCE_IF_RISING:
        return None
    raw = np.array([row.valid_loss for row in known], dtype=np.float64)
    valid = _running_median(raw)
    train = _running_median(np.array([row.train_loss for row in known], dtype=np.float64))
    low = float(valid.min())
    tolerance = max(RELATIVE_TOLERANCE * abs(low), _noise(raw) / math.sqrt(WINDOW))
    turn = int(np.argmax(valid <= low + tolerance))
    following = len(known) - 1 - turn
    if following < PATIENCE_IF_RISING:
        return None
    rising = float(np.median(raw[turn + 1 + following // 2 :])) > low + 3 * tolerance
    if following < PATIENCE and not rising:
        return None
    if train[-1] > (1 - TRAINING_FALL) * train[turn]:
        return None
    return known[turn + 1].epoch


def curves_in_words(epochs: Sequence[EpochRow], kept: int | None = None) -> str:
    """Return what the curves show, in one to three sentences; `kept` is the epoch whose weights the run exported."""
    if not epochs:
        return "No epoch has been completed yet, so there are no curves."
    by_number = {row.epoch: row for row in epochs}
    best, turn = best_epoch(epochs), overfitting_start(epochs)
    last = epochs[-1]
    if best is None:
        return "No validation accuracy has been recorded, so there is no best epoch."
    text = (
        f"Validation accuracy was highest at epoch {best} of {last.epoch}: {percent(by_number[best].valid_accuracy)}, "
        f"with {percent(by_number[best].train_accuracy)} on the training pictures."
    )
    if kept is not None and kept != best:
        text += f" The run kept the weights of epoch {kept}."
    if turn is not None:
        text += (
            f" Overfitting starts at epoch {turn}: from there on validation loss no longer improves "
            f"({decimal(by_number[turn].valid_loss)} then, {decimal(last.valid_loss)} at the end), "
            "while training loss keeps falling "
            f"({decimal(by_number[turn].train_loss)} to {decimal(last.train_loss)})."
        )
    elif len(epochs) < 2:
        text += " One epoch is too few to detect overfitting."
    else:
        text += " There is no clear sign of overfitting in these epochs."
    return text


def _row(row: Mapping[str, Any], at: int) -> EpochRow:
    epoch = row.get("epoch")
    if not isinstance(epoch, int) or isinstance(epoch, bool):
        raise ValueError(f"metrics row {at}: epoch is {epoch!r}, expected a whole number")
    train, valid = _part(row, "train", at), _part(row, "valid", at)
    step = _number(row, "step", at)
    return EpochRow(
        epoch=epoch,
        step=int(step) if math.isfinite(step) else 0,
        train_loss=_number(train, "loss", at),
        train_accuracy=_number(train, "accuracy", at),
        valid_loss=_number(valid, "loss", at),
        valid_accuracy=_number(valid, "accuracy", at),
        learning_rate=_number(row, "learning_rate", at),
        examples_per_second=_number(row, "examples_per_second", at),
        seconds=_number(row, "seconds", at),
    )


def _part(row: Mapping[str, Any], name: str, at: int) -> Mapping[str, Any]:
    part = row.get(name)
    if part is None:
        return {}
    if not isinstance(part, Mapping):
        raise ValueError(f"metrics row {at}: {name} is {part!r}, expected an object with loss and accuracy")
    return part


def _number(values: Mapping[str, Any], name: str, at: int) -> float:
    value = values.get(name)
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"metrics row {at}: {name} is {value!r}, expected a number")
    return float(value)


def _or_infinity(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _running_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    reach = WINDOW // 2
    return np.array([np.median(values[max(0, at - reach) : at + reach + 1]) for at in range(len(values))])


def _noise(values: NDArray[np.float64]) -> float:
    """Return the standard deviation of the noise, robust against trend and outliers.

    The difference of two independent values has sqrt(2) times their standard deviation; 1.4826 turns a median absolute
    deviation into a standard deviation for normal noise (Rousseeuw and Croux 1993).
    """
    differences = np.diff(values)
    return float(1.4826 * np.median(np.abs(differences - np.median(differences))) / math.sqrt(2))
