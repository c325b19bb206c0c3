"""The contents of the run folder's files. Their names are in trainer.contract."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from trainer import documents
from trainer.config import RunConfig, from_mapping
from trainer.contract import CONFIG, LABELS, METRICS, STATE
from trainer.exits import Exit, ExitError
from trainer.fields import flag, known, stored
from trainer.fingerprint import differences, fingerprint
from trainer.requests import SCHEMA
from trainer.storage.base import Storage
from trainer.storage.errors import StorageMissing

LONGEST_SHOWN = 80
"""Characters of a value in a message."""


class Writer(Protocol):
    """Where files are written: a storage, or the run folder as its holder writes it (`trainer.folder.held`)."""

    def write(self, name: str, data: bytes) -> object:
        """Store bytes under a name."""


@dataclass(frozen=True)
class RunState:
    """state.json: the run's state, for people and for `catdog status`. `updated` is a heartbeat.

    `attempt` is the term of the lease under which it was written, `writer` the uid of that lease.
    """

    state: str  # a contract.State
    reason: str = ""
    exit_code: int | None = None
    rank: int = 0
    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    restarts: int = 0
    updated: str = ""
    attempt: int = 0
    writer: str = ""
    lost: tuple[int, ...] = ()  # ranks that are silent or gone, while the others are about to exit
    lost_since: str = ""
    lost_silent: bool = False  # none of them closed its connection or said why it ends: its machine may be gone too
    slow: Mapping[str, Any] | None = None  # {"rank", "times"}: takes so many times as long for a step as the others
    workers: int = 1
    workers_seen: int = 1
    gpus: int = 0  # of all workers, as cpus
    cpus: int = 0
    activity: str = ""  # what rank 0 does, a process.activity.Doing
    eta_seconds: float | None = None
    loss: float | None = None  # mean of the training so far in this epoch
    losses: tuple[float, ...] = ()  # means over equal parts of the run, oldest first
    examples_per_second: float | None = None
    step_seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)  # by rank: its own part of a step
    ledger: Mapping[str, Any] | None = None  # as trainer.ledger has it


@dataclass(frozen=True)
class Record:
    """config.json: the resolved configuration, and what is needed to check that a resume is the same training."""

    config: RunConfig
    data_fingerprint: str
    versions: Mapping[str, str]
    revision: str
    threads: int
    class_weights: Mapping[str, float] | None = None  # by class; None without weights
    blocks_fingerprint: str = ""  # of how the pictures are packed, with --shuffle blocks


def write_json(storage: Writer, name: str, value: Any) -> None:
    """Write a value as JSON."""
    storage.write(name, _json(value))


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def read_json(storage: Storage, name: str) -> Any | None:
    """The parsed file, or None where there is none.

    Raises:
        ExitError: 73 when it is not JSON.
    """
    try:
        found = documents.parse(storage.read(name))
        if found is None:
            raise ValueError("it says null")
    except StorageMissing:
        return None
    except ValueError as error:
        raise ExitError(
            Exit.RUN_REFUSED, f"{storage.uri}/{name} is damaged ({error}); repair it or use another --run"
        ) from error
    return found


def read_object(storage: Storage, name: str) -> dict[str, Any] | None:
    """The parsed file, which must be an object, or None where there is none.

    Raises:
        ExitError: 73 when it is not one.
    """
    found = read_json(storage, name)
    if found is not None and not isinstance(found, dict):
        raise ExitError(Exit.RUN_REFUSED, f"{storage.uri}/{name} is damaged (not an object); use another --run")
    return found


def write_record(storage: Writer, record: Record) -> None:
    """Write config.json."""
    write_json(
        storage,
        CONFIG,
        {
            "schema": SCHEMA,
            "config": dataclasses.asdict(record.config),
            "fingerprint": fingerprint(record.config),
            "data_fingerprint": record.data_fingerprint,
            "versions": dict(record.versions),
            "revision": record.revision,
            "threads": record.threads,
            **({} if record.class_weights is None else {"class_weights": dict(record.class_weights)}),
            **({"blocks_fingerprint": record.blocks_fingerprint} if record.blocks_fingerprint else {}),
        },
    )


def read_record(storage: Storage) -> Record | None:
    """The run folder's record; None when nothing was recorded yet.

    An option that a later version added is left out if the configuration means the same without it, by the fingerprint.

    Raises:
        ExitError: 73 when it is not valid.
    """
    document = read_object(storage, CONFIG)
    if document is None:
        return None
    try:
        values = document["config"]
        config = from_mapping({"pixel_path": 1, **known(RunConfig, values)})  # absent: recorded before there was a 2
        later = sorted(set(values) - set(known(RunConfig, values)))
        if later and document["fingerprint"] != fingerprint(config):
            raise TypeError(f"unknown options: {', '.join(map(flag, later))}")
        beside = {name: value for name, value in document.items() if name != "config"}
        return Record(config, **stored(Record, beside))
    except (KeyError, TypeError, ExitError) as error:
        raise ExitError(
            Exit.RUN_REFUSED,
            f"{storage.uri}/{CONFIG} was not written by this version of catdog ({error}); use another --run",
        ) from error


def settle(asked: RunConfig, record: Record | None) -> RunConfig:
    """The configuration to continue with: the requested one, with `auto` and the pixel path as at the first start.

    Raises:
        ExitError: 73 naming each identity option that differs, unless --force-resume.
    """
    if record is None:
        return asked
    settled = dataclasses.replace(asked, pixel_path=record.config.pixel_path)
    if asked.precision == "auto":
        settled = dataclasses.replace(settled, precision=record.config.precision)
    differing = differences(record.config, settled)
    if differing and not asked.force_resume:
        raise ExitError(
            Exit.RUN_REFUSED,
            f"{asked.run}: this run folder belongs to another configuration ({_words(differing)}); "
            "use another --run, or --force-resume",
        )
    return settled


def check_finished(asked: RunConfig, record: Record | None) -> None:
    """Refuse to say that a run is finished when another one is asked for: --force-resume comes too late for it.

    Raises:
        ExitError: 73 naming each identity option that differs.
    """
    differing = {} if record is None else differences(record.config, asked)
    if differing:
        raise ExitError(
            Exit.RUN_REFUSED,
            f"{asked.run}: this run has finished, with another configuration ({_words(differing)}), and "
            "--force-resume cannot change what was trained; use another --run, with --init-from for its weights",
        )


def _words(differing: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(
        f"{flag(name)} {_short(before)} there, {_short(now)} here" for name, (before, now) in differing.items()
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def check_data(config: RunConfig, record: Record | None, data_fingerprint: str, blocks_fingerprint: str = "") -> None:
    """Refuse to continue with different pictures, or with the same ones packed otherwise where that is their order.

    Raises:
        ExitError: 73; --force-resume is for another configuration, since the old epochs are of the old pictures.
    """
    if record is not None and record.data_fingerprint != data_fingerprint:
        raise ExitError(
            Exit.RUN_REFUSED,
            f"{config.run}: this run folder belongs to another data set (fingerprint {record.data_fingerprint}, "
            f"{config.data or 'the demo set'} has {data_fingerprint}): other pictures, or cut otherwise by --split, "
            f"--seed or --layout; start a new run from its weights with --run ANOTHER --init-from {config.run}",
        )
    before = "" if record is None else record.blocks_fingerprint
    if before and blocks_fingerprint and before != blocks_fingerprint:
        raise ExitError(
            Exit.RUN_REFUSED,
            f"{config.run}: this run folder belongs to these pictures packed otherwise, and with --shuffle blocks "
            "that is their order; train on the shards that it began with, or use another --run",
        )


def write_state(storage: Writer, state: RunState) -> None:
    """Write state.json, with `updated` set to now."""
    storage.write(STATE, encoded_state(state))


def encoded_state(state: RunState) -> bytes:
    """The content of state.json, with `updated` set to now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return _json(dataclasses.asdict(dataclasses.replace(state, updated=now)))


def read_state(storage: Storage) -> RunState | None:
    """state.json, or None where there is none.

    Raises:
        ExitError: 73 when it is not valid.
    """
    values = read_object(storage, STATE)
    try:
        if values is not None:
            lists = {name: tuple(values[name]) for name in ("lost", "losses") if name in values}
            values = stored(RunState, {**values, **lists})
        return None if values is None else RunState(**values)
    except TypeError as error:
        raise ExitError(
            Exit.RUN_REFUSED,
            f"{storage.uri}/{STATE} was not written by this version of catdog ({error}); "
            "remove it or use another --run",
        ) from error


def write_metrics(storage: Writer, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rewrite metrics.jsonl: all epochs, one object per line."""
    storage.write(METRICS, "".join(json.dumps(row) + "\n" for row in rows).encode())


def read_metrics(storage: Storage) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl; none if there is no such file.

    Raises:
        ExitError: 73 when it is damaged.
    """
    try:
        rows = [documents.parse(line) for line in storage.read(METRICS).splitlines()]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("a line is not an object")
    except StorageMissing:
        return []
    except ValueError as error:
        raise ExitError(Exit.RUN_REFUSED, f"{storage.uri}/{METRICS} is damaged ({error})") from error
    return rows


def write_labels(storage: Storage, labels: Sequence[str]) -> None:
    """Write the classes of the exported model, in the order of its outputs."""
    storage.write(LABELS, json.dumps(list(labels), ensure_ascii=False).encode() + b"\n")


def read_labels(storage: Storage) -> tuple[str, ...]:
    """The classes of the exported model.

    Raises:
        ExitError: 66 when nothing was exported there; 73 when the file is damaged.
    """
    labels = read_json(storage, LABELS)
    if labels is None:
        raise ExitError(Exit.INPUT_MISSING, f"{storage.uri}: no exported model there; has the run finished?")
    if not isinstance(labels, list) or not labels or not all(isinstance(one, str) for one in labels):
        raise ExitError(Exit.RUN_REFUSED, f"{storage.uri}/{LABELS} is damaged (not a list of classes)")
    return tuple(labels)
