"""One training run, top to bottom: request → workers → data, folder, checkpoint → training → results."""

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from trainer.config import RunConfig
from trainer.contract import REPORT
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.folder.attempt import Attempt
from trainer.folder.files import Record
from trainer.process import quiet, signals
from trainer.process.signals import StopRequest
from trainer.process.versions import revision, versions
from trainer.start import Start, begin
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage
from trainer.storage.retry import RetryPolicy
from trainer.telemetry.metrics import Metrics, serve
from trainer.telemetry.spoken import Spoken
from trainer.workers.topology import Topology, from_environment

if TYPE_CHECKING:
    from trainer.training.strategy import Distribution

log = logging.getLogger(__name__)


def train(asked: RunConfig, stop: StopRequest, environment: MutableMapping[str, str]) -> Exit:
    """Start or resume the run that `asked` describes; return the exit code.

    Raises:
        ExitError: with the contract's code and one line for people.
    """
    topology = from_environment(environment)
    metrics = Metrics()
    patience = RetryPolicy(total=min(RetryPolicy().total, asked.storage_timeout))
    run = open_storage(asked.run, on_retry=metrics.count_retry, retry=patience)

    # Workers, data, and the checkpoint to resume from: every problem with the input is found here.
    start = begin(asked, topology, run, environment, metrics.count_retry)
    if start.finished:
        log.info("%s is finished; its report is %s/%s", asked.run, run.uri, REPORT)
        return Exit.DONE

    metrics.restarts.set(start.restarts)
    metrics.checkpoints_refused.inc(len(start.refused))
    return _train_from(start, topology, run, metrics, stop, environment)


def _train_from(
    start: Start,
    topology: Topology,
    run: Storage,
    metrics: Metrics,
    stop: StopRequest,
    environment: MutableMapping[str, str],
) -> Exit:
    """The part that needs TensorFlow, which takes seconds to import: bad input is reported before that."""
    quiet.import_tensorflow()
    from trainer import results
    from trainer.observers import Observers
    from trainer.training import loop, strategy
    from trainer.training.agreement import agree
    from trainer.training.inputs import Worker, load_inputs
    from trainer.training.learner import build_learner
    from trainer.training.resume import first_state

    with (
        Attempt(run, topology.rank, start.lease, start.running) as attempt,
        Spoken(lambda: attempt.state, topology.rank, environment),
        serve(metrics, start.config, topology.rank) as scrapes,
    ):
        stop.on_give_up = attempt.give_up
        devices = strategy.configure(start.config, environment)
        config = strategy.resolve_precision(start.config, devices)
        distribution = strategy.distribute(topology, devices, environment)
        signals.take_back()
        parts = strategy.parts_per_replica(config, devices, environment)
        layout = loop.lay_out(config, distribution.replicas, parts)
        agree(distribution, "precision", config.precision)
        strategy.set_precision(config.precision)
        steps = f"{start.length.total_steps} steps of {config.batch_size} pictures from step {start.step}"
        log.info("%s, %s", strategy.describe(distribution, devices, config), steps)

        threads, weights = strategy.threads_of(config, environment), start.class_weights
        record = Record(config, start.source.data.fingerprint, versions(), revision(), threads, weights)
        if topology.rank == 0:
            files.write_record(run, record)
        backbone = start.backbone.tensors if start.backbone is not None else None
        worker = Worker(topology, distribution, devices, environment)
        inputs = load_inputs(config, start.source, start.length, start.step, backbone, run, worker)
        for name, split in inputs.splits.items():
            metrics.rejected.labels(name).set(len(split.rejected))

        learner = build_learner(config, len(start.source.data.classes), distribution.strategy, backbone)
        by_class = None if weights is None else tuple(weights.values())
        train, valid = (inputs.by_phase(split, start.length) for split in ("train", "valid"))
        task = loop.Task(config, distribution, learner, train, valid, start.length, layout, by_class)
        state = first_state(task, start.snapshot)
        with Observers(task, run, topology.rank, attempt, metrics, state) as observers:
            try:
                state, code = loop.train(task, state, stop, observers.hooks()), Exit.DONE
            except loop.Stopped as stopped:
                state, code = observers.save(stopped.snapshot), stopped.code
            observers.flush()

        if code == Exit.DONE and topology.rank == 0:
            results.finish(run, record, inputs, task, state, metrics)
        attempt.end(code, "" if code == Exit.DONE else f"stopped by a signal at step {state.step}, state saved")
        _leave(distribution, attempt)
        if code == Exit.DONE:
            scrapes.await_last()
        return code


def _leave(distribution: "Distribution", attempt: Attempt) -> None:
    """Exit together; others might have exited already, which is fine once rank 0 has recorded the result."""
    from trainer.training.agreement import wait_for_all  # here, as above: it needs TensorFlow

    try:
        wait_for_all(distribution)
    except ExitError:
        if not attempt.is_recorded():
            raise
