"""Everything that watches the loop: progress, metrics, heartbeat, checkpoints, and what is written of each epoch."""

import logging
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from trainer.contract import BEST, CHECKPOINTS
from trainer.exits import Exit, ExitError
from trainer.folder.attempt import Attempt
from trainer.folder.held import again_if_late
from trainer.folder.uploads import Uploads
from trainer.ledger import to_json
from trainer.process.activity import Activity
from trainer.storage.base import Storage
from trainer.storage.errors import StorageFailed
from trainer.telemetry import progress
from trainer.telemetry.metrics import Metrics
from trainer.telemetry.outlook import Outlook
from trainer.telemetry.profiler import Profiler
from trainer.telemetry.tensorboard import TensorBoard
from trainer.telemetry.writers import JsonLines, Writer
from trainer.timekeeping import Timekeeper
from trainer.training import checkpoint
from trainer.training.checkpoint import Snapshot, Unusable
from trainer.training.drift import Drifted
from trainer.training.hooks import Hooks, StepNumbers
from trainer.training.rejects import require_few
from trainer.training.state import LoopState
from trainer.training.task import Task

log = logging.getLogger(__name__)

KINDS = ("best", "checkpoint", "metrics", "tensorboard", "profile")


class Observers:
    """The watchers of one attempt. Rank 0 writes to the run folder and shows progress; every rank has metrics."""

    def __init__(
        self,
        task: Task,
        run: Storage,
        rank: int,
        attempt: Attempt,
        metrics: Metrics,
        activity: Activity,
        time_of: Timekeeper,
        state: LoopState,
        writers: tuple[Writer, ...] = (),
    ) -> None:
        self._task, self._run, self._attempt, self._metrics = task, run, attempt, metrics
        self._activity, self._time, self._step_seen = activity, time_of, state.step
        self._fixed = checkpoint.write_fixed(run, task.learner.fixed) if rank == 0 else None
        if rank == 0 and state.best is not None:
            again_if_late(lambda: checkpoint.touch(run, BEST, attempt.confirm))
        self._uploads = Uploads(KINDS, task.config.storage_timeout, self._durable) if rank == 0 else None
        self._writers = writers
        if self._uploads is not None:
            submit = self._uploads.submit
            self._writers = (JsonLines(attempt, submit), TensorBoard(run, submit), *writers)
        self._profiler = None
        if self._uploads is not None and task.config.profile:
            self._profiler = Profiler(run, self._uploads.submit, activity, task.config.profile, task.layout.replicas)
        length, every = task.length, task.config.log_every
        self._view = progress.view(length, state.step, every) if rank == 0 else None
        self._outlook = Outlook(length, state, time_of.now())
        self._of_train = metrics.loss.labels("train"), metrics.accuracy.labels("train")
        if state.history:
            self._show_epoch(state)
        if rank == 0:
            metrics.show_run(time_of.now, lambda: self._outlook.eta(time_of.now()))

    def __enter__(self) -> "Observers":
        return self

    def _show_epoch(self, state: LoopState) -> None:
        row = state.history[-1]
        self._metrics.epoch.set(row["epoch"])
        self._metrics.loss.labels("valid").set(row["valid"]["loss"])
        self._metrics.accuracy.labels("valid").set(row["valid"]["accuracy"])

    def hooks(self) -> Hooks:
        """The callbacks that the loop calls."""
        return Hooks(
            self._activity,
            self._step if self._profiler is None else self._profiler.around(self._step),
            self._evaluation_step,
            self._epoch,
            self._best,
            self._checkpoint,
            self._rollback,
            self._time.now,
        )

    def _step(self, state: LoopState, numbers: StepNumbers) -> None:
        self._attempt.check()
        config, length = self._task.config, self._task.length
        phase = length.phase_after(state.step)
        train = self._task.train[phase.name]
        require_few(phase, train, config.batch_size, state.step, state.sums.weight, config.max_rejected)
        self._attempt.update(step=state.step, epoch=length.epoch_after(state.step))
        if self._uploads is not None:
            self._uploads.check()
        if self._view is not None:
            self._view.step(state)
        metrics = self._metrics
        metrics.step.set(state.step)
        metrics.steps.inc()
        metrics.examples.inc(numbers.examples)
        metrics.learning_rate.set(numbers.learning_rate)
        metrics.gradient_norm.set(numbers.gradient_norm)
        metrics.last_step.set(time.time())
        means = state.sums.means
        self._of_train[0].set(means["loss"])
        self._of_train[1].set(means["accuracy"])
        self._outlook.step(state, numbers.loss)
        self._step_seen = state.step
        if numbers.seconds is not None:
            metrics.step_seconds.observe(numbers.seconds)

    def _evaluation_step(self, done: int, total: int) -> None:
        if self._view is not None:
            self._view.validating(done, total)

    def _epoch(self, state: LoopState) -> None:
        self._show_epoch(state)
        if self._view is not None:
            self._view.epoch(state)
        for writer in self._writers:
            writer.epoch(state)

    def _best(self, best: Snapshot) -> None:
        if self._uploads is not None:
            self._uploads.submit("best", lambda: self._timed("best", lambda: self._save_best(best)))

    def _checkpoint(self, snapshot: Snapshot) -> None:
        if self._uploads is not None:
            self._uploads.submit("checkpoint", lambda: self._timed("checkpoint", lambda: self._save(snapshot)))

    def _rollback(self, state: LoopState) -> None:
        self._metrics.not_finite.inc()
        self._time.lose(state.ledger, self._step_seen - state.step)
        self._step_seen = state.step

    def progress(self) -> Mapping[str, Any]:
        """What state.json says of how training goes; from any thread."""
        ledger = self._time.now()
        return {"activity": str(self._activity.doing), "ledger": to_json(ledger), **self._outlook.told(ledger)}

    def _save_best(self, best: Snapshot) -> None:
        left = checkpoint.write(self._run, BEST, best, self._fixed, confirm=self._attempt.confirm)
        self._metrics.checkpoint_bytes.labels("best").inc(self._size(best))
        checkpoint.sweep(self._run, left)

    def _save(self, snapshot: Snapshot) -> None:
        store, step = self._run.child(CHECKPOINTS), snapshot.state.step
        before, name = self._attempt.saved_step, checkpoint.step_name(step)
        left = checkpoint.write(store, name, snapshot, self._fixed, self._run, self._attempt.confirm)
        self._attempt.saved_step = step  # even if the cleanup below fails
        self._metrics.checkpoint_step.set(step)
        self._metrics.checkpoint_timestamp.set(time.time())
        self._metrics.checkpoint_bytes.labels("checkpoint").inc(self._size(snapshot))
        self._attempt.confirm()
        checkpoint.sweep(store, left)
        try:
            checkpoint.prune(store, self._task.config.keep_checkpoints, step, self._run)
        except Unusable as error:
            self._attempt.saved_step = before
            raise StorageFailed(f"{store.uri}/{name} cannot be read back: {error}; older ones are kept") from error

    def _size(self, snapshot: Snapshot) -> int:
        """Bytes of the tensors that are written with each checkpoint."""
        return sum(
            tensor.shape.num_elements() * tensor.dtype.size
            for group, tensors in snapshot.groups.items()
            if group not in self._task.learner.fixed
            for tensor in tensors.values()
        )

    def _timed(self, kind: str, write: Callable[[], None]) -> None:
        began = time.monotonic()
        try:
            again_if_late(write)
        except ExitError:
            self._metrics.checkpoint_failures.labels(kind).inc()
            raise
        self._metrics.checkpoints.labels(kind).inc()
        self._metrics.checkpoint_seconds.labels(kind).inc(time.monotonic() - began)

    def _durable(self) -> str:
        return f"the last durable checkpoint is step {self._attempt.saved_step}"

    def flush(self) -> None:
        """Wait until everything saved is durable, as long as training would wait for storage; no step is due any more.

        Raises:
            ExitError: 74 or 77 naming the last durable step.
        """
        if self._uploads is not None:
            self._uploads.close()

    def save(self, snapshot: Snapshot) -> LoopState:
        """Save the snapshot at which the loop stopped, and return its state; `flush` makes it durable."""
        self._attempt.update(step=snapshot.state.step)
        self._checkpoint(snapshot)
        log.info("stopped by a signal at step %d; the same command resumes from there", snapshot.state.step)
        return snapshot.state

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Drifted):
            self._metrics.drifted.set(1)
        if isinstance(error, ExitError) and error.code == Exit.DIVERGED:
            self._metrics.not_finite.inc()
        if self._view is not None:
            self._view.close()
        if self._profiler is not None:
            self._profiler.close()
        for writer in self._writers:
            writer.close()
