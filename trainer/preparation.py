"""From what an attempt starts with to what the loop trains: devices, pictures, network, first state."""

import logging
from collections.abc import MutableMapping
from dataclasses import dataclass

from trainer.data.source import counted_by
from trainer.fingerprint import fingerprint
from trainer.folder import files
from trainer.folder.attempt import Attempt
from trainer.folder.files import Record
from trainer.process import signals
from trainer.process.activity import Activity, Doing
from trainer.process.container import processors
from trainer.process.versions import revision, versions
from trainer.start import Start
from trainer.storage.base import Storage
from trainer.telemetry.metrics import Metrics
from trainer.training import strategy
from trainer.training.agreement import agree_on_hardware, blaming
from trainer.training.inputs import Inputs, Worker, load_inputs
from trainer.training.learner import build_learner, step_bytes
from trainer.training.resume import first_state
from trainer.training.state import LoopState
from trainer.training.task import Task, lay_out
from trainer.workers.topology import Topology

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """What the loop trains and from where, the pictures it was made from, and what config.json records of it."""

    record: Record
    inputs: Inputs
    task: Task
    state: LoopState


def prepare(
    start: Start,
    run: Storage,
    topology: Topology,
    environment: MutableMapping[str, str],
    attempt: Attempt,
    activity: Activity,
    metrics: Metrics,
) -> Prepared:
    """Join the workers in a strategy, try the first pictures or compute the features of all, put the first weights on
    the devices; rank 0 writes config.json.

    Raises:
        ExitError: what the devices, the pictures or the checkpoint are refused for.
    """
    devices = strategy.configure(start.config, environment)
    config = strategy.resolve_precision(start.config, devices)
    distribution = strategy.distribute(topology, devices, environment)
    signals.take_back()
    parts = strategy.parts_per_replica(config, devices, environment)
    layout = lay_out(config, distribution.replicas, parts)
    agree_on_hardware(distribution, config.precision, strategy.gpu_models(devices))
    strategy.set_precision(config.precision)
    attempt.update(gpus=distribution.gpus, cpus=processors() * topology.world)
    log.info("%s, %s", strategy.describe(distribution, devices, config), _steps(start))

    threads, weights = strategy.threads_of(config, environment), start.class_weights
    blocks = "" if start.blocks is None else start.blocks.fingerprint
    record = Record(config, start.source.data.fingerprint, versions(), revision(), threads, weights, blocks)
    if topology.rank == 0 and start.snapshot is None:
        files.write_record(attempt, record)
    info = (config.model, config.optimizer, config.precision, distribution.name)
    metrics.run_info.labels(*info, fingerprint(config), record.data_fingerprint).set(1)
    backbone = start.backbone.tensors if start.backbone is not None else None
    worker = Worker(topology, distribution, devices, environment)
    metrics.show_gpus(strategy.gpu_memory(devices))
    activity.enter(Doing.READING)
    source = counted_by(start.source, activity.counted)
    inputs = load_inputs(config, source, start.length, start.step, backbone, start.blocks, run, worker)

    activity.enter(Doing.BUILDING)
    with blaming(distribution):
        learner = build_learner(config, len(source.data.classes), distribution.strategy, backbone)
    strategy.reserve(devices, step_bytes(learner, worker.rows_of(config.batch_size)))
    by_class = None if weights is None else tuple(weights.values())
    train, valid = (inputs.by_phase(split, start.length) for split in ("train", "valid"))
    task = Task(config, distribution, learner, train, valid, start.length, layout, by_class, start.blocks)
    activity.enter(Doing.RESTORING)
    with blaming(distribution):
        state = first_state(task, start.snapshot, activity.began)
    activity.enter(Doing.STARTING)
    if topology.rank == 0 and start.snapshot is not None:
        files.write_record(attempt, record)  # only now that the checkpoint has turned out to fit
    return Prepared(record, inputs, task, state)


def _steps(start: Start) -> str:
    pictures = min(start.config.batch_size, start.length.phases[0].rows)
    return f"{start.length.total_steps} steps of {pictures} pictures from step {start.step}"
