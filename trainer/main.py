"""One training run, top to bottom: configuration → topology → data → strategy → model → loop → results."""

import dataclasses
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from trainer import results, run_folder
from trainer.attempt import Attempt
from trainer.config import RunConfig
from trainer.container import free_memory, local_workers, processors
from trainer.data import cache, split
from trainer.data.cache import PixelCache
from trainer.data.source import Source
from trainer.exits import Exit, ExitError
from trainer.observers import Observers
from trainer.run_folder import Record, RunState
from trainer.signals import StopRequest
from trainer.start import Start, begin
from trainer.storage.base import Storage, open_storage
from trainer.strategy import (
    Distribution,
    configure,
    distribute,
    resolve_precision,
    set_precision,
    threads_of,
)
from trainer.telemetry.metrics import Metrics, serve
from trainer.topology import from_environment
from trainer.training import checkpoint, loop
from trainer.training.agreement import agree, barrier
from trainer.training.checkpoint import Unusable
from trainer.training.learner import Learner, build_learner, restore
from trainer.training.loop import Stopped, Task
from trainer.training.state import LoopState
from trainer.versions import revision, versions

log = logging.getLogger(__name__)


def train(config: RunConfig, stop: StopRequest, environment: Mapping[str, str]) -> Exit:
    """Train, or go on training, the run that `config` describes; return the exit code.

    Raises:
        ExitError: with the contract's code and one line for people.
    """
    topology = from_environment(environment)
    metrics = Metrics()
    run = open_storage(config.run, on_retry=lambda event: metrics.storage_retries.labels(event.reason).inc())
    start = begin(config, topology, run, environment)
    if start.finished:
        log.info("%s is finished; its report is %s/%s", run.uri, run.uri, run_folder.REPORT)
        return Exit.DONE

    running = RunState("running", total_steps=start.length.total_steps, restarts=start.restarts)
    with Attempt(run, topology.rank, start.lease, running) as attempt, serve(metrics, config, topology.rank) as scrapes:
        stop.on_give_up = lambda code: attempt.die(code, "no step returned in time after the signal")
        devices = configure(start.config)
        config = resolve_precision(start.config, devices)
        distribution = distribute(topology, devices, os.environ)
        _say(config, start, distribution)
        agree(distribution, "precision", config.precision)
        set_precision(config.precision)
        record = Record(config, start.source.data.fingerprint, versions(), revision(), threads_of(config))
        if topology.rank == 0:
            run_folder.write_record(run, record)

        pixels = _decode(config, start.source, run if topology.rank == 0 else None, metrics)
        layout = loop.lay_out(config, distribution.replicas)
        learner = build_learner(config, len(start.source.data.classes), distribution.strategy)
        task = Task(config, distribution, learner, pixels["train"], pixels["valid"], start.length, layout)
        state = _first_state(task, start)

        with Observers(task, run, topology.rank, attempt, metrics, state) as observers:
            try:
                state = loop.train(task, state, stop, observers.hooks())
            except Stopped as stopped:
                return observers.save_and_end(stopped.snapshot, stop.exit_code if stop.requested else Exit.TERMINATED)
            except tf.errors.OpError as error:
                raise _blamed(error, topology.alone) from error
            observers.flush()
        if topology.rank == 0:
            results.finish(run, record, start.source, pixels, task, state)
        barrier(distribution)
        attempt.end(Exit.DONE, "")
        scrapes.await_last()
    return Exit.DONE


def _say(config: RunConfig, start: Start, distribution: Distribution) -> None:
    data = start.source.data
    if start.source.demo:
        log.info("no --data: training on the drawn demo set (cartoons, not photographs) in %s", data.uri)
    for line in split.describe(data):
        log.info("%s", line)
    log.info(
        "%s on %d %s, %s, %s, %d steps of %d pictures",
        distribution.name,
        distribution.replicas,
        "replica" if distribution.replicas == 1 else "replicas",
        config.precision,
        "deterministic" if config.deterministic else "fast mode",
        start.length.total_steps,
        config.batch_size,
    )
    if start.snapshot is not None:
        log.info("going on from step %d", start.snapshot.state.step)


def _decode(config: RunConfig, source: Source, run: Storage | None, metrics: Metrics) -> dict[str, PixelCache]:
    """Decode the splits that this rank needs; rank 0, which has the `run` folder, needs them all and lists rejects.

    Raises:
        ExitError: 65 when too many pictures of a split are unreadable.
    """
    budget = (config.cache_memory * 2**20 or free_memory() // 3) // local_workers(os.environ)
    folder = Path(config.cache_dir) if config.cache_dir else None
    began = time.monotonic()
    decoded: dict[str, PixelCache] = {}
    for name in split.SPLITS if run is not None else ("train", "valid"):
        examples = source.data.splits[name]
        filled = cache.fill(examples, source.read, config.image_size, budget, folder, processors())
        budget -= 0 if filled.on_disk else filled.pixels.nbytes
        decoded[name] = filled
        metrics.rejected.labels(name).set(len(filled.rejected))
    rejected = [dataclasses.asdict(one) for filled in decoded.values() for one in filled.rejected]
    if run is not None and rejected:
        run_folder.write_json(run, run_folder.REJECTED, rejected)
    for name, filled in decoded.items():
        _check_rejected(config, source, name, filled)
    log.info("decoded %d pictures in %.1f s", sum(map(len, decoded.values())), time.monotonic() - began)
    return decoded


def _check_rejected(config: RunConfig, source: Source, name: str, filled: PixelCache) -> None:
    count = len(filled.rejected)
    for one in filled.rejected[:5]:
        log.warning("rejected %s: %s", one.path, one.reason)
    if count > config.max_rejected * len(filled):
        first = filled.rejected[0]
        raise ExitError(
            Exit.BAD_DATA,
            f"{source.data.uri}: {count} of {len(filled)} pictures of {name} cannot be used, more than {config.max_rejected:.1%}; "
            f"the first is {first.path}: {first.reason} (all are in {run_folder.REJECTED}; remove them or raise --max-rejected)",
        )


def _first_state(task: Task, start: Start) -> LoopState:
    """Put the first weights on the devices: of the checkpoint, else of --init-from, else by the seed."""
    if start.snapshot is not None:
        try:
            return loop.put_back(task, start.snapshot)
        except ValueError as error:
            raise ExitError(
                Exit.RUN_REFUSED,
                f"{task.config.run}: its checkpoint is of another network or optimizer: {error}; use another --run",
            ) from error
    if task.config.init_from:
        _init_from(task.config.init_from, task.learner)
    return LoopState(first_start=time.time())


def _init_from(uri: str, learner: Learner) -> None:
    try:
        weights = checkpoint.read(open_storage(uri), "best").groups["weights"]
        restore(learner.weights, weights)
        if learner.ema:
            restore(learner.ema, weights)
    except Unusable as error:
        raise ExitError(Exit.INPUT_MISSING, f"--init-from {uri}: no best weights there: {error}") from error
    except ValueError as error:
        raise ExitError(Exit.BAD_OPTION, f"--init-from {uri}: its weights do not fit this network: {error}") from error


def _blamed(error: tf.errors.OpError, alone: bool) -> ExitError:
    """Who is to blame for a failed op: with others in the collective, one of them; alone, catdog or the hardware."""
    first = error.message.split("\n")[0][:300]
    if alone:
        return ExitError(Exit.BUG, f"TensorFlow failed: {first}")
    return ExitError(Exit.PEER_LOST, f"a peer was lost; its own log has the cause ({first})")
