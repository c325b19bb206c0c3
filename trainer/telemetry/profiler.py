"""--profile: some steps of rank 0 with TensorFlow's profiler, for TensorBoard and for a table in the report.

TensorFlow writes a local folder; it goes to the run folder in the background. Nothing is computed differently while a
profile is taken. What fails is told in a line, and training goes on.

With several replicas there are the parts alone, and no trace: TensorFlow's profiler (2.21) aborted the process in 8 of
26 profiles of two workers, in SplitEventTracker::FindStartAndMerge. A collective begins on one thread and ends on
another; as the source reads (xla/tsl/profiler/backends/cpu/traceme_recorder.cc), Consume keeps pointers to such ends
while a vector that grows copies and frees them. The profiler's options, which could leave out the host, do nothing.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import tensorflow as tf

from trainer.contract import PROFILE, TENSORBOARD
from trainer.folder import files
from trainer.process import temporary
from trainer.process.activity import Activity, Doing
from trainer.storage.base import Storage
from trainer.telemetry import traces
from trainer.telemetry.writers import Submit
from trainer.training.hooks import TRACED_STEP, StepNumbers
from trainer.training.state import LoopState

log = logging.getLogger(__name__)

WARM_UP = 5
"""Steps after the one that compiles, before the profile begins."""
SUFFIX = ".xplane.pb"

OnStep = Callable[[LoopState, StepNumbers], None]


class Profiler:
    """Takes one profile of an attempt, over steps whose results are known; call on the loop's thread.

    Raises:
        ExitError: 74 when there is no room for its folder at the start.
    """

    def __init__(self, run: Storage, submit: Submit, activity: Activity, steps: int, replicas: int) -> None:
        self._run, self._submit, self._activity, self._wanted = run, submit, activity, steps
        self._traced = replicas == 1
        self._open, self._done = ExitStack(), False
        self._folder = self._open.enter_context(temporary.folder("catdog-profile-"))
        self._seen = 0  # steps since the one that compiled
        self._began: tuple[float, Mapping[Doing, float]] | None = None
        self._hooks = 0.0

    def around(self, on_step: OnStep) -> OnStep:
        """The hook of a step, timed, and followed by what begins or ends the profile."""

        def step(state: LoopState, numbers: StepNumbers) -> None:
            began = time.perf_counter()
            on_step(state, numbers)
            self._hooks += time.perf_counter() - began
            if numbers.seconds is not None and not self._done:
                self._advance(state.step)

        return step

    def _advance(self, step: int) -> None:
        self._seen += 1
        if self._began is None and self._seen >= WARM_UP:
            self._start()
        elif self._began is not None and self._seen >= WARM_UP + self._wanted:
            self._stop(step)

    def _start(self) -> None:
        try:
            if self._traced:
                tf.profiler.experimental.start(str(self._folder))
        except (OSError, tf.errors.OpError) as error:
            self._fail(error)
            return
        self._began, self._hooks = (time.perf_counter(), self._activity.seconds()), 0.0

    def _stop(self, step: int) -> None:
        assert self._began is not None
        began, before = self._began
        seconds, hooks, steps = time.perf_counter() - began, self._hooks, self._seen - WARM_UP
        spent = {doing: value - before.get(doing, 0.0) for doing, value in self._activity.seconds().items()}
        self._done = True
        try:
            if self._traced:
                tf.profiler.experimental.stop()
        except (OSError, tf.errors.OpError) as error:
            self._fail(error)
            return
        told = {"steps": steps, "last_step": step, "seconds": seconds}
        self._submit("profile", lambda: self._write(told, spent, hooks))
        what = "" if self._traced else "; of several replicas, without the ops"
        log.info("profiled %d steps up to step %d, %.1f ms each%s", steps, step, 1e3 * seconds / steps, what)

    def _fail(self, error: Exception) -> None:
        self._done = True
        log.warning("%s: no profile: %s", self._folder, str(error).partition("\n")[0])

    def _write(self, told: Mapping[str, Any], spent: Mapping[Doing, float], hooks: float) -> None:
        trace = None
        for path in sorted(self._folder.rglob("*")):
            if path.is_file():
                self._run.write(f"{TENSORBOARD}/{path.relative_to(self._folder)}", path)
                trace = _read(path) if path.name.endswith(SUFFIX) else trace
        files.write_json(self._run, PROFILE, document(told, spent, hooks, trace))

    def close(self) -> None:
        """End a profile that has fewer steps than were asked for, without keeping it; remove the local folder."""
        if self._began is not None and not self._done:
            self._fail(ValueError(f"the run ended after {self._seen - WARM_UP} of {self._wanted} steps of it"))
            if self._traced:
                tf.profiler.experimental.stop(save=False)
        elif not self._done:
            log.warning("no profile: it begins after %d steps, and the run ended before", WARM_UP + 1)
        self._open.close()


def _read(path: Path) -> traces.Trace | None:
    try:
        return traces.read(path.read_bytes(), TRACED_STEP)
    except Exception as error:  # noqa: BLE001 - whatever is odd in a trace, the table is made without it
        log.warning("the profile's trace cannot be read, so that the report has no ops: %s", error)
        return None


def document(
    told: Mapping[str, Any], spent: Mapping[Doing, float], hooks: float, trace: traces.Trace | None
) -> dict[str, Any]:
    """profile.json: `told`, the seconds of each part in all, and of the trace how busy the devices were, and its ops.

    The parts add up to the whole: input (waiting for it, and handing it to the devices), the call of the compiled step,
    the wait for results, hooks, and what else was done meanwhile, such as validation.
    """
    calls = trace.calls * told["steps"] / trace.steps if trace is not None and trace.steps else None
    training = spent.get(Doing.TRAINING, 0.0) - hooks
    parts = {"input": spent.get(Doing.WAITING, 0.0), "hooks": hooks}
    parts |= {"step": training} if calls is None else {"call": calls, "results": max(0.0, training - calls)}
    parts |= {str(d): s for d, s in spent.items() if s > 0 and d not in (Doing.WAITING, Doing.TRAINING)}
    found: dict[str, Any] = {**told, "parts": parts}
    if trace is not None:
        found["busy"] = min(1.0, trace.busy / told["seconds"])
        found["ops"] = [{"op": op.kind, "count": op.count, "seconds": op.seconds} for op in trace.ops]
    return found
