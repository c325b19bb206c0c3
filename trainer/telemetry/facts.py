"""Facts about a run, each a name with its value in words. Pure.

A value that two tables show is read from summary.json once; only the name and the note may differ. Unknown values are
left out.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.telemetry.confusion import of_summary
from trainer.telemetry.curves import EpochRow, best_epoch
from trainer.telemetry.documents import first_number, mapping
from trainer.training.phases import feature_epochs
from trainer.training.scores import balanced_accuracy, macro_f1, wilson_interval, worst_classes
from trainer.words import counted, duration, grouped, percent, plain


@dataclass(frozen=True)
class Fact:
    """A name and its value in words, with an optional line of explanation."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Speed:
    """How fast a run was; None means unknown, or that there was no such part of it.

    Attributes:
        images_per_second: of training on pictures, all replicas.
        feature_rows_per_second: of training on features, which were computed before.
        features_per_second: pictures whose features were computed a second, on rank 0.
        wall_seconds: from start to end.
        goodput: share of the time spent on steps that count, in [0, 1].
        epoch_images_per_second: of each epoch on pictures that records it.
        epoch_seconds: of each epoch that records it.
    """

    images_per_second: float | None
    feature_rows_per_second: float | None
    features_per_second: float | None
    wall_seconds: float | None
    goodput: float | None
    epoch_images_per_second: tuple[float, ...]
    epoch_seconds: tuple[float, ...]


def on_features(config: Mapping[str, Any]) -> int:
    """Return how many of the run's first epochs train on features; `config` is config.json's, of any version."""
    epochs, head = (int(first_number(config.get(name)) or 0) for name in ("epochs", "head_epochs"))
    return feature_epochs(str(config.get("model")), str(config.get("unfreeze") or ""), epochs, head)


def speed(config: Mapping[str, Any], summary: Mapping[str, Any], epochs: Sequence[EpochRow]) -> Speed:
    """Return how fast the run was, from config.json, summary.json and its epochs."""
    head, known = on_features(config), [row for row in epochs if 0 < row.examples_per_second < math.inf]
    images = tuple(row.examples_per_second for row in known if row.epoch > head)
    rows = tuple(row.examples_per_second for row in known if row.epoch <= head)
    whole, features = first_number(summary.get("examples_per_second")) or None, mapping(summary.get("features"))
    computed, seconds = (first_number(features.get(name)) for name in ("pictures", "seconds"))
    return Speed(
        images_per_second=_median(images) if head else first_number(whole, _median(images)),
        feature_rows_per_second=_median(rows) if images or not head else first_number(whole, _median(rows)),
        features_per_second=computed / seconds if computed and seconds else None,
        wall_seconds=first_number(summary.get("wall_seconds")),
        goodput=first_number(summary.get("goodput")),
        epoch_images_per_second=images,
        epoch_seconds=tuple(row.seconds for row in epochs if math.isfinite(row.seconds)),
    )


def headline(config: Mapping[str, Any], summary: Mapping[str, Any], epochs: Sequence[EpochRow]) -> list[Fact]:
    """Return the facts at the top of the page; `config` is config.json."""
    fast = speed(config, summary, epochs)
    if fast.wall_seconds is not None or not epochs:
        time = _known("Time", fast.wall_seconds, duration, "start to end")
    else:
        time = _known("Time in epochs", math.fsum(fast.epoch_seconds), duration, "start-up and checkpoints not counted")
    return [
        *_accuracy(mapping(summary.get("test"))),
        *_top5(mapping(summary.get("test"))),
        *_by_class(summary),
        *_no_test(summary),
        *_best_epoch(summary, epochs),
        _epochs(config, summary, epochs),
        *time,
        *_known("Images per second", fast.images_per_second, grouped, "training, all replicas"),
        *_on_features(fast),
        *_goodput(fast),
    ]


def state(document: Mapping[str, Any]) -> list[Fact]:
    """Return the facts of state.json."""
    names = {
        "reason": "Reason",
        "exit_code": "Exit code",
        "rank": "Rank",
        "epoch": "Epoch",
        "restarts": "Restarts",
        "updated": "Last update",
    }
    facts = [Fact(title, plain(document[key])) for key, title in names.items() if document.get(key) not in (None, "")]
    step, total = first_number(document.get("step")), first_number(document.get("total_steps"))
    if step is not None:
        facts.append(Fact("Step", f"{grouped(step)} of {grouped(total)}" if total else grouped(step)))
    return facts


def throughput(config: Mapping[str, Any], summary: Mapping[str, Any], epochs: Sequence[EpochRow]) -> list[Fact]:
    """Return how fast the run was, and what it ran on."""
    fast = speed(config, summary, epochs)
    speeds = fast.epoch_images_per_second
    spread = f"slowest {grouped(min(speeds))}, fastest {grouped(max(speeds))}" if speeds else ""
    titles = {
        "steps": "Steps",
        "parameters": "Parameters",
        "devices": "Devices",
        "strategy": "Strategy",
        "workers": "Workers",
        "replicas": "Replicas",
        "precision": "Precision",
    }
    return [
        *_known("Images per second", fast.images_per_second, grouped, "over the whole run"),
        *_known("Images per second, median epoch", _median(speeds), grouped, spread),
        *_on_features(fast),
        *_known("Time per epoch, median", _median(fast.epoch_seconds), duration),
        *_known("Wall time", fast.wall_seconds, duration),
        *_goodput(fast),
        *_counts(summary, titles),
    ]


def data_set(data: Mapping[str, Any], labels: Sequence[str]) -> list[Fact]:
    """Return the facts of the data set; `data` is summary.json's part about it."""
    facts = []
    if data.get("uri"):
        facts.append(Fact("Address", str(data["uri"])))
    if data.get("fingerprint"):
        facts.append(Fact("Fingerprint", str(data["fingerprint"])))
    titles = {"train": "Training pictures", "valid": "Validation pictures", "test": "Test pictures"}
    facts += _counts(mapping(data.get("examples")), titles)
    facts += _counts(data, {"rejected": "Rejected pictures"})
    if labels:
        facts.append(Fact("Classes", str(len(labels)), ", ".join(labels) if len(labels) <= 12 else ""))
    return facts


def versions(config: Mapping[str, Any]) -> list[Fact]:
    """Return the version of each package that config.json names."""
    return [Fact(str(key), plain(value)) for key, value in mapping(config.get("versions")).items()]


def _accuracy(test: Mapping[str, Any]) -> list[Fact]:
    accuracy = first_number(test.get("accuracy"))
    if accuracy is None:
        return []
    return [Fact("Test accuracy", percent(accuracy), _certainty(accuracy, first_number(test.get("examples"))))]


def _top5(test: Mapping[str, Any]) -> list[Fact]:
    share = first_number(test.get("top5_accuracy"))
    return _known("Top-5 accuracy", share, percent, "the right class is among the 5 most probable")


def _by_class(summary: Mapping[str, Any]) -> list[Fact]:
    """Return what accuracy hides where classes differ in size."""
    labels, matrix = of_summary(summary)
    if matrix is None or not (rows := worst_classes(matrix, labels)):
        return []
    worst = rows[0]
    told = f"worst class: {worst.label}, {percent(worst.recall)} of {worst.examples:,}"
    note = f"macro-F1 {percent(macro_f1(matrix))}; {told}"
    return [Fact("Balanced accuracy", percent(balanced_accuracy(matrix)), note)]


def _no_test(summary: Mapping[str, Any]) -> list[Fact]:
    """Of a finished run without a test split: how good it is on the pictures by which it was chosen."""
    if "test" not in summary or summary["test"] is not None:
        return []
    valid = mapping(summary.get("valid"))
    note = "there is no test split; the best epoch was chosen by it"
    if valid.get("accuracy_interval"):
        note = f"{_between(*valid['accuracy_interval'])}; {note}"
    return _known("Validation accuracy", first_number(valid.get("accuracy")), percent, note)


def _certainty(accuracy: float, examples: float | None) -> str:
    if examples is None or examples < 1 or not 0 <= accuracy <= 1:
        return ""
    low, high = wilson_interval(accuracy, int(examples))
    return f"{_between(low, high)}, {grouped(examples)} pictures"


def _between(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {percent(high)} with 95 % confidence"


def _best_epoch(summary: Mapping[str, Any], epochs: Sequence[EpochRow]) -> list[Fact]:
    best = summary.get("best_epoch") or best_epoch(epochs)
    if best is None:
        return []
    row = next((row for row in epochs if row.epoch == best), None)
    reached = first_number(mapping(summary.get("valid")).get("accuracy"), row.valid_accuracy if row else None)
    return [Fact("Best epoch", str(best), f"validation accuracy {percent(reached)}")]


def _epochs(config: Mapping[str, Any], summary: Mapping[str, Any], epochs: Sequence[EpochRow]) -> Fact:
    done = int(first_number(summary.get("epochs_run"), epochs[-1].epoch if epochs else None) or 0)
    planned = config.get("epochs")
    stopped = ", stopped early" if summary.get("stopped_early") else ""
    return Fact("Epochs", str(done), (f"of {planned} planned" if planned else "") + stopped)


def _on_features(fast: Speed) -> list[Fact]:
    """Return the two speeds of a run on features: training on them is fast since computing them is done once."""
    note = "training of the output layer on features, all replicas"
    return [
        *_known("Feature rows per second", fast.feature_rows_per_second, grouped, note),
        *_known("Pictures per second", fast.features_per_second, grouped, "computing their features, once, on rank 0"),
    ]


def _goodput(fast: Speed) -> list[Fact]:
    return _known("Goodput", fast.goodput, percent, "share of the time spent on steps that count")


def _known(name: str, value: float | None, words: Callable[[float], str], note: str = "") -> list[Fact]:
    """Return the one fact, or none if its value is unknown."""
    return [] if value is None else [Fact(name, words(value), note)]


def _counts(values: Mapping[str, Any], titles: Mapping[str, str]) -> list[Fact]:
    """Return a fact for each key of `titles` that has a value."""
    return [Fact(title, counted(values[key])) for key, title in titles.items() if values.get(key) is not None]


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
