"""What differs between runs, beside what came out of them, from the values in their run folders. Pure.

The documents may be of any version, of a run in any state, or odd: what is not there, or is of another type, is
unknown. Nothing depends on the order of the runs but the order of the columns.
"""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.config import RunConfig
from trainer.telemetry.configuration import flattened
from trainer.telemetry.curves import EpochRow
from trainer.telemetry.documents import mapping
from trainer.telemetry.outcomes import OUTCOMES, Documents, time_by_category
from trainer.words import UNKNOWN, counted, duration, percent, plain

MOST_EPOCHS = 8
"""Rows of the table of epochs, unless all are asked for."""

SHORTEST = 0.05
"""Seconds; in words, less is 0.0 s."""

LONGEST = 120
"""Characters of a value that are shown."""

MOST_CLASSES = 12
"""Classes that are named."""

# The run folder is the column itself, and the data set has rows of its own.
_NOT_COMPARED = ("run", "data")


@dataclass(frozen=True)
class Row:
    """One line: a value of each run, as JSON has it (None: unknown) and in words."""

    name: str
    values: tuple[Any, ...]
    words: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether two runs are known to have different values; 1, 1.0 and true are different, as in JSON."""
        return len({json.dumps(value, sort_keys=True) for value in self.values if value is not None}) > 1

    @property
    def is_partial(self) -> bool:
        """Whether the value of a run is unknown."""
        return None in self.values


@dataclass(frozen=True)
class Comparison:
    """Rows with a column for each run: what came out (results, time, epochs), and what it came from (the others)."""

    results: tuple[Row, ...]
    time: tuple[Row, ...]
    epochs: tuple[Row, ...]
    configuration: tuple[Row, ...]
    data: tuple[Row, ...]
    software: tuple[Row, ...]
    remarks: tuple[str, ...] = ()


OUTCOME_TITLES = {"results": "Results", "time": "Time", "epochs": "Validation accuracy"}
CAUSE_TITLES = {"configuration": "Configuration", "data": "Data", "software": "Software, machine"}
"""Headings by field of a Comparison."""


def compare(runs: Sequence[Documents]) -> Comparison:
    """Return all that is known of at least one of the runs."""
    results = [_row(one.name, [one.value(run) for run in runs], one.words) for one in OUTCOMES]
    configuration, software = [_options(run) for run in runs], [_software(run) for run in runs]
    data = [_data(run) for run in runs]
    return Comparison(
        results=_known(results),
        time=_table([time_by_category(run) for run in runs], duration),
        epochs=_epochs([run.history for run in runs]),
        configuration=_table(configuration, plain),
        data=_table(data, counted),
        software=_table(software, counted),
        remarks=_remarks(runs, data),
    )


def brief(comparison: Comparison) -> Comparison:
    """Return the comparison with what differs alone, without times of zero, and with a few of the epochs."""
    return dataclasses.replace(
        comparison,
        time=tuple(row for row in comparison.time if any(value and value >= SHORTEST for value in row.values)),
        epochs=_thinned(comparison.epochs),
        **{name: tuple(row for row in getattr(comparison, name) if row.differs) for name in CAUSE_TITLES},
    )


def alike(comparison: Comparison, *, is_partial: bool) -> dict[str, tuple[Row, ...]]:
    """Return what the runs have in common by heading or, `is_partial`, what is known of some of them alone."""
    found = {
        title: tuple(row for row in getattr(comparison, name) if not row.differs and row.is_partial == is_partial)
        for name, title in CAUSE_TITLES.items()
    }
    return {title: rows for title, rows in found.items() if rows}


def names_of(addresses: Sequence[str]) -> tuple[str, ...]:
    """Return a short name of each run folder: as much of the end of its address as tells it from the others.

    A folder that is given more than once is numbered.
    """
    parts = [address.rstrip("/").split("/") for address in addresses]
    different, depth = len({tuple(one) for one in parts}), 1
    while len(names := {"/".join(one[-depth:]) for one in parts}) < different and depth < max(map(len, parts)):
        depth += 1
    seen: Counter[str] = Counter()
    numbered = []
    for name in ("/".join(one[-depth:]) for one in parts):
        seen[name] += 1
        number = seen[name]
        while number > 1 and f"{name} ({number})" in names:
            number += 1
        numbered.append(name if number == 1 else f"{name} ({number})")
    return tuple(numbered)


def _row(name: str, values: Sequence[Any], words: Callable[[Any], str]) -> Row:
    return Row(name, tuple(values), tuple(UNKNOWN if value is None else _short(words(value)) for value in values))


def _short(text: str) -> str:
    if not text:
        return '""'  # an option that is not used; a blank would look like a value that is missing
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _known(rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple(row for row in rows if any(value is not None for value in row.values))


def _table(columns: Sequence[Mapping[str, Any]], words: Callable[[Any], str]) -> tuple[Row, ...]:
    """Return a row for each key; keys keep the order that they have in the columns, whichever column comes first."""
    place: dict[str, int] = {}
    for column in columns:
        for at, name in enumerate(column):
            place[name] = min(at, place.get(name, at))
    names = sorted(place, key=lambda name: (place[name], name))
    return _known([_row(name, [column.get(name) for column in columns], words) for name in names])


def _options(run: Documents) -> dict[str, Any]:
    """Return the configuration by option; an option that a later version added has the value that means no change."""
    recorded = mapping(run.config.get("config"))
    if not recorded:
        return {}
    defaults = {**dataclasses.asdict(RunConfig()), "pixel_path": 1}
    # In the order of the options, so that two versions' tables are in the same one.
    values = {**defaults, **recorded}
    weights = mapping(run.config.get("class_weights"))
    facts = {"weights of classes": weights} if weights else {}
    return {**{name: value for name, value in flattened(values) if name not in _NOT_COMPARED}, **facts}


def _software(run: Documents) -> dict[str, Any]:
    summary, state = run.summary, run.state
    here = {name: summary.get(name) for name in ("devices", "strategy", "replicas")}
    return {
        **dict(flattened(mapping(run.config.get("versions")))),
        "git revision": run.config.get("revision") or None,
        "threads": run.config.get("threads"),
        **here,
        "workers": summary.get("workers", state.get("workers")),
        "GPUs": summary.get("gpus", state.get("gpus")),
        "parameters": summary.get("parameters"),
    }


def _data(run: Documents) -> dict[str, Any]:
    data, labels = mapping(run.summary.get("data")), run.summary.get("labels")
    pictures = mapping(data.get("examples"))
    return {
        "address": data.get("uri") or mapping(run.config.get("config")).get("data") or None,
        "fingerprint": run.config.get("data_fingerprint") or data.get("fingerprint"),
        "classes": len(labels) if isinstance(labels, list) else None,
        "class names": labels if isinstance(labels, list) and len(labels) <= MOST_CLASSES else None,
        **{f"{split} pictures": pictures.get(split) for split in ("train", "valid", "test")},
        "rejected": data.get("rejected"),
    }


def _epochs(histories: Sequence[Sequence[EpochRow]]) -> tuple[Row, ...]:
    """Return the validation accuracy of each epoch that at least one run has it of."""
    by_epoch = [{row.epoch: _or_none(row.valid_accuracy) for row in history} for history in histories]
    numbers = sorted(set().union(*by_epoch))
    return _known([_row(f"epoch {number}", [one.get(number) for one in by_epoch], percent) for number in numbers])


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _thinned(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return at most MOST_EPOCHS rows at even distances, the first and the last among them."""
    if len(rows) <= MOST_EPOCHS:
        return tuple(rows)
    return tuple(rows[round(at * (len(rows) - 1) / (MOST_EPOCHS - 1))] for at in range(MOST_EPOCHS))


def _remarks(runs: Sequence[Documents], data: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what to know before the numbers are compared."""
    classes = _row("", [run.summary["labels"] for run in runs if run.summary.get("labels")], plain)
    pictures = _row("", [one["fingerprint"] for one in data if one["fingerprint"]], plain)
    demo = any(mapping(run.summary.get("data")).get("demo") is True for run in runs)
    told = {
        "The runs have different classes: their accuracies answer different questions.": classes.differs,
        "The runs have different pictures: a difference in accuracy may come from these alone.": (
            pictures.differs and not classes.differs
        ),
        "Drawn demo data, not photographs: the figures say nothing about accuracy on real pictures.": demo,
    }
    return tuple(text for text, holds in told.items() if holds)
