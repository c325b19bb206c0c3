"""RunConfig: every option of a run, declared once. Standard library only.

The command line's flags, config.json, the fingerprint and the documentation are all generated from these fields.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from trainer import fields
from trainer.exits import Exit, ExitError
from trainer.fields import AUTO, Naming, Refused, declare, flag, options, seconds_or_auto
from trainer.track import tracker_fault

T = TypeVar("T")

# Networks of trainer.models.registry, and the smallest picture that each accepts, in pixels.
PRETRAINED = tuple(f"efficientnet-lite{number}" for number in range(3))
"""Those that start from weights which others have trained: the backbones of trainer.backbones.registry."""
NETWORKS = {"article": 78, "small": 16, **dict.fromkeys(PRETRAINED, 32)}
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
OPTIMIZERS = ("rmsprop", "adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine")
ACCURACY, LOSS = BEST_BY = ("accuracy", "loss")
"""Of validation: what --best may be."""
NO_WEIGHTS, BALANCED = CLASS_WEIGHTS = ("none", "balanced")
"""What --class-weights may be besides a file."""
NEWEST_PIXEL_PATH = 2  # trainer.data.decode says what the versions are
SQUASH, CROP, PAD = RESIZES = ("squash", "crop", "pad")
GLOBAL, BLOCKS = SHUFFLES = ("global", "blocks")
AUTO_INPUT, DECODED, ENCODED, STREAM = INPUTS = (AUTO, "decoded", "encoded", "stream")
LAYOUTS = ("auto", "splits", "classes", "names")
SHARES = "0.8/0.1/0.1"
LABEL_COLUMNS = "path=path,label=label"


@dataclass(frozen=True)
class RunConfig:
    """All options of one run; immutable. Fields of type float accept what JSON writes as an integer."""

    recipe: str = declare(
        "baseline", "Named set of defaults; without it, submit takes the platform's recipe.", group="Run"
    )
    data: str = declare(
        "",
        "Data set: a path, file://… or gs://… containing CLASS/, {train,valid,test}/CLASS/ or --labels.",
        group="Run",
    )
    run: str = declare("", "Run folder: a path, file://… or gs://….", group="Run")

    model: str = declare("article", "Network, by name.", identity=True, choices=tuple(NETWORKS), group="Model")
    weights: str = declare(
        "",
        "Weights for a pre-trained --model: a path, file://… or gs://…; default: those installed with catdog.",
        group="Model",
    )
    weights_sha256: str = declare(
        "", "SHA-256 of the pre-trained weights that the run began with.", identity=True, group="Model", flag=False
    )
    image_size: int = declare(
        180,
        "Side of the square to which pictures are resized.",
        identity=True,
        unit="pixels",
        low=16,
        high=2048,
        group="Model",
    )
    resize: str = declare(
        SQUASH, "Make pictures square: squash, crop the centre, or pad.", identity=True, choices=RESIZES, group="Model"
    )
    antialias: bool = declare(False, "Smooth pictures as they are made smaller.", identity=True, group="Model")
    pixel_path: int = declare(
        NEWEST_PIXEL_PATH,
        "Version of the way from a picture's bytes to its pixels; 2 turns JPEGs upright, 1 does not.",
        identity=True,
        low=1,
        high=NEWEST_PIXEL_PATH,
        group="Model",
        flag=False,
    )
    dropout: float = declare(0.0, "Dropout before the output layer.", identity=True, low=0, below=1, group="Model")
    unfreeze: str = declare(
        "",
        "Fine-tune a pre-trained --model from this block on, after --head-epochs: stem, block0, block1, …, head.",
        identity=True,
        group="Fine-tuning",
    )
    head_epochs: int = declare(
        20,
        "With --unfreeze: so many of --epochs train only the output layer.",
        identity=True,
        low=0,
        group="Fine-tuning",
    )
    tune_learning_rate: float = declare(
        1e-4, "Learning rate of the epochs that fine-tune.", identity=True, above=0, high=1e3, group="Fine-tuning"
    )
    tune_warmup_steps: int = declare(
        100, "Steps over which that rate rises from 0.", identity=True, low=0, high=10**9, group="Fine-tuning"
    )
    calibrate: bool = declare(
        False, "Divide the exported network's logits by a temperature fitted on the validation split.", group="Model"
    )
    flip: bool = declare(False, "Mirror half of the training pictures.", identity=True, group="Augmentation")
    rotation: float = declare(
        0.0,
        "Largest rotation, in either direction.",
        identity=True,
        unit="turns",
        low=0,
        high=0.5,
        group="Augmentation",
    )
    zoom: float = declare(
        0.0, "Largest zoom, in or out, per axis.", identity=True, unit="fraction", low=0, below=1, group="Augmentation"
    )

    epochs: int = declare(30, "Passes over the training pictures.", low=1, high=1_000_000)
    steps: int = declare(0, "Stop after this many steps, regardless of --epochs; 0: no limit.", low=0, high=10**12)
    batch_size: int = declare(
        32,
        "Global batch size: pictures per step over all replicas.",
        identity=True,
        unit="pictures",
        low=1,
        high=1_048_576,
    )
    learning_rate: float = declare(1e-3, "Learning rate after warm-up.", identity=True, above=0, high=1e3)
    optimizer: str = declare(
        "rmsprop", "Update rule; adamw is adam with --weight-decay.", identity=True, choices=OPTIMIZERS
    )
    momentum: float = declare(0.0, "Momentum of sgd and rmsprop.", identity=True, low=0, below=1)
    weight_decay: float = declare(
        0.0, "Decoupled weight decay of kernels (adam with it is AdamW).", identity=True, low=0, high=1
    )
    label_smoothing: float = declare(
        0.0, "Share of each training label that is spread evenly over all classes.", identity=True, low=0, below=1
    )
    schedule: str = declare("constant", "Learning rate after warm-up.", identity=True, choices=SCHEDULES)
    warmup_steps: int = declare(0, "Steps over which the learning rate rises from 0.", identity=True, low=0, high=10**9)
    clip_norm: float = declare(0.0, "Largest global norm of the gradient; 0: no clipping.", identity=True, low=0)
    ema: float = declare(
        0.0,
        "Decay of the weights' moving average, which is then validated and exported; 0: none.",
        identity=True,
        low=0,
        below=1,
    )
    best: str = declare(
        ACCURACY, "What decides in validation which epoch's weights are exported.", identity=True, choices=BEST_BY
    )
    early_stopping: int = declare(
        0, "Stop when validation has not improved for this many epochs; 0: off.", unit="epochs", low=0, high=1_000_000
    )
    seed: int = declare(
        0, "Random seed for weights, order, augmentation and dropout.", identity=True, low=0, high=2**31 - 1
    )
    shuffle: str = declare(
        GLOBAL,
        "Order of training pictures: any after any, or by blocks of a packed data set, read in large pieces.",
        identity=True,
        choices=SHUFFLES,
    )
    init_from: str = declare(
        "", "Start from the best weights of this run: its folder, or its name in the cluster.", identity=True
    )

    deterministic: bool = declare(
        False, "Bit-identical weights on any number of replicas and workers.", identity=True, group="Exactness"
    )
    slices: int = declare(
        4,
        "Number of fixed slices of the global batch with --deterministic.",
        identity=True,
        low=1,
        high=1024,
        group="Exactness",
    )
    precision: str = declare(
        "auto",
        "Arithmetic precision; auto is the fastest on the hardware.",
        identity=True,
        choices=PRECISIONS,
        group="Exactness",
    )

    workers: int = declare(1, "Number of processes that train together.", low=1, high=4096, group="Hardware")
    devices: int = declare(
        0,
        "Devices per worker; 0: all GPUs, or the CPU as one device. Without GPUs, N splits the CPU into N.",
        low=0,
        high=64,
        group="Hardware",
    )
    accelerator: str = declare("auto", "What to train on.", choices=("auto", "cpu", "gpu"), group="Hardware")
    threads: int = declare(0, "CPU threads per worker; 0: the container's limit.", low=0, high=4096, group="Hardware")
    input: str = declare(
        AUTO, "Pictures: decoded once, kept as files are, or read again each epoch.", choices=INPUTS, group="Hardware"
    )
    cache_memory: int = declare(
        0, "Memory for pictures. 0: a third of what is free.", unit="MiB", low=0, group="Hardware"
    )
    cache_dir: str = declare(
        "",
        "Folder for downloaded pictures and for decoded ones beyond --cache-memory; default: the temporary folder.",
        group="Hardware",
    )
    cache_disk: int = declare(
        0,
        "Disk space for downloaded pictures, kept between runs; 0: a quarter of the free space, at most 16 GiB.",
        unit="MiB",
        low=0,
        group="Hardware",
    )

    class_weights: str = declare(
        NO_WEIGHTS,
        'Weight of each class in the training loss: balanced, none, or a file, JSON {"class": number} or CSV.',
        identity=True,
        group="Data",
    )
    layout: str = declare(
        "auto", "How the pictures lie; auto: recognised by their names.", choices=LAYOUTS, group="Data"
    )
    labels: str = declare(
        "", "Table of labels (CSV with a header): a path, gs://…, or a file of the data set.", group="Data"
    )
    labels_columns: str = declare(
        LABEL_COLUMNS, "Columns of --labels, as path=id,label=breed,split=fold; split may be absent.", group="Data"
    )
    split: str = declare(
        SHARES, "Shares of train, valid and test where the data set is not split; 0 for test: none.", group="Data"
    )
    max_rejected: float = declare(
        0.01, "Largest allowed share of unreadable pictures in a split.", low=0, high=1, unit="fraction", group="Data"
    )
    checkpoint_every: int = declare(
        500,
        "Steps between checkpoints, in addition to one at each epoch's end; 0: only those.",
        unit="steps",
        low=0,
        high=10**9,
        group="Checkpoints",
    )
    keep_checkpoints: int = declare(3, "Number of newest checkpoints to keep.", low=1, high=1000, group="Checkpoints")
    force_resume: bool = declare(
        False, "Resume in this run folder even if configuration or data set differ.", group="Checkpoints"
    )
    rendezvous_timeout: float = declare(
        60.0, "How long to wait for all workers.", unit="seconds", above=0, group="Faults"
    )
    stall_timeout: str = declare(
        AUTO,
        "Seconds after which a step counts as stalled; auto: 60, or 10 times the slowest of late; 0: never.",
        fault=seconds_or_auto,
        group="Faults",
    )
    storage_timeout: float = declare(
        600.0, "Give up when the run folder cannot be written for this long.", unit="seconds", low=0, group="Faults"
    )
    grace_period: float = declare(30.0, "Time from SIGTERM to exit.", unit="seconds", above=0, group="Faults")
    metrics_port: int = declare(
        0, "Port of /metrics, plus the rank for local workers; 0: none.", low=0, high=65535, group="Telemetry"
    )
    track: str = declare(
        "", "Show the run in MLflow too: mlflow:URI, or mlflow:URI#EXPERIMENT.", group="Telemetry", fault=tracker_fault
    )
    profile: int = declare(
        0,
        "Steps of rank 0 to profile, soon after the first; with one replica, for TensorBoard too; 0: none.",
        unit="steps",
        low=0,
        high=1000,
        group="Telemetry",
    )
    log_every: int = declare(
        50, "Steps between progress lines when output is not a terminal.", low=1, group="Telemetry"
    )


_NAMING = Naming(shown=flag, unknown=lambda path, known: f"unknown option {path!r} in the configuration")


def check(config: RunConfig) -> RunConfig:
    """Return `config` if every value is within its bounds.

    Raises:
        ExitError: 64, naming the flag, the value and the bounds.
    """
    try:
        for name, option in options(RunConfig).items():
            fields.check(option, getattr(config, name), flag(name))
    except Refused as error:
        raise ExitError(Exit.BAD_OPTION, str(error)) from error
    if fault := next(_conflicts(config), ""):
        raise ExitError(Exit.BAD_OPTION, fault)
    return config


def _conflicts(config: RunConfig) -> Iterator[str]:
    """What two options say against each other, in a line each."""
    smallest = NETWORKS[config.model]
    if config.image_size < smallest:
        yield f"--image-size is {config.image_size}; --model {config.model} needs at least {smallest} pixels"
    for name in ("weights", "unfreeze"):
        if getattr(config, name) and config.model not in PRETRAINED:
            yield f"{flag(name)} is for pre-trained networks ({', '.join(PRETRAINED)}); --model is {config.model}"
    if config.model in PRETRAINED and not config.unfreeze and (config.rotation or config.zoom):
        yield "--rotation and --zoom are for --unfreeze: without it, only features are trained on, computed once"
    if config.unfreeze and config.head_epochs >= config.epochs:
        head = f"--head-epochs {config.head_epochs}"
        yield f"--unfreeze {config.unfreeze}: --epochs {config.epochs} leaves none after {head}"


def from_mapping(values: Mapping[str, Any]) -> RunConfig:
    """Build a RunConfig from plain values, checking names, types and bounds.

    Raises:
        ExitError: 64 naming the field.
    """
    return check(build(RunConfig, values))


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """Build a RunConfig, or a request of `trainer.requests`, from plain values, checking each field's bounds.

    Raises:
        ExitError: 64 naming the field.
    """
    try:
        return fields.build(kind, values, _NAMING)
    except Refused as error:
        raise ExitError(Exit.BAD_OPTION, str(error)) from error
    except TypeError as error:
        raise ExitError(Exit.BAD_OPTION, f"the configuration is incomplete: {error}") from error
