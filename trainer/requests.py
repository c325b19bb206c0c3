"""Requests to `python -m trainer VERB`: one dataclass per verb, and the JSON document that carries it.

The command line writes such a document and the trainer reads it; it is the only interface between the two.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import TypeVar

from trainer import config, documents
from trainer.config import RunConfig
from trainer.exits import Exit, ExitError
from trainer.fields import declare, options

SCHEMA = 1
T = TypeVar("T")


_DATA = "Data"
# As of a run: default, help.
_LAYOUT, _LABELS, _COLUMNS, _SPLIT = (
    (getattr(RunConfig, name), options(RunConfig)[name].help)
    for name in ("layout", "labels", "labels_columns", "split")
)
_SEED = (0, "Random seed for --split.")


@dataclass(frozen=True)
class EvaluateRequest:
    """A request to `python -m trainer evaluate`: the exported model of `run` on the pictures at `data`."""

    run: str
    data: str
    output: str = "text"
    layout: str = declare(*_LAYOUT, choices=config.LAYOUTS, group=_DATA)
    labels: str = declare(*_LABELS, group=_DATA)
    labels_columns: str = declare(*_COLUMNS, group=_DATA)


@dataclass(frozen=True)
class PredictRequest:
    """A request to `python -m trainer predict`: classes of `images` by the exported model of `run`.

    An image is a picture, a folder of them, or a pattern; `output` is text, json, jsonl or csv.
    """

    run: str
    images: tuple[str, ...]
    output: str = "text"


@dataclass(frozen=True)
class ExportRequest:
    """A request to `python -m trainer export`: the network of `run` in `format`, a key of contract.CONVERTED."""

    run: str
    format: str


@dataclass(frozen=True)
class ReportRequest:
    """A request to `python -m trainer report`: write report.html of `run`."""

    run: str


@dataclass(frozen=True)
class CompareRequest:
    """A request to `python -m trainer compare`: run folders side by side; `html` names the page to write, if any.

    `everything` shows also what is the same.
    """

    runs: tuple[str, ...]
    output: str = "text"
    everything: bool = False
    html: str = ""


ORDERS = ("name", "random")
MAX_REJECTED = 0.01
"""Share of unusable pictures above which an import or a check fails."""

_PART = "Pictures per class for {}, or a share of them such as 0.2; overrides --split."
_IMPORT = "Import"


@dataclass(frozen=True)
class DataImportRequest:
    """A request to `python -m trainer data-import`: split the pictures of `source` and store them at `target`.

    `train`, `valid` and `test` are per class: pictures ("1000"), a share of them ("0.8"), or "" for what `split` says:
    three of them with slashes between, "article" for 1000/500/500, or "" for 0.8/0.1/0.1.
    """

    source: str
    target: str
    train: str = declare("", _PART.format("train"), unit="N", group=_IMPORT)
    valid: str = declare("", _PART.format("valid"), unit="N", group=_IMPORT)
    test: str = declare("", _PART.format("test"), unit="N", group=_IMPORT)
    split: str = declare(
        "",
        "Shares of each class for train, valid and test (default: 0.8/0.1/0.1), pictures per class (200/50/50), or "
        "article: 1000/500/500.",
        unit="A/B/C",
        group=_IMPORT,
    )
    order: str = declare(
        "name", "Order in which pictures are taken; name: cat.9 before cat.10.", choices=ORDERS, group=_IMPORT
    )
    seed: int = declare(0, "Random seed for --order random.", group=_IMPORT)
    max_rejected: float = declare(
        MAX_REJECTED, "Share of unusable pictures above which the import fails.", low=0, high=1, group=_IMPORT
    )
    layout: str = declare(*_LAYOUT, choices=config.LAYOUTS, group=_IMPORT)
    labels: str = declare(*_LABELS, group=_IMPORT)
    labels_columns: str = declare(*_COLUMNS, group=_IMPORT)
    output: str = "text"


@dataclass(frozen=True)
class DataCheckRequest:
    """A request to `python -m trainer data-check`: verify the data set at `data`."""

    data: str
    output: str = "text"
    layout: str = declare(*_LAYOUT, choices=config.LAYOUTS, group=_DATA)
    labels: str = declare(*_LABELS, group=_DATA)
    labels_columns: str = declare(*_COLUMNS, group=_DATA)
    split: str = declare(*_SPLIT, group=_DATA)
    seed: int = declare(*_SEED, group=_DATA)


@dataclass(frozen=True)
class DataPackRequest:
    """A request to `python -m trainer data-pack`: `data` as shards of about `shard_size` MiB at `target`."""

    data: str
    target: str
    shard_size: int = declare(64, "Size of a shard.", unit="MiB", low=1, group=_DATA)
    output: str = "text"
    layout: str = declare(*_LAYOUT, choices=config.LAYOUTS, group=_DATA)
    labels: str = declare(*_LABELS, group=_DATA)
    labels_columns: str = declare(*_COLUMNS, group=_DATA)
    split: str = declare(*_SPLIT, group=_DATA)
    seed: int = declare(*_SEED, group=_DATA)


@dataclass(frozen=True)
class WeightsListRequest:
    """A request to `python -m trainer weights-list`."""

    output: str = "text"


@dataclass(frozen=True)
class WeightsFetchRequest:
    """A request to `python -m trainer weights-fetch`: the weights of backbone `name` in our form at `target`."""

    name: str
    target: str


@dataclass(frozen=True)
class WeightsCheckRequest:
    """A request to `python -m trainer weights-check`: verify the weights at `weights`."""

    weights: str


Request = (
    RunConfig
    | EvaluateRequest
    | PredictRequest
    | ExportRequest
    | ReportRequest
    | CompareRequest
    | DataImportRequest
    | DataCheckRequest
    | DataPackRequest
    | WeightsListRequest
    | WeightsFetchRequest
    | WeightsCheckRequest
)


def to_json(request: Request) -> str:
    """The document that `python -m trainer VERB --config` reads."""
    return json.dumps({"schema": SCHEMA, "config": dataclasses.asdict(request)}, indent=1) + "\n"


def from_json(text: str | bytes, kind: type[T]) -> T:
    """Read a document written by `to_json`; other keys next to `config` are ignored.

    Raises:
        ExitError: 64 for another schema, an unknown field, or a value of the wrong type.
    """
    try:
        document = documents.parse(text)
    except ValueError as error:
        raise ExitError(Exit.BAD_OPTION, f"the configuration is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("config"), dict):
        raise ExitError(Exit.BAD_OPTION, 'the configuration must be an object {"schema": …, "config": {…}}')
    if document.get("schema") != SCHEMA:
        raise ExitError(
            Exit.BAD_OPTION,
            f"the configuration has schema {document.get('schema')}, this catdog reads {SCHEMA}: "
            "use the same version of catdog for both",
        )
    made = config.build(kind, document["config"])
    if isinstance(made, RunConfig):
        config.check(made)
    return made
