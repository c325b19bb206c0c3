"""One training run, top to bottom: request → workers → data, folder, checkpoint → training → results."""

import dataclasses
import logging
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from trainer.config import RunConfig
from trainer.contract import ENV_LIVENESS_SECONDS, REPORT
from trainer.data.source import counted_by
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.folder.attempt import Attempt
from trainer.folder.files import Record
from trainer.process import quiet, signals
from trainer.process.activity import Activity, Doing
from trainer.process.signals import StopRequest
from trainer.process.versions import revision, versions
from trainer.process.watchdog import Watchdog
from trainer.start import Start, begin
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage
from trainer.storage.retry import RetryPolicy
from trainer.telemetry.metrics import Metrics, Scrapes, serve
from trainer.telemetry.spoken import Spoken
from trainer.workers.line import Line, needs_no_peer, own_seconds, telling_failures, told_of, waited_for
from trainer.workers.topology import Topology, from_environment, peer_lost_wait

if TYPE_CHECKING:
    from trainer.training.strategy import Distribution

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Process:
    """This process: where it stands among the workers, how it is stopped, and what others see of it."""

    topology: Topology
    environment: MutableMapping[str, str]
    stop: StopRequest
    activity: Activity
    metrics: Metrics
    scrapes: Scrapes


def train(asked: RunConfig, stop: StopRequest, environment: MutableMapping[str, str]) -> Exit:
    """Start or resume the run that `asked` describes; return the exit code.

    Raises:
        ExitError: with the contract's code and one line for people.
    """
    topology = from_environment(environment)
    metrics, activity = Metrics(), Activity()
    patience = RetryPolicy(total=min(RetryPolicy().total, asked.storage_timeout))
    run = open_storage(asked.run, on_retry=metrics.count_retry, retry=patience)
    with serve(metrics, asked, topology.rank) as scrapes:
        activity.is_asked_to_stop = lambda: stop.requested and not _is_frozen(scrapes, environment)
        # Workers, data, and the checkpoint to resume from: every problem with the input is found here.
        start, line = begin(asked, topology, run, environment, activity, stop, metrics.count_retry)
        if start.finished:
            line.end(Exit.DONE, "")
            log.info("%s is finished; its report is %s/%s", asked.run, run.uri, REPORT)
            return Exit.DONE

        metrics.show_workers(lambda: line.seen, {rank: partial(own_seconds, line, rank) for rank in line.beats()})
        metrics.restarts.set(start.restarts)
        metrics.checkpoints_refused.inc(len(start.refused))
        return _train_from(start, line, run, Process(topology, environment, stop, activity, metrics, scrapes))


def _train_from(start: Start, line: Line, run: Storage, process: Process) -> Exit:
    """The part that needs TensorFlow, which takes seconds to import: bad input is reported before that."""
    topology, activity, environment = process.topology, process.activity, process.environment
    step, length = start.step, start.length
    running = dataclasses.replace(start.running, workers=topology.world)
    with (
        Attempt(run, topology.rank, start.lease, running, step) as attempt,
        Spoken(lambda: attempt.state, topology.rank, environment),
        telling_failures(line),
        Watchdog(activity, start.config.stall_timeout, lambda words: attempt.stalled(words + waited_for(line))),
    ):
        process.stop.on_give_up = attempt.give_up
        attempt.told = lambda: told_of(line)
        line.on_lost = lambda words: attempt.lose(words, peer_lost_wait(environment))
        quiet.import_tensorflow()
        from trainer import results
        from trainer.observers import Observers
        from trainer.training import loop, strategy
        from trainer.training.agreement import agree_on_hardware
        from trainer.training.inputs import Worker, load_inputs
        from trainer.training.learner import build_learner
        from trainer.training.resume import first_state

        line.gather()
        devices = strategy.configure(start.config, environment)
        config = strategy.resolve_precision(start.config, devices)
        distribution = strategy.distribute(topology, devices, environment)
        signals.take_back()
        parts = strategy.parts_per_replica(config, devices, environment)
        layout = loop.lay_out(config, distribution.replicas, parts)
        agree_on_hardware(distribution, config.precision, strategy.gpu_models(devices))
        strategy.set_precision(config.precision)
        log.info("%s, %s", strategy.describe(distribution, devices, config), _steps(start))

        threads, weights = strategy.threads_of(config, environment), start.class_weights
        record = Record(config, start.source.data.fingerprint, versions(), revision(), threads, weights)
        if topology.rank == 0 and start.snapshot is None:
            files.write_record(attempt, record)
        backbone = start.backbone.tensors if start.backbone is not None else None
        worker = Worker(topology, distribution, devices, environment)
        activity.enter(Doing.READING)
        source = counted_by(start.source, activity.counted)
        inputs = load_inputs(config, source, length, step, backbone, run, worker)
        for name, split in inputs.splits.items():
            process.metrics.rejected.labels(name).set(len(split.rejected))

        learner = build_learner(config, len(source.data.classes), distribution.strategy, backbone)
        by_class = None if weights is None else tuple(weights.values())
        train, valid = (inputs.by_phase(split, length) for split in ("train", "valid"))
        task = loop.Task(config, distribution, learner, train, valid, length, layout, by_class)
        state = first_state(task, start.snapshot)
        if topology.rank == 0 and start.snapshot is not None:
            files.write_record(attempt, record)  # only now that the checkpoint has turned out to fit
        with Observers(task, run, topology.rank, attempt, process.metrics, activity, state) as observers:
            try:
                state, code = loop.train(task, state, process.stop, observers.hooks()), Exit.DONE
            except loop.Stopped as stopped:
                state, code = observers.save(stopped.snapshot), stopped.code
            if topology.rank == 0:
                line.on_lost = needs_no_peer  # what is left, it does alone
            activity.enter(Doing.SAVING)
            observers.flush()

        if code == Exit.TERMINATED and _is_frozen(process.scrapes, environment):
            code = Exit.STALLED  # so that it counts: a pod that its probe stops would be restarted for ever
        activity.enter(Doing.FINISHING)
        if code == Exit.DONE and topology.rank == 0:
            results.finish(attempt, record, inputs, task, state, process.metrics)
        attempt.end(code, "" if code == Exit.DONE else f"stopped by a signal at step {state.step}, state saved")
        _leave(distribution, attempt)
        line.end(code, "")
        if code == Exit.DONE:
            process.scrapes.await_last()
        return code


def _is_frozen(scrapes: Scrapes, environment: Mapping[str, str]) -> bool:
    """Whether a SIGTERM that comes now is the liveness probe's, as far as this process can tell."""
    return scrapes.neglected(float(environment.get(ENV_LIVENESS_SECONDS, "0")))


def _steps(start: Start) -> str:
    pictures = min(start.config.batch_size, start.length.phases[0].rows)
    return f"{start.length.total_steps} steps of {pictures} pictures from step {start.step}"


def _leave(distribution: "Distribution", attempt: Attempt) -> None:
    """Exit together; others might have exited already, which is fine once rank 0 has recorded the result."""
    from trainer.training.agreement import wait_for_all  # here, as above: it needs TensorFlow

    try:
        wait_for_all(distribution)
    except ExitError:
        if not attempt.is_recorded():
            raise
