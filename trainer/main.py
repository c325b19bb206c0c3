"""One training run, top to bottom: request → workers → data, folder, checkpoint → training → results."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from trainer.config import RunConfig
from trainer.contract import ENV_LIVENESS_SECONDS, REPORT, State
from trainer.exits import Exit, ExitError
from trainer.folder.attempt import ENDINGS, Attempt
from trainer.ledger import to_json
from trainer.process import quiet
from trainer.process.activity import Activity, Doing
from trainer.process.footprint import keep_small, watched
from trainer.process.signals import StopRequest
from trainer.process.watchdog import Watchdog
from trainer.start import Start, begin
from trainer.storage.base import Storage
from trainer.storage.opening import Listener, open_storage
from trainer.storage.retry import RetryPolicy
from trainer.telemetry.metrics import Metrics, Scrapes, serve
from trainer.telemetry.mlflow_run import require, tracked
from trainer.telemetry.spoken import Spoken
from trainer.timekeeping import Timekeeper
from trainer.workers.line import Line, awaits_input, needs_no_peer, own_seconds, telling_failures, told_of, waited_for
from trainer.workers.topology import Topology, from_environment, peer_lost_wait

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
    require(asked)
    topology = from_environment(environment)
    activity = Activity()
    keep_small()
    metrics = Metrics(activity)
    with serve(metrics, asked, topology.rank) as scrapes, watched(activity):
        activity.is_asked_to_stop = lambda: stop.requested and not _is_frozen(scrapes, environment)
        with _last_scrape(topology.rank, metrics, scrapes, stop):
            return _train(asked, Process(topology, environment, stop, activity, metrics, scrapes))


def _train(asked: RunConfig, process: Process) -> Exit:
    """Workers, data, and the checkpoint to resume from: every problem with the input is found here."""
    metrics, activity = process.metrics, process.activity
    patience = RetryPolicy(total=min(RetryPolicy().total, asked.storage_timeout))
    listener = Listener(metrics.count_retry, metrics.count_call)
    run = open_storage(asked.run, listener=listener, retry=patience)
    start, line = begin(asked, process.topology, run, process.environment, activity, process.stop, listener)
    if start.finished:
        line.end(Exit.DONE, "")
        log.info("%s is finished; its report is %s/%s", asked.run, run.uri, REPORT)
        return Exit.DONE

    metrics.show_workers(lambda: line.seen, {rank: partial(own_seconds, line, rank) for rank in line.beats()})
    metrics.show_start(start.step, start.length.total_steps, start.restarts, len(start.refused))
    if process.topology.rank == 0:
        metrics.show_state(State.RUNNING)
    return _train_from(start, line, run, process)


@contextmanager
def _last_scrape(rank: int, metrics: Metrics, scrapes: Scrapes, stop: StopRequest) -> Iterator[None]:
    """Let a Prometheus read how a failure left things, as it reads the last values of a success; not after a signal."""
    try:
        yield
    except Exception as error:
        code = error.code if isinstance(error, ExitError) else Exit.BUG
        if rank == 0 and code != Exit.PEER_LOST:  # then it is another worker that may have failed, and the run goes on
            metrics.show_state(ENDINGS.get(code, State.FAILED))
        if not stop.requested:
            scrapes.await_last(lambda: stop.requested)
        raise


def _train_from(start: Start, line: Line, run: Storage, process: Process) -> Exit:
    """The part that needs TensorFlow, which takes seconds to import: bad input is reported before that."""
    topology, activity, environment = process.topology, process.activity, process.environment
    running = dataclasses.replace(start.running, workers=topology.world)
    with (
        Attempt(run, topology.rank, start.lease, running, start.step) as attempt,
        Spoken(lambda: attempt.state, topology.rank, environment),
        telling_failures(line),
        Watchdog(
            activity,
            start.config.stall_timeout,
            lambda words: attempt.stalled(words + waited_for(line)),
            excused=partial(awaits_input, line),
        ),
    ):
        process.stop.on_give_up = attempt.give_up
        timekeeper = Timekeeper(activity, start.ledger)
        attempt.told = lambda: told_of(line)
        attempt.progress = lambda: {"activity": str(activity.doing), "ledger": to_json(timekeeper.now())}
        line.on_lost = lambda words: attempt.lose(words, peer_lost_wait(environment))
        activity.enter(Doing.IMPORTING)
        quiet.import_tensorflow()
        from trainer import results
        from trainer.observers import Observers
        from trainer.preparation import prepare
        from trainer.telemetry.rejected import RejectedPictures
        from trainer.training import loop
        from trainer.training.strategy import abort_collectives

        line.gather()
        ready = prepare(start, run, topology, environment, attempt, activity, process.metrics)
        task = ready.task
        line.on_lost = lambda words: attempt.lose(words, peer_lost_wait(environment), abort_collectives)
        with tracked(ready.record, attempt, lambda: process.stop.requested) as writers:
            rejected = RejectedPictures(ready.inputs.splits, attempt, process.metrics)
            writers = (*writers, rejected)
            watching = Observers(
                task, run, topology.rank, attempt, process.metrics, activity, timekeeper, ready.state, writers
            )
            with watching as observers:
                attempt.progress = observers.progress
                try:
                    state, code = loop.train(task, ready.state, process.stop, observers.hooks()), Exit.DONE
                    rejected.share(task.distribution)
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
                results.finish(attempt, ready.record, ready.inputs, task, state, process.metrics, timekeeper, rejected)
            if topology.rank == 0:
                process.metrics.show_state(ENDINGS.get(code, State.FAILED))
            attempt.end(code, "" if code == Exit.DONE else f"stopped by a signal at step {state.step}, state saved")
            _leave(line, attempt)
            line.end(code, "")
            if code == Exit.DONE:
                process.scrapes.await_last(lambda: process.stop.requested)
            return code


def _is_frozen(scrapes: Scrapes, environment: Mapping[str, str]) -> bool:
    """Whether a SIGTERM that comes now is the liveness probe's, as far as this process can tell."""
    return scrapes.neglected(float(environment.get(ENV_LIVENESS_SECONDS, "0")))


def _leave(line: Line, attempt: Attempt) -> None:
    """Exit together; others might have exited already, which is fine once rank 0 has recorded the result."""
    try:
        line.part()
    except ExitError:
        if not attempt.is_recorded():
            raise
