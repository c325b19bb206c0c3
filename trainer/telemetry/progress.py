"""Progress of training for people: a live line in a terminal, plain lines in a pipe."""

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from trainer.training.phases import Length, Phase
from trainer.training.state import LoopState
from trainer.words import UNKNOWN, clock


class ProgressView(Protocol):
    """A view of the loop."""

    def step(self, state: LoopState) -> None:
        """After each step."""

    def validating(self, done: int, total: int) -> None:
        """During validation: `done` of `total` batches."""

    def epoch(self, state: LoopState) -> None:
        """After an epoch's validation."""

    def close(self) -> None:
        """At the end, whatever the outcome."""


def view(length: Length, first_step: int, every: int) -> ProgressView:
    """A live view when standard output is a terminal, else lines every `every` steps."""
    console = Console(highlight=False)
    if console.is_terminal:
        return _Live(console, length, first_step)
    return _Lines(length, first_step, every)


class _Pace:
    """Time left, from the steps of this process, including validation."""

    def __init__(self, total_steps: int, first_step: int) -> None:
        self._total, self._first, self._start = total_steps, first_step, time.monotonic()

    def left(self, step: int) -> str:
        done = step - self._first
        if done < 3:
            return "–:––"
        return clock((time.monotonic() - self._start) / done * (self._total - step))


def _numbers(state: LoopState, phase: Phase) -> str:
    means, rate = state.sums.means, _rate(state.sums.examples_per_second, phase.on_features)
    return f"loss {means['loss']:.4f}  accuracy {means['accuracy']:.1%}  {rate}"


def _rate(examples_per_second: float, on_features: bool) -> str:
    known = f"{examples_per_second:.0f}" if examples_per_second else UNKNOWN  # its only step has compiled
    return f"{known} {'feature rows' if on_features else 'images'}/s"


def epoch_line(state: LoopState, on_features: bool = False) -> str:
    """The finished epoch in one line; `on_features`: what it trained on are features, computed before."""
    row = state.history[-1]
    best = "  best so far" if state.best is not None and state.best.step == row["step"] else ""
    return (
        f"epoch {row['epoch']:>3}  train loss {row['train']['loss']:.4f} accuracy {row['train']['accuracy']:6.1%}   "
        f"valid loss {row['valid']['loss']:.4f} accuracy {row['valid']['accuracy']:6.1%}   "
        f"{_rate(row['examples_per_second'], on_features)}  {row['seconds']:.1f} s{best}"
    )


class _Lines:
    def __init__(self, length: Length, first_step: int, every: int) -> None:
        self._length, self._every = length, every
        self._pace = _Pace(length.total_steps, first_step)

    def step(self, state: LoopState) -> None:
        if state.step % self._every == 0:
            epoch, numbers = self._length.epoch_after(state.step), _numbers(state, self._length.phase_after(state.step))
            left = self._pace.left(state.step)
            print(f"step {state.step}/{self._length.total_steps}  epoch {epoch}  {numbers}  ETA {left}", flush=True)

    def validating(self, done: int, total: int) -> None:
        return

    def epoch(self, state: LoopState) -> None:
        print(epoch_line(state, self._length.phase_after(state.step).on_features), flush=True)

    def close(self) -> None:
        sys.stdout.flush()


class _Live:
    def __init__(self, console: Console, length: Length, first_step: int) -> None:
        self._length = length
        self._pace = _Pace(length.total_steps, first_step)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
        )
        first = length.phase_at(first_step).steps_per_epoch
        self._task = self._bar.add_task("epoch", total=first, numbers="compiling the step …")
        self._console = console
        self._live = Live(self._table(), console=console, refresh_per_second=4, transient=True)
        self._live.start()

    def _table(self) -> Table:
        table = Table.grid()
        table.add_row(self._bar)
        return table

    def step(self, state: LoopState) -> None:
        phase, length = self._length.phase_after(state.step), self._length
        self._bar.update(
            self._task,
            description=f"epoch {length.epoch_after(state.step)}/{length.epoch_after(length.total_steps)}",
            total=phase.steps_per_epoch,
            completed=phase.batch_of(state.step - 1) + 1,
            numbers=f"{_numbers(state, phase)}  ETA {self._pace.left(state.step)}",
        )

    def validating(self, done: int, total: int) -> None:
        self._bar.update(self._task, description="validation", completed=done, total=total)

    def epoch(self, state: LoopState) -> None:
        self._console.print(epoch_line(state, self._length.phase_after(state.step).on_features))

    def close(self) -> None:
        self._live.stop()
