"""One self-contained HTML page about a run, from the values in its run folder.

`render` is pure: values in, text out. It reads no file but its template and needs no script, font or address, so the
page can be mailed, printed and opened years later. What a run does not have yet is left out or named as missing.
"""

import base64
import math
import shlex
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from trainer.telemetry.curves import EpochRow, best_epoch, overfitting_start, rows
from trainer.words import counted, decimal, duration, grouped, percent, plain

MOST_REJECTED_SHOWN = 200
MOST_ROWS_OPEN = 15
MOST_PAIRS = 8

_NOT_OPTIONS = ("versions", "command")
_STATES = {
    "running": "Running",
    "succeeded": "Succeeded",
    "failed": "Failed",
    "preempted": "Preempted",
    "cancelled": "Cancelled",
}


@dataclass(frozen=True)
class ReportInput:
    """What a report is made from; everything but the configuration may be missing or empty.

    Attributes:
        config: config.json. Nested objects are shown with dotted names; two keys get sections of their own:
            `versions` (package to version) and `command` (a string or a list of words: how to run this again).
        state: state.json.
        history: the objects of metrics.jsonl, ascending by epoch.
        summary: summary.json; there once the run has ended well.
        figures: PNG bytes by name: curves, augmentation, confusion, mistakes.
        rejected: pictures left out of the data set, each {"path", "reason"}.
        defaults: what the recipe sets, by option; options that differ are flagged.
    """

    config: Mapping[str, Any]
    state: Mapping[str, Any] | None = None
    history: Sequence[Mapping[str, Any]] = ()
    summary: Mapping[str, Any] | None = None
    figures: Mapping[str, bytes] | None = None
    rejected: Sequence[Mapping[str, Any]] = ()
    defaults: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Fact:
    """A name and its value in words, with an optional line of explanation."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure as data URI, with its width and height in pixels."""

    address: str
    width: int
    height: int


@dataclass(frozen=True)
class ClassRow:
    """How the pictures of one class fared; a share is None where its denominator is zero."""

    label: str
    examples: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class ConfusedPair:
    """How often pictures of class `true` were taken for class `predicted`."""

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True)
class Option:
    """One line of the configuration table; `default` is the recipe's value where the run differs from it, else None."""

    name: str
    value: str
    default: str | None


def render(report: ReportInput) -> str:
    """Return the report as one HTML document.

    Raises:
        ValueError: a row of the history is malformed, a figure is no PNG, or the confusion matrix does
            not fit the labels.
    """
    epochs = rows(report.history)
    summary, state = report.summary or {}, report.state or {}
    labels, matrix = _confusion(summary)
    recipe = str(summary.get("recipe") or report.config.get("recipe") or "run")
    name = str(report.config.get("name") or recipe)
    data = _mapping(summary.get("data"))
    return _template().render(
        title=name,
        recipe=recipe,
        state=_STATES.get(str(state.get("state")), "State unknown"),
        state_kind=str(state.get("state")) if state.get("state") in _STATES else "unknown",
        reason=str(state.get("reason") or ""),
        state_facts=_state_facts(state),
        is_augmented=any(report.config.get(name) for name in ("flip", "rotation", "zoom")),
        is_demo=bool(data.get("demo")),
        is_finished=report.summary is not None,
        headline=_headline(report, epochs),
        pictures={key: _picture(png) for key, png in (report.figures or {}).items()},
        curves_text=curves_in_words(epochs, summary.get("best_epoch")),
        epochs=epochs,
        best=best_epoch(epochs),
        class_rows=class_rows(matrix, labels) if matrix is not None else (),
        pairs=confused_pairs(matrix, labels) if matrix is not None else (),
        confusion_text=_confusion_in_words(matrix, labels),
        rejected=report.rejected[:MOST_REJECTED_SHOWN],
        rejected_total=max(len(report.rejected), int(_number(data.get("rejected"), summary.get("rejected")) or 0)),
        throughput=_throughput(summary, epochs),
        data_facts=_data_facts(data, labels),
        options=options(report.config, report.defaults),
        knows_defaults=report.defaults is not None,
        versions=[Fact(str(key), plain(value)) for key, value in _mapping(report.config.get("versions")).items()],
        command=_command(report.config.get("command")),
        most_rows_open=MOST_ROWS_OPEN,
        percent=percent,
        number=decimal,
        duration=duration,
    )


def class_rows(matrix: np.ndarray[Any, np.dtype[np.int64]], labels: Sequence[str]) -> tuple[ClassRow, ...]:
    """Return precision, recall and F1 of each class from counts int [C, C], rows true, columns predicted."""
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


def confused_pairs(matrix: np.ndarray[Any, np.dtype[np.int64]], labels: Sequence[str]) -> tuple[ConfusedPair, ...]:
    """Return up to MOST_PAIRS pairs of classes that were mixed up most often, most frequent first."""
    wrong = [
        (int(matrix[true, predicted]), true, predicted)
        for true, predicted in np.argwhere(matrix > 0).tolist()
        if true != predicted
    ]
    wrong.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return tuple(
        ConfusedPair(labels[true], labels[predicted], count, count / int(matrix[true].sum()))
        for count, true, predicted in wrong[:MOST_PAIRS]
    )


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
        text += " One epoch is too few to speak of overfitting."
    else:
        text += " There is no clear sign of overfitting in these epochs."
    return text


def wilson_interval(share: float, examples: int) -> tuple[float, float]:
    """Return the 95 % interval of a share seen on `examples` independent examples (Wilson 1927).

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


def options(config: Mapping[str, Any], defaults: Mapping[str, Any] | None) -> tuple[Option, ...]:
    """Return every field of the configuration, nested ones with dotted names; flag what differs from the recipe."""
    flat = dict(_flat({key: value for key, value in config.items() if key not in _NOT_OPTIONS}))
    known = dict(_flat(defaults or {}))
    return tuple(
        Option(name, plain(value), plain(known[name]) if name in known and known[name] != value else None)
        for name, value in flat.items()
    )


@cache
def _template() -> Template:
    # autoescape: class names, paths and reasons come from other people's folders
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _headline(report: ReportInput, epochs: Sequence[EpochRow]) -> list[Fact]:
    summary = report.summary or {}
    test, valid = _mapping(summary.get("test")), _mapping(summary.get("valid"))
    facts = []
    accuracy = _number(test.get("accuracy"))
    if accuracy is not None:
        facts.append(Fact("Test accuracy", percent(accuracy), _certainty(accuracy, _number(test.get("examples")))))
    best = summary.get("best_epoch") or best_epoch(epochs)
    if best is not None:
        row = next((row for row in epochs if row.epoch == best), None)
        reached = _number(valid.get("accuracy"), row.valid_accuracy if row else None)
        facts.append(Fact("Best epoch", str(best), f"validation accuracy {percent(reached)}"))
    done = int(_number(summary.get("epochs_run"), epochs[-1].epoch if epochs else None) or 0)
    planned = report.config.get("epochs")
    stopped = ", stopped early" if summary.get("stopped_early") else ""
    facts.append(Fact("Epochs", str(done), (f"of {planned} planned" if planned else "") + stopped))
    wall = _number(summary.get("wall_seconds"))
    if wall is None and epochs:
        wall = math.fsum(row.seconds for row in epochs if math.isfinite(row.seconds))
        facts.append(Fact("Time in epochs", duration(wall), "start-up and checkpoints not counted"))
    elif wall is not None:
        facts.append(Fact("Time", duration(wall), "start to end"))
    speed = _number(summary.get("examples_per_second"), _median([row.examples_per_second for row in epochs]))
    if speed is not None:
        facts.append(Fact("Images per second", grouped(speed), "training, all replicas"))
    goodput = _number(summary.get("goodput"))
    if goodput is not None:
        facts.append(Fact("Goodput", percent(goodput), "share of the time spent on steps that count"))
    return facts


def _certainty(accuracy: float, examples: float | None) -> str:
    if examples is None or examples < 1 or not 0 <= accuracy <= 1:
        return ""
    low, high = wilson_interval(accuracy, int(examples))
    return f"{100 * low:.1f} to {percent(high)} with 95 % confidence, {grouped(examples)} pictures"


def _state_facts(state: Mapping[str, Any]) -> list[Fact]:
    names = {
        "reason": "Reason",
        "exit_code": "Exit code",
        "rank": "Rank",
        "epoch": "Epoch",
        "restarts": "Restarts",
        "updated": "Last update",
    }
    facts = [Fact(title, plain(state[key])) for key, title in names.items() if state.get(key) not in (None, "")]
    step, total = _number(state.get("step")), _number(state.get("total_steps"))
    if step is not None:
        facts.append(Fact("Step", f"{grouped(step)} of {grouped(total)}" if total else grouped(step)))
    return facts


def _throughput(summary: Mapping[str, Any], epochs: Sequence[EpochRow]) -> list[Fact]:
    facts = []
    speed = _number(summary.get("examples_per_second"))
    if speed is not None:
        facts.append(Fact("Images per second", grouped(speed), "over the whole run"))
    speeds = [row.examples_per_second for row in epochs if math.isfinite(row.examples_per_second)]
    if speeds:
        spread = f"slowest {grouped(min(speeds))}, fastest {grouped(max(speeds))}"
        facts.append(Fact("Images per second, median epoch", grouped(float(np.median(speeds))), spread))
    seconds = [row.seconds for row in epochs if math.isfinite(row.seconds)]
    if seconds:
        facts.append(Fact("Time of an epoch, median", duration(float(np.median(seconds)))))
    if _number(summary.get("wall_seconds")) is not None:
        facts.append(Fact("Wall time", duration(_number(summary.get("wall_seconds")))))
    if _number(summary.get("goodput")) is not None:
        facts.append(
            Fact("Goodput", percent(_number(summary.get("goodput"))), "share of the time spent on steps that count")
        )
    titles = {
        "steps": "Steps",
        "parameters": "Parameters",
        "devices": "Devices",
        "strategy": "Strategy",
        "workers": "Workers",
        "replicas": "Replicas",
        "precision": "Precision",
    }
    facts += [Fact(title, counted(summary[key])) for key, title in titles.items() if summary.get(key) is not None]
    return facts


def _data_facts(data: Mapping[str, Any], labels: Sequence[str]) -> list[Fact]:
    facts = []
    if data.get("uri"):
        facts.append(Fact("Address", str(data["uri"])))
    if data.get("fingerprint"):
        facts.append(Fact("Fingerprint", str(data["fingerprint"])))
    titles = {"train": "Training pictures", "valid": "Validation pictures", "test": "Test pictures"}
    counts = _mapping(data.get("examples"))
    facts += [Fact(title, counted(counts[key])) for key, title in titles.items() if counts.get(key) is not None]
    if data.get("rejected") is not None:
        facts.append(Fact("Rejected pictures", counted(data["rejected"])))
    if labels:
        facts.append(Fact("Classes", str(len(labels)), ", ".join(labels) if len(labels) <= 12 else ""))
    return facts


def _confusion(summary: Mapping[str, Any]) -> tuple[list[str], np.ndarray[Any, np.dtype[np.int64]] | None]:
    labels = [str(label) for label in summary.get("labels") or ()]
    counts = _mapping(summary.get("test")).get("confusion")
    if not counts:
        return labels, None
    if len(counts) != len(labels) or any(len(row) != len(labels) for row in counts):
        raise ValueError(f"summary: the confusion matrix does not fit the {len(labels)} labels")
    return labels, np.asarray(counts, dtype=np.int64)


def _confusion_in_words(matrix: np.ndarray[Any, np.dtype[np.int64]] | None, labels: Sequence[str]) -> str:
    if matrix is None or not matrix.sum():
        return ""
    right, total = int(np.trace(matrix)), int(matrix.sum())
    text = f"{right:,} of {total:,} test pictures were classified correctly."
    pairs = confused_pairs(matrix, labels)
    if pairs:
        top = pairs[0]
        text += (
            f" The most frequent mistake: {top.count:,} of {int(matrix[labels.index(top.true)].sum()):,} pictures of "
            f"“{top.true}” taken for “{top.predicted}”."
        )
    return text


def _picture(png: bytes) -> Picture:
    # The IHDR chunk comes first (PNG specification, 5.6): width and height are bytes 16 to 23, big-endian.
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        raise ValueError("a figure is not a PNG file")
    width, height = struct.unpack(">II", png[16:24])
    return Picture("data:image/png;base64," + base64.b64encode(png).decode("ascii"), width, height)


def _command(command: Any) -> str:
    if isinstance(command, str):
        return command
    return shlex.join(str(word) for word in command or ())


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat += _flat(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(*values: Any) -> float | None:
    """Return the first finite number among the values."""
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def _median(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.median(finite)) if finite else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
