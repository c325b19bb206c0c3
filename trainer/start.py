"""How an attempt at a run starts: rank 0 claims the run folder and chooses what to resume from; other ranks follow."""

import dataclasses
import functools
import logging
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from trainer.backbones.stored import Weights
from trainer.class_weights import advice, inlined, resolve
from trainer.config import BLOCKS, RunConfig
from trainer.contract import CHECKPOINTS, State
from trainer.data.blocks import Blocks, blocks_of, is_sorted_by_class
from trainer.data.data_set import counts_of, describe
from trainer.data.rules import rules_of
from trainer.data.source import Source, open_source
from trainer.exits import Exit, ExitError
from trainer.fingerprint import fingerprint
from trainer.folder import files
from trainer.folder import lease as leases
from trainer.folder.attempt import leave
from trainer.folder.begun import RENEW_SECONDS, Noted, note, tell_failure
from trainer.folder.crashes import SOON_SECONDS
from trainer.folder.files import RunState
from trainer.folder.held import Held
from trainer.folder.lease import Lease
from trainer.ledger import NONE, Ledger, begun, from_json, latest, lost_since, to_json
from trainer.process.activity import Activity, Doing
from trainer.process.signals import StopRequest
from trainer.process.versions import catdog_version
from trainer.storage.base import Storage
from trainer.storage.opening import SILENT, Listener
from trainer.timekeeping import Timekeeper
from trainer.training import checkpoint
from trainer.training.backbone import backbone_for
from trainer.training.checkpoint import Snapshot, Unusable
from trainer.training.phases import Length, length_of
from trainer.training.state import finished
from trainer.workers.handshake import credential_of
from trainer.workers.line import Line, telling_failures
from trainer.workers.rendezvous import Hello, Message, meet, refuse
from trainer.workers.topology import Topology, peer_lost_wait

log = logging.getLogger(__name__)

REFUSAL_SECONDS = 15.0


@dataclass(frozen=True)
class Start:
    """What an attempt starts with. `snapshot` is None for a fresh run; only rank 0 has a `lease` and the names of the
    `refused` checkpoints. `class_weights` is by class, None without weights; `backbone` None unless pre-trained.
    `attempt` and `writer` are the term and the uid of rank 0's lease, `noted` is the attempt in attempt.json, `ledger`
    is that of the run at the beginning of this process; they are rank 0's alone. `blocks` None unless shuffled by
    them."""

    config: RunConfig
    source: Source
    length: Length
    snapshot: Snapshot | None
    finished: bool
    restarts: int
    lease: Lease | None
    refused: tuple[str, ...] = ()
    class_weights: Mapping[str, float] | None = None
    backbone: Weights | None = None
    attempt: int = 0
    writer: str = ""
    noted: Noted | None = None
    ledger: Ledger = NONE
    blocks: Blocks | None = None

    @property
    def step(self) -> int:
        """Steps already done."""
        return 0 if self.snapshot is None else self.snapshot.state.step

    @property
    def running(self) -> RunState:
        """What state.json says from now on: the step of the checkpoint, until the first step after it."""
        epoch, total = self.length.epoch_after(self.step), self.length.total_steps
        state = RunState(State.RUNNING, epoch=epoch, step=self.step, total_steps=total, restarts=self.restarts)
        return dataclasses.replace(state, attempt=self.attempt, writer=self.writer, ledger=to_json(self.ledger))


def begin(
    config: RunConfig,
    topology: Topology,
    run: Storage,
    environment: Mapping[str, str],
    activity: Activity,
    stop: StopRequest,
    listener: Listener = SILENT,
) -> tuple[Start, Line]:
    """Meet the other workers and start where rank 0 says; the line to them is open from then on.

    Args:
        activity: what this worker does, for the others to know.
        stop: whether it was asked to stop.
        listener: told of each call to the storage that has the data.

    Raises:
        ExitError: what `claim` and `follow` raise on this rank; 64 for a secret that is none; 69 when a worker did not
            join; 75 when rank 0 failed.
    """
    credential = None if topology.alone else credential_of(environment)
    on_lost = functools.partial(_leave, peer_lost_wait(environment))
    hello = Hello(topology.rank, uuid.uuid4().hex, catdog_version(), fingerprint(config))
    if topology.rank != 0:
        with activity.during(Doing.MEETING):
            message, connections = meet(topology, hello, config.rendezvous_timeout, {}, credential)
        line = Line(topology.rank, connections, activity, on_lost)
        with telling_failures(line):
            return follow(config, run, message, activity, listener), line
    try:
        start = claim(config, run, environment, activity, stop, listener)
    except ExitError as error:
        if error.code != stop.exit_code:
            refuse(topology, hello, min(config.rendezvous_timeout, REFUSAL_SECONDS), error, credential)
        raise
    if start.noted is not None:
        start.noted.watch()
    try:
        with activity.during(Doing.MEETING):
            _, connections = meet(topology, hello, config.rendezvous_timeout, _message(start), credential)
    except ExitError as error:
        if start.lease is not None:
            held, ledger = Held(run, start.lease), Timekeeper(activity, start.ledger).now()
            tell_failure(held, dataclasses.replace(start.running, ledger=to_json(ledger)), error)
            held.release()
        raise
    line = Line(topology.rank, connections, activity, on_lost)
    if start.noted is not None:
        start.noted.asked = line.is_asked_to_stop
    return start, line


def _leave(wait: float, words: str) -> NoReturn:
    """What a worker does that learns of a loss while it starts."""
    leave(Exit.PEER_LOST, f"a peer was lost: {words}", wait)


def _message(start: Start) -> dict[str, Any]:
    return {
        "precision": start.config.precision,
        "class_weights": start.config.class_weights,
        "pixel_path": start.config.pixel_path,
        "weights_sha256": start.config.weights_sha256,
        "data_fingerprint": start.source.data.fingerprint,
        "blocks_fingerprint": _fingerprint(start.blocks),
        "step": None if start.snapshot is None else start.snapshot.state.step,
        "finished": start.finished,
        "restarts": start.restarts,
        "attempt": start.attempt,
        "writer": start.writer,
    }


def claim(
    config: RunConfig,
    run: Storage,
    environment: Mapping[str, str],
    activity: Activity,
    stop: StopRequest,
    listener: Listener = SILENT,
) -> Start:
    """Rank 0: list the data, check that folder, configuration and data belong together, take the lease, load the newest
    checkpoint.

    Raises:
        ExitError: 65 and 66 about the data; 73 for a folder that is in use, or belongs to another configuration or
            data set; 74 when no checkpoint can be read; 75 when another attempt at this run uses the folder; 79 when
            too many attempts in a row have come to nothing; 143 or 130 after a signal. A refused command changes
            nothing in another run's folder.
    """
    record = files.read_record(run)
    known = {} if record is None else {"known": record.config.class_weights}
    config = dataclasses.replace(config, class_weights=inlined(config.class_weights, **known))
    backbone = backbone_for(config)
    config = dataclasses.replace(config, weights_sha256=backbone.card.sha256 if backbone else "")
    config = files.settle(config, record)
    with activity.during(Doing.LISTING):
        source = _open(config, listener)
    _tell(source)
    weights = _weights(config, source, log.warning)
    blocks = _blocks(config, source, log.warning)
    files.check_data(config, record, source.data.fingerprint, _fingerprint(blocks))
    length = length_of(config, len(source.data.splits["train"]))
    before = files.read_state(run)
    lease = leases.acquire(run, leases.myself(environment), 0 if before is None else before.attempt)
    try:
        previous = files.read_state(run)
        with activity.during(Doing.RESTORING):
            found, unreadable = _newest(run)
        snapshot = found.snapshot
        if found.refused:
            log.warning("%d checkpoints were refused: %s", len(found.refused), ", ".join(found.refused))
        done = snapshot is not None and finished(snapshot.state, length)
        succeeded = previous is not None and previous.state == State.SUCCEEDED
        restarts = 0 if previous is None else previous.restarts + (not succeeded)
        if done and succeeded:
            files.check_finished(config, record)
            leases.release(run, lease)
            return Start(config, source, length, snapshot, True, restarts, None)
        step = None if unreadable else 0 if snapshot is None else snapshot.state.step
        noted = note(run, lease, previous, step, activity.is_asked_to_stop, functools.partial(_pause, config, stop))
        ours, writer = lease.holder.term, lease.holder.uid
        start = Start(
            config, source, length, snapshot, False, restarts, lease, found.refused, weights, backbone, ours, writer
        )
        start = dataclasses.replace(start, blocks=blocks)
        if unreadable is not None:
            if noted is not None and not succeeded:
                tell_failure(Held(run, lease), start.running, unreadable)
            raise unreadable
        again = noted is not None and noted.again
        return dataclasses.replace(start, noted=noted, ledger=_ledger(previous, snapshot, ours, activity.began, again))
    except BaseException:
        leases.release(run, lease)
        raise


def _ledger(previous: RunState | None, snapshot: Snapshot | None, attempt: int, began: float, again: bool) -> Ledger:
    """The ledger that this attempt goes on with. Steps that a heartbeat knew of and the checkpoint has not are lost."""
    kept = NONE if snapshot is None else snapshot.state.ledger
    told = latest(from_json(previous.ledger if previous else None), kept)
    lost = (previous.step if previous else 0) - (snapshot.state.step if snapshot else 0)
    return begun(lost_since(told, kept, lost) if lost > 0 else told, attempt, began, not again)


def _newest(run: Storage) -> tuple[checkpoint.Found, ExitError | None]:
    """What to resume from, or why none of the checkpoints can be read: an attempt that fails like any other."""
    try:
        return checkpoint.newest(run.child(CHECKPOINTS), run), None
    except ExitError as error:
        return checkpoint.Found(None), error


def _pause(config: RunConfig, stop: StopRequest, seconds: float) -> None:
    """Wait, and raise ExitError 143 or 130 when a signal comes."""
    # All pauses together are half of what the other workers wait for this one at most.
    longest = config.rendezvous_timeout / 2 * RENEW_SECONDS / SOON_SECONDS if config.workers > 1 else math.inf
    if stop.came.wait(min(seconds, longest)):
        raise ExitError(stop.exit_code, "stopped by a signal before it began")


def follow(config: RunConfig, run: Storage, message: Message, activity: Activity, listener: Listener = SILENT) -> Start:
    """Other ranks: start with what rank 0 chose.

    Raises:
        ExitError: 65 when this rank sees different pictures from rank 0; 74 when it cannot read the checkpoint.
    """
    decided = {name: message[name] for name in ("precision", "pixel_path", "weights_sha256", "class_weights")}
    config = dataclasses.replace(config, **decided)
    backbone = backbone_for(config)
    if backbone is not None and backbone.card.sha256 != config.weights_sha256:
        raise ExitError(
            Exit.BAD_DATA,
            f"the weights of {config.model} here (SHA-256 {backbone.card.sha256}) differ from those that rank 0 has "
            f"({config.weights_sha256})",
        )
    with activity.during(Doing.LISTING):
        source = _open(config, listener)
    if message["data_fingerprint"] != source.data.fingerprint:
        raise ExitError(
            Exit.BAD_DATA,
            f"{source.data.uri}: the pictures here (fingerprint {source.data.fingerprint}) "
            f"differ from those that rank 0 sees ({message['data_fingerprint']})",
        )
    blocks = _blocks(config, source)
    if message["blocks_fingerprint"] != _fingerprint(blocks):
        raise ExitError(
            Exit.BAD_DATA, f"{source.data.uri}: the pictures here are packed otherwise than those that rank 0 sees"
        )
    with activity.during(Doing.RESTORING):
        snapshot = None if message["step"] is None else _read(run, message["step"])
    length = length_of(config, len(source.data.splits["train"]))
    weights = _weights(config, source)
    done, restarts, attempt, writer = (message[name] for name in ("finished", "restarts", "attempt", "writer"))
    return Start(
        config, source, length, snapshot, done, restarts, None, (), weights, backbone, attempt, writer, blocks=blocks
    )


def _open(config: RunConfig, listener: Listener) -> Source:
    return open_source(
        config.data, rules=rules_of(config), cache_dir=config.cache_dir, cache_disk=config.cache_disk, listener=listener
    )


def _tell(source: Source) -> None:
    if source.demo:
        log.info("no --data: using the drawn demo set (cartoons, not photographs) in %s", source.data.uri)
    for line in describe(source.data):
        log.info("%s", line)


def _weights(config: RunConfig, source: Source, say: Callable[[str], None] = lambda _: None) -> dict[str, float] | None:
    """The weight of each class, None without weights; where they are missed, that is said."""
    classes = source.data.classes
    counts = counts_of(source.data.splits["train"], classes)
    if line := advice(config.class_weights, classes, counts):
        say(line)
    return resolve(config.class_weights, classes, counts)


def _blocks(config: RunConfig, source: Source, say: Callable[[str], None] = lambda _: None) -> Blocks | None:
    """The blocks that pictures are shuffled by; None when they are shuffled as a whole.

    Raises:
        ExitError: 64 where the pictures are not packed.
    """
    if config.shuffle != BLOCKS:
        return None
    train = source.data.splits["train"]
    blocks = blocks_of(train)
    if blocks is None:
        raise ExitError(
            Exit.BAD_OPTION,
            f"--shuffle {BLOCKS} is for packed data sets; pack {source.data.uri} with "
            f"`catdog data pack {source.data.uri} TARGET` and train on TARGET, or shuffle as a whole",
        )
    if is_sorted_by_class(blocks, train.labels):
        say(
            "the shards have one class after another, so batches of neighbours are of few classes: "
            f"`catdog data pack` mixes them now; pack the pictures again for --shuffle {BLOCKS}"
        )
    return blocks


def _fingerprint(blocks: Blocks | None) -> str:
    return "" if blocks is None else blocks.fingerprint


def _read(run: Storage, step: int) -> Snapshot:
    try:
        return checkpoint.read(run.child(CHECKPOINTS), checkpoint.step_name(step), run)
    except Unusable as error:
        raise ExitError(
            Exit.STORAGE_FAILED, f"{run.uri}: rank 0 resumes from step {step}, which cannot be read here: {error}"
        ) from error
