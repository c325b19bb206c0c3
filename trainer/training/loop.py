"""The training loop: steps, validation, checkpoints, and every way it can end.

The loop dispatches step k and then reads the result of step k-LAG, so the accelerator never waits for the host. The
results are the same numbers on every rank, so all ranks stop, roll back or fail at the same step.
"""

import dataclasses
import math
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import tensorflow as tf

from trainer.config import PRETRAINED
from trainer.data.augment import Augmentation
from trainer.data.order import Schedule
from trainer.data.pipeline import Feed, evaluation_feeds, prefetched, training_feeds
from trainer.exits import Exit, ExitError
from trainer.process.activity import Doing
from trainer.process.signals import StopRequest, stop_code
from trainer.tensors import Array, Vector
from trainer.training.agreement import blamed
from trainer.training.checkpoint import Snapshot
from trainer.training.drift import EVERY, comparison, guarded, watched
from trainer.training.feeding import to_devices
from trainer.training.hooks import TRACED_STEP, Hooks, StepNumbers
from trainer.training.learner import begin_phase, copy_to_host, evaluated, hold, restore
from trainer.training.phases import Phase
from trainer.training.rejects import require_few_of
from trainer.training.schedule import learning_rate
from trainer.training.snapshots import put_back, take
from trainer.training.state import LoopState, Sums, after_step, after_validation, finished, validation_due
from trainer.training.step import (
    CORRECT,
    LOSS,
    LOSS_WEIGHT,
    STOP,
    WEIGHT,
    EvaluationStep,
    StepResult,
    TrainStep,
    augmentation_of,
    build_evaluation_step,
    build_train_step,
)
from trainer.training.task import Task

LAG = 2


class Stopped(Exception):
    """A worker was asked to stop. All ranks are at the same step, and exit with `code`; `snapshot` is what to save."""

    def __init__(self, snapshot: Snapshot, code: Exit) -> None:
        super().__init__(f"stopped at step {snapshot.state.step}")
        self.snapshot = snapshot
        self.code = code


class _NotFinite(Exception):
    """A step's loss or gradient was not finite, and was not applied."""


class _StopSeen(Exception):
    """A worker asked to stop in some step; the state after all dispatched steps."""

    def __init__(self, state: LoopState, code: Exit) -> None:
        super().__init__()
        self.state = state
        self.code = code


@dataclass(frozen=True)
class _Compiled:
    """The steps of a phase."""

    phase: Phase
    train_step: TrainStep
    evaluation_step: EvaluationStep
    first_step: int  # compiles, so its time is not meaningful


def train(task: Task, state: LoopState, stop: StopRequest, hooks: Hooks) -> LoopState:
    """Train from `state` (whose tensors the learner holds) to the end; return the final state.

    Raises:
        Stopped: SIGTERM or SIGINT on any rank; in validation too.
        ExitError: 80 when a step is not finite again after one rollback to the last checkpoint; 75 when a peer is lost;
            70 when replicas have drifted apart, or TensorFlow fails otherwise.
    """
    compare = comparison(task.distribution, watched(task.learner))
    hooks = guarded(hooks, compare)
    compare(state.step)
    compiled = _compile(task, state)
    good = _keep(task, state, hooks)
    feeds = _feeds_from(task, state.step)
    try:
        while not finished(state, task.length):
            try:
                if validation_due(state, task.length):
                    state = _validate(compiled, task, state, stop, hooks)
                elif task.length.phase_at(state.step) != compiled.phase:
                    feeds.close()
                    compiled, feeds = _compile(task, state), _feeds_from(task, state.step)
                else:
                    state = _steps(compiled, task, state, _next_pause(task, state.step), feeds, stop, hooks)
                    if validation_due(state, task.length) or not _checkpoint_due(task, state.step):
                        compare(state.step)
                        continue  # the checkpoint comes after the validation, so that it includes its result
                good = _keep(task, state, hooks)
                hooks.on_checkpoint(good)
            except _NotFinite as trouble:
                if good.state.rollbacks:
                    raise ExitError(
                        Exit.DIVERGED, f"{trouble}, again after a rollback: lower --learning-rate, or set --clip-norm"
                    ) from None
                feeds.close()
                hooks.activity.enter(Doing.RESTORING)
                hooks.on_rollback(good.state)
                good = dataclasses.replace(good, state=dataclasses.replace(good.state, rollbacks=1))
                state = put_back(task.learner, good)
                feeds = _feeds_from(task, state.step)
    except _StopSeen as seen:
        compare(seen.state.step)
        raise Stopped(_keep(task, seen.state, hooks), seen.code) from None
    except tf.errors.OpError as error:
        raise blamed(error, task.distribution) from error
    finally:
        feeds.close()
    return state


def _keep(task: Task, state: LoopState, hooks: Hooks) -> Snapshot:
    """A snapshot, with the ledger up to it."""
    hooks.activity.enter(Doing.COPYING)
    return take(task.learner, dataclasses.replace(state, ledger=hooks.ledger()))


def _compile(task: Task, state: LoopState) -> _Compiled:
    """The steps of the phase that the state is in: the one that is still to be validated, or the one to go on with,
    which may begin here."""
    due = validation_due(state, task.length)
    phase = task.length.phase_after(state.step) if due else task.length.phase_at(state.step)
    if phase.first_step == state.step > 0:
        begin_phase(task.learner)
    strategy, config, layout = task.distribution.strategy, task.config, task.layout_of(phase)
    return _Compiled(
        phase,
        build_train_step(strategy, task.learner, phase.name, config, layout, _is_timed(task)),
        build_evaluation_step(strategy, task.learner.networks[phase.name], layout, config.deterministic),
        state.step,
    )


def _is_timed(task: Task) -> bool:
    """Whether steps tell when this worker's part was ready: it is asked where there are other workers, and is exact
    on CPUs, where an op that has returned has been computed. With op determinism TensorFlow refuses to tell the time.
    """
    asked = len(task.distribution.local) < task.distribution.replicas and "cpu" in task.distribution.devices[0]
    return asked and not (task.config.deterministic or task.config.model in PRETRAINED)


def _feeds_from(task: Task, step: int) -> Generator[tuple[Feed, ...], None, None]:
    """The feeds of the rest of a step's phase."""
    phase, config = task.length.phase_at(step), task.config
    layout = task.layout_of(phase)
    return prefetched(
        training_feeds(
            task.train[phase.name],
            Schedule(phase.rows, layout.batch_size),
            layout,
            task.distribution.local,
            Augmentation(False, 0.0, 0.0) if phase.on_features else augmentation_of(config),
            config.seed,
            step - phase.first_step,
            phase.last_step - phase.first_step,
            task.order_of(phase),
            task.class_weights,
            phase.first_epoch,
        )
    )


def _next_pause(task: Task, step: int) -> int:
    """The next step at which to pause: the epoch's end, a checkpoint, a comparison of the replicas, or the end."""
    often = [task.config.checkpoint_every, EVERY if task.distribution.replicas > 1 else 0]
    return min([task.length.epoch_end_after(step), *((step // every + 1) * every for every in often if every)])


def _checkpoint_due(task: Task, step: int) -> bool:
    """Whether a pause in mid-epoch is one for a checkpoint."""
    every = task.config.checkpoint_every
    return bool(every) and step % every == 0


def _steps(
    compiled: _Compiled,
    task: Task,
    state: LoopState,
    until: int,
    feeds: Iterator[tuple[Feed, ...]],
    stop: StopRequest,
    hooks: Hooks,
) -> LoopState:
    """Run steps up to `until`, or until all ranks know that one was asked to stop."""
    pending: deque[tuple[StepResult, float]] = deque()
    clock = time.monotonic()
    activity, on_cpu = hooks.activity, "cpu" in task.distribution.devices[0]
    free = time.time()  # since when this worker does not wait for others
    asked = 0.0  # the first step with a stop request decides, so that all ranks get the same code
    for step in range(state.step, until):
        rate = learning_rate(compiled.phase, task.config.schedule, step)
        activity.enter(Doing.READING if step == compiled.first_step else Doing.WAITING)
        rows = to_devices(task.distribution, next(feeds), stop.weight)
        if step == compiled.first_step:
            activity.compile()
        else:
            activity.enter(Doing.TRAINING)
        ready = time.time()
        with tf.profiler.experimental.Trace(TRACED_STEP, step_num=step, _r=1):  # costs nothing unless profiled
            done = compiled.train_step(rows, tf.constant(step, tf.int64), tf.constant(rate, tf.float32))
        pending.append((done, rate))
        activity.dispatched = step + 1
        if done.ready is not None:
            ready = float(done.ready.numpy())
        elif not on_cpu:
            ready = time.time()  # with what it took to dispatch it; on CPUs the call has waited for the others
        if step != compiled.first_step:
            activity.own_seconds.append(ready - free)
        free = time.time()
        # The first step of a process compiles: wait for it, so that later steps do not include its time.
        now = step + 1 == until or step == compiled.first_step
        while pending and (len(pending) > LAG or asked or now):
            result, rate = pending.popleft()
            sums = result.sums.numpy()
            before, clock = clock, time.monotonic()
            if not on_cpu:
                free = time.time()
            seconds = None if state.step == compiled.first_step else clock - before
            if seconds is not None:
                activity.finished_one(Doing.TRAINING, seconds)
            state = _settled(task, state, sums, bool(result.finite.numpy()), seconds)
            activity.seen = state.step
            asked = asked or float(sums[STOP])
            count = max(float(sums[WEIGHT]), 1.0)
            norm = float(result.gradient_norm.numpy())
            hooks.on_step(
                state,
                StepNumbers(
                    float(sums[LOSS]) / (_loss_weight(sums) or count),
                    float(sums[CORRECT]) / count,
                    float(sums[WEIGHT]),
                    norm,
                    rate,
                    seconds,
                ),
            )
        if asked:
            raise _StopSeen(state, stop_code(asked))
    return state


def _settled(task: Task, state: LoopState, sums: Array, applied: bool, seconds: float | None) -> LoopState:
    """The state after one step's global sums. Only a loss scale is allowed to skip an update."""
    if not math.isfinite(sums[LOSS]) or not (applied or task.learner.loss_scale):
        raise _NotFinite(f"the loss or its gradient is not finite at step {state.step + 1}")
    return after_step(state, float(sums[LOSS]), float(sums[CORRECT]), float(sums[WEIGHT]), seconds, _loss_weight(sums))


def _loss_weight(sums: Array) -> float | None:
    """The summed weight of the loss, where classes have weights."""
    return float(sums[LOSS_WEIGHT]) if len(sums) > LOSS_WEIGHT else None


def _validate(compiled: _Compiled, task: Task, state: LoopState, stop: StopRequest, hooks: Hooks) -> LoopState:
    """Evaluate on the validation split, with the moving average if there is one, and record it."""
    learner = task.learner
    raw = copy_to_host(learner.weights) if learner.ema else {}
    if learner.ema:
        restore(learner.weights, copy_to_host(learner.ema))
    try:
        sums = _evaluate(compiled, task, state, stop, hooks)
    finally:
        if learner.ema:
            restore(learner.weights, raw)
    require_few_of("valid", task.valid[compiled.phase.name], sums.weight, task.config.max_rejected)
    rate = learning_rate(compiled.phase, task.config.schedule, state.step - 1)
    after = after_validation(state, sums, rate, task.length, task.config.best)
    hooks.on_epoch(after)
    if after.best != state.best:
        kept = dataclasses.replace(after, ledger=hooks.ledger())
        hooks.on_best(Snapshot(kept, {"weights": hold(evaluated(learner)), **learner.fixed}))
    return after


def _evaluate(compiled: _Compiled, task: Task, state: LoopState, stop: StopRequest, hooks: Hooks) -> Sums:
    valid, layout = task.valid[compiled.phase.name], task.layout_of(compiled.phase)
    batches = -(-len(valid) // layout.batch_size)
    pending: deque[Vector] = deque()
    total = Sums()
    start = time.monotonic()
    feeds = prefetched(evaluation_feeds(valid, layout, task.distribution.local))
    activity, clock = hooks.activity, time.monotonic()
    activity.begin(Doing.VALIDATING)
    try:
        for batch, feed in enumerate(feeds, start=1):
            pending.append(compiled.evaluation_step(to_devices(task.distribution, feed, stop.weight)))
            while pending and (len(pending) > LAG or batch == batches):
                sums = pending.popleft().numpy()
                if sums[STOP] > 0:
                    raise _StopSeen(state, stop_code(float(sums[STOP])))
                total = total.add(float(sums[LOSS]), float(sums[CORRECT]), float(sums[WEIGHT]), None)
            before, clock = clock, time.monotonic()
            if batch > 1:  # the first might have compiled
                activity.finished_one(Doing.VALIDATING, clock - before)
            activity.compiled(Doing.VALIDATING)
            hooks.on_evaluation_step(batch, batches)
    finally:
        feeds.close()
    return dataclasses.replace(total, seconds=time.monotonic() - start)
