"""RunConfig: every option of a run, declared once. Standard library only.

The command line's flags, config.json, the fingerprint and the documentation are all made from these fields.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from trainer.exits import Exit, ExitError

SCHEMA = 1
T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """What is known of one field besides its type and default.

    `identity` says that another value would be another training: such fields make the fingerprint, and a run folder
    refuses a command in which one of them differs.
    """

    help: str
    identity: bool = False
    unit: str = ""
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    group: str = "Training"


def _option(default: Any, help: str, **facts: Any) -> Any:
    return field(default=default, metadata={"option": Option(help, **facts)})


# Networks of trainer.models.registry, and the smallest picture each can take, in pixels.
NETWORKS = {"article": 78, "small": 16}
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
OPTIMIZERS = ("rmsprop", "adam", "sgd")
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class RunConfig:
    """All options of one run; immutable. Fields of type float accept what JSON writes as an integer."""

    recipe: str = _option("baseline", "Named set of defaults.", group="Run")
    data: str = _option("", "Data set: a path, file://… or gs://… holding {train,valid,test}/CLASS/.", group="Run")
    run: str = _option("", "Run folder: a path, file://… or gs://….", group="Run")

    model: str = _option("article", "Network, by name.", identity=True, choices=tuple(NETWORKS), group="Model")
    image_size: int = _option(
        180,
        "Side of the square the pictures are resized to.",
        identity=True,
        unit="pixels",
        low=16,
        high=2048,
        group="Model",
    )
    dropout: float = _option(0.0, "Dropout before the output layer.", identity=True, low=0, below=1, group="Model")
    flip: bool = _option(False, "Mirror half of the training pictures.", identity=True, group="Augmentation")
    rotation: float = _option(
        0.0, "Largest rotation, either way.", identity=True, unit="turns", low=0, high=0.5, group="Augmentation"
    )
    zoom: float = _option(
        0.0, "Largest zoom, in or out, per axis.", identity=True, unit="fraction", low=0, below=1, group="Augmentation"
    )

    epochs: int = _option(30, "Passes over the training pictures.", low=1, high=1_000_000)
    steps: int = _option(0, "Stop after this many steps, whatever the epochs say; 0: no limit.", low=0, high=10**12)
    batch_size: int = _option(
        32,
        "Global batch: pictures in one step over all replicas.",
        identity=True,
        unit="pictures",
        low=1,
        high=1_048_576,
    )
    learning_rate: float = _option(1e-3, "Learning rate after warm-up.", identity=True, above=0, high=1e3)
    optimizer: str = _option("rmsprop", "Update rule.", identity=True, choices=OPTIMIZERS)
    momentum: float = _option(0.0, "Momentum of sgd and rmsprop.", identity=True, low=0, below=1)
    weight_decay: float = _option(
        0.0, "Decoupled weight decay of kernels (with adam: AdamW).", identity=True, low=0, high=1
    )
    schedule: str = _option("constant", "Learning rate after warm-up.", identity=True, choices=SCHEDULES)
    warmup_steps: int = _option(0, "Steps over which the learning rate rises from 0.", identity=True, low=0, high=10**9)
    clip_norm: float = _option(0.0, "Largest global norm of the gradient; 0: no clipping.", identity=True, low=0)
    ema: float = _option(
        0.0,
        "Decay of the weights' moving average, which is then what is validated; 0: none.",
        identity=True,
        low=0,
        below=1,
    )
    early_stopping: int = _option(
        0, "Stop when validation has not improved for this many epochs; 0: off.", unit="epochs", low=0, high=1_000_000
    )
    seed: int = _option(
        0, "Of everything random: weights, order, augmentation, dropout.", identity=True, low=0, high=2**31 - 1
    )
    init_from: str = _option(
        "", "Start from the best weights of this run: its folder, or its name in the cluster.", identity=True
    )

    deterministic: bool = _option(
        False, "Same weights bit for bit on any number of replicas and workers.", identity=True, group="Exactness"
    )
    slices: int = _option(
        4, "Fixed slices of the global batch under --deterministic.", identity=True, low=1, high=1024, group="Exactness"
    )
    precision: str = _option(
        "auto",
        "Arithmetic; auto is what the hardware is good at.",
        identity=True,
        choices=PRECISIONS,
        group="Exactness",
    )

    workers: int = _option(1, "Processes that train as one.", low=1, high=4096, group="Hardware")
    devices: int = _option(
        0,
        "Devices per worker; 0: every GPU, or the CPU as one. Without GPUs, N splits the CPU in N.",
        low=0,
        high=64,
        group="Hardware",
    )
    accelerator: str = _option("auto", "What to train on.", choices=("auto", "cpu", "gpu"), group="Hardware")
    threads: int = _option(
        0, "CPU threads per worker; 0: what the container may use.", low=0, high=4096, group="Hardware"
    )
    cache_memory: int = _option(
        0,
        "Memory for decoded pictures, past which they go to disk; 0: a third of what is free.",
        unit="MiB",
        low=0,
        group="Hardware",
    )
    cache_dir: str = _option(
        "",
        "Folder for downloaded pictures and for decoded ones past --cache-memory; default: the temporary folder.",
        group="Hardware",
    )
    cache_disk: int = _option(
        0,
        "Disk for downloaded pictures, kept between runs; 0: a quarter of what is free, at most 16 GiB.",
        unit="MiB",
        low=0,
        group="Hardware",
    )

    max_rejected: float = _option(
        0.01, "Share of pictures of a split that may be unreadable.", low=0, high=1, unit="fraction", group="Data"
    )
    checkpoint_every: int = _option(
        500,
        "Steps between checkpoints; each epoch's end is always one. 0: only those.",
        unit="steps",
        low=0,
        high=10**9,
        group="Checkpoints",
    )
    keep_checkpoints: int = _option(3, "Newest checkpoints kept.", low=1, high=1000, group="Checkpoints")
    force_resume: bool = _option(
        False, "Go on in this run folder though the configuration differs.", group="Checkpoints"
    )
    rendezvous_timeout: float = _option(
        60.0, "How long to wait for every worker.", unit="seconds", above=0, group="Faults"
    )
    stall_timeout: float = _option(
        900.0, "Give up when no step ends for so long; 0: never.", unit="seconds", low=0, group="Faults"
    )
    storage_timeout: float = _option(
        600.0, "Give up when the run folder cannot be written for so long.", unit="seconds", low=0, group="Faults"
    )
    grace_period: float = _option(30.0, "Time from SIGTERM to the end.", unit="seconds", above=0, group="Faults")
    metrics_port: int = _option(
        0, "Port of /metrics, plus the rank for local workers; 0: none.", low=0, high=65535, group="Telemetry"
    )
    log_every: int = _option(
        50, "Steps between progress lines when output is not a terminal.", low=1, group="Telemetry"
    )


@dataclass(frozen=True)
class EvaluateRequest:
    """What `python -m trainer evaluate` is asked: the exported model of `run` on the pictures at `data`."""

    run: str
    data: str
    output: str = "text"


@dataclass(frozen=True)
class PredictRequest:
    """What `python -m trainer predict` is asked: classes of `images` by the exported model of `run`."""

    run: str
    images: tuple[str, ...]
    output: str = "text"


@dataclass(frozen=True)
class ReportRequest:
    """What `python -m trainer report` is asked: write report.html of `run`."""

    run: str


ORDERS = ("name", "random")


@dataclass(frozen=True)
class DataImportRequest:
    """What `python -m trainer data-import` is asked: split the pictures of `source` and store them at `target`.

    `train`, `valid` and `test` are per class: pictures ("1000"), a share of them ("0.8"), or "" for the default.
    """

    source: str
    target: str
    train: str = ""
    valid: str = ""
    test: str = ""
    order: str = "name"
    seed: int = 0
    output: str = "text"


@dataclass(frozen=True)
class DataCheckRequest:
    """What `python -m trainer data-check` is asked: verify the data set at `data`."""

    data: str
    output: str = "text"


@dataclass(frozen=True)
class DataPackRequest:
    """What `python -m trainer data-pack` is asked: `data` as shards of about `shard_size` MiB at `target`."""

    data: str
    target: str
    shard_size: int = 64
    output: str = "text"


Request = (
    RunConfig
    | EvaluateRequest
    | PredictRequest
    | ReportRequest
    | DataImportRequest
    | DataCheckRequest
    | DataPackRequest
)


def options() -> dict[str, Option]:
    """Every field of RunConfig with its Option, in order of declaration."""
    return {f.name: f.metadata["option"] for f in dataclasses.fields(RunConfig)}


def flag(name: str) -> str:
    """The command-line flag of a field: image_size → --image-size."""
    return "--" + name.replace("_", "-")


def check(config: RunConfig) -> RunConfig:
    """Return `config` if every value is within its bounds.

    Raises:
        ExitError: 64, naming the flag, the value and the bounds.
    """
    for name, option in options().items():
        value = getattr(config, name)
        if option.choices and value not in option.choices:
            raise ExitError(
                Exit.BAD_OPTION, f"{flag(name)} is {value!r}; it must be one of {', '.join(option.choices)}"
            )
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not _within(value, option):
            raise ExitError(Exit.BAD_OPTION, f"{flag(name)} is {value}; it must be {bounds(option)}")
    smallest = NETWORKS[config.model]
    if config.image_size < smallest:
        raise ExitError(
            Exit.BAD_OPTION,
            f"--image-size is {config.image_size}; --model {config.model} needs at least {smallest} pixels",
        )
    return config


def _within(value: float, option: Option) -> bool:
    return (
        (isinstance(value, int) or math.isfinite(value))
        and (option.low is None or value >= option.low)
        and (option.high is None or value <= option.high)
        and (option.above is None or value > option.above)
        and (option.below is None or value < option.below)
    )


def bounds(option: Option) -> str:
    """The bounds in words, empty when there are none."""
    words = (
        ("at least", option.low),
        ("above", option.above),
        ("at most", option.high),
        ("below", option.below),
    )
    shown = [
        (word, f"{limit:,}" if isinstance(limit, int) else f"{limit:g}") for word, limit in words if limit is not None
    ]
    return " and ".join(f"{word} {limit}" for word, limit in shown)


def fingerprint(config: RunConfig) -> str:
    """16 hex digits over the identity fields: equal for two configurations that train the same weights."""
    identity = {name: getattr(config, name) for name, option in options().items() if option.identity}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def differences(ours: RunConfig, theirs: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Identity fields that differ: name → (ours, theirs)."""
    pairs = {n: (getattr(ours, n), getattr(theirs, n)) for n, option in options().items() if option.identity}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def to_json(request: Request) -> str:
    """The document that `python -m trainer VERB --config` reads."""
    return json.dumps({"schema": SCHEMA, "config": dataclasses.asdict(request)}, indent=1) + "\n"


def from_json(text: str | bytes, kind: type[T]) -> T:
    """Read a document of `to_json`; further keys beside `config` are left to others.

    Raises:
        ExitError: 64 for another schema, an unknown field, or a value of another type.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ExitError(Exit.BAD_OPTION, f"the configuration is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("config"), dict):
        raise ExitError(Exit.BAD_OPTION, 'the configuration must be an object {"schema": …, "config": {…}}')
    if document.get("schema") != SCHEMA:
        raise ExitError(
            Exit.BAD_OPTION,
            f"the configuration has schema {document.get('schema')}, this catdog reads {SCHEMA}: "
            "use the same version of both",
        )
    return from_mapping(document["config"], kind)


def from_mapping(values: Mapping[str, Any], kind: type[T]) -> T:
    """Build a `kind` from plain values, checking names and types.

    Raises:
        ExitError: 64 naming the field.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ExitError(Exit.BAD_OPTION, f"unknown option {unknown[0]!r} in the configuration")
    try:
        made = kind(**{name: _cast(name, value, fields[name].type) for name, value in values.items()})
    except TypeError as error:
        raise ExitError(Exit.BAD_OPTION, f"the configuration is incomplete: {error}") from error
    if isinstance(made, RunConfig):
        check(made)
    return made


def _cast(name: str, value: Any, type_: Any) -> Any:
    if type_ is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf  # which is out of every bound
    if type_ == tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise ExitError(Exit.BAD_OPTION, f"{flag(name)} is {value!r}; it must be a list of names")
    if type(value) is not type_:
        raise ExitError(Exit.BAD_OPTION, f"{flag(name)} is {value!r}; it must be of type {type_.__name__}")
    return value
