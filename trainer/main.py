"""One training run, top to bottom: configuration → topology → data → strategy → model → loop → results."""

import logging
from collections.abc import MutableMapping

from trainer.config import RunConfig
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.folder.attempt import Attempt
from trainer.folder.files import Record, RunState
from trainer.process import quiet, signals
from trainer.process.signals import StopRequest
from trainer.process.versions import revision, versions
from trainer.start import begin
from trainer.storage.opening import open_storage
from trainer.storage.retry import RetryEvent, RetryPolicy
from trainer.telemetry.metrics import Metrics, serve
from trainer.workers.topology import from_environment

log = logging.getLogger(__name__)


def train(config: RunConfig, stop: StopRequest, environment: MutableMapping[str, str]) -> Exit:
    """Train, or go on training, the run that `config` describes; return the exit code.

    Raises:
        ExitError: with the contract's code and one line for people.
    """
    topology = from_environment(environment)
    metrics = Metrics()

    def count(event: RetryEvent) -> None:
        metrics.storage_retries.labels(event.reason).inc()

    patience = RetryPolicy(total=min(RetryPolicy().total, config.storage_timeout))
    run = open_storage(config.run, on_retry=count, retry=patience)

    # Who is here, what to train on, where to go on from: all that can be wrong with the input is found here.
    start = begin(config, topology, run, environment, count)
    if start.finished:
        log.info("%s is finished; its report is %s/%s", config.run, run.uri, files.REPORT)
        return Exit.DONE

    # TensorFlow takes seconds to import, so bad input is answered before, and a stop signal is handled meanwhile.
    quiet.import_tensorflow()
    from trainer import results
    from trainer.data.load import load_splits
    from trainer.observers import Observers
    from trainer.training import loop
    from trainer.training.agreement import agree, leave_together
    from trainer.training.learner import build_learner
    from trainer.training.resume import first_state
    from trainer.training.strategy import configure, distribute, resolve_precision, set_precision, threads_of

    metrics.restarts.set(start.restarts)
    metrics.checkpoints_refused.inc(len(start.refused))
    running = RunState("running", total_steps=start.length.total_steps, restarts=start.restarts)
    with Attempt(run, topology.rank, start.lease, running) as attempt, serve(metrics, config, topology.rank) as scrapes:
        stop.on_give_up = lambda code: attempt.die(code, "no step returned in time after the signal")
        devices = configure(start.config, environment)
        config = resolve_precision(start.config, devices)
        distribution = distribute(topology, devices, environment)
        signals.take_back()
        layout = loop.lay_out(config, distribution.replicas)
        agree(distribution, "precision", config.precision)
        set_precision(config.precision)
        log.info(
            "%s on %d x %s, %s, %s, %d steps of %d pictures from step %d",
            *(distribution.name, distribution.replicas, devices.kind, config.precision),
            *("deterministic" if config.deterministic else "fast mode", start.length.total_steps, config.batch_size),
            start.step,
        )

        record = Record(config, start.source.data.fingerprint, versions(), revision(), threads_of(config, environment))
        if topology.rank == 0:
            files.write_record(run, record)
        pixels = load_splits(config, start.source, run if topology.rank == 0 else None)

        for name, split in pixels.items():
            metrics.rejected.labels(name).set(len(split.rejected))

        learner = build_learner(config, len(start.source.data.classes), distribution.strategy)
        task = loop.Task(config, distribution, learner, pixels["train"], pixels["valid"], start.length, layout)
        state = first_state(task, start.snapshot)
        with Observers(task, run, topology.rank, attempt, metrics, state) as observers:
            try:
                state, code = loop.train(task, state, stop, observers.hooks()), Exit.DONE
            except loop.Stopped as stopped:
                observers.save(stopped.snapshot)
                state, code = stopped.snapshot.state, stopped.code
            observers.flush()

        if code == Exit.DONE and topology.rank == 0:
            results.finish(run, record, start.source, pixels, task, state)
        attempt.end(code, "" if code == Exit.DONE else f"stopped by a signal at step {state.step}, state saved")
        try:
            leave_together(distribution)
        except ExitError:  # the others may be gone already, which is no loss once rank 0 has recorded the end
            if not attempt.is_recorded():
                raise
        if code == Exit.DONE:
            scrapes.await_last()
        return code
