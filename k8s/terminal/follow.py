"""Follows a run: its phase, why it waits, the logs of all its workers, and its result.

It polls the run every few seconds, and waits for an API server that goes away.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from k8s.api.client import Cluster
from k8s.exits import Cli, CliError
from k8s.explain import observation
from k8s.explain.agreement import silent
from k8s.explain.cause import as_text
from k8s.explain.observation import Observation
from k8s.explain.phase import ENDED, Phase, phase_of, progress
from k8s.explain.why import explain
from k8s.terminal.logs import Logs, prefixed

POLL_SECONDS = 2.0
EXPLAIN_AFTER_SECONDS = 10.0
GONE_LOOKS = 3  # controllers take a moment to create objects, and during restarts there may be none

Say = Callable[[str], None]
Observe = Callable[[bool], Observation]
Closely = Callable[[], Observation | None]
"""Observes a run in depth; None if the API server cannot be reached."""


class Teller(Protocol):
    """Tells people what is seen of a run, each time that it is looked at."""

    def phase(self, seen: Observation, phase: Phase | None, look: Closely) -> None:
        """It was seen in this phase."""

    def trouble(self, message: str) -> None:
        """It could not be looked at, and will be tried again."""

    def recovered(self) -> None:
        """It could be looked at."""


def follow(
    cluster: Cluster | None,
    observe: Observe,
    say: Say,
    workers: int,
    *,
    logs: bool = True,
    tell: Teller | None = None,
    rank: int | None = None,
    timeout: float | None = None,
) -> Observation:
    """Watch a run until it finishes; return the last observation.

    `observe(deep)` observes the run. With `logs`, the lines of all workers, or of this `rank`, are printed, if there is
    a cluster. `tell` is told of every look; by default it says changes of phase and reasons for waiting.

    Raises:
        CliError: 124 when `timeout` seconds have passed; 3 when the run does not exist, or reading it is not allowed.
    """
    readers = Logs()
    told = Narrator(say) if tell is None else tell
    deadline = None if timeout is None else time.monotonic() + timeout
    absent = 0
    try:
        while True:
            seen = _look(observe, told)
            if seen is not None:
                phase = phase_of(seen)
                absent = absent + 1 if phase is None else 0
                if absent >= GONE_LOOKS:
                    left = f"its folder cannot be read: {seen.unread}" if seen.unread else "it left no state.json"
                    raise CliError(Cli.PREREQUISITE, f"run {seen.name} is no longer in the cluster, and {left}")
                if logs and cluster is not None:
                    mine = [pod for pod in seen.pods if rank is None or observation.rank(pod) == rank]
                    readers.watch(cluster, mine)
                told.phase(seen, phase, lambda: _look(observe, told, deep=True))
                if phase in ENDED:
                    _say_lines(readers.drain(POLL_SECONDS * 5), workers, say)
                    return seen
            wait = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
            if wait <= 0:
                raise CliError(Cli.TIMED_OUT, f"--timeout: {timeout:g} s have passed; the run continues")
            _say_lines(readers.take(wait), workers, say)
    finally:
        readers.close()


def _say_lines(lines: Iterator[tuple[int | None, str]], workers: int, say: Say) -> None:
    for rank, text in lines:
        say(prefixed(rank, workers, text))


def _look(observe: Observe, told: Teller, *, deep: bool = False) -> Observation | None:
    try:
        seen = observe(deep)
    except CliError as error:
        if not error.transient:
            raise
        told.trouble(error.message)
        return None
    told.recovered()
    return seen


class Waits:
    """How long a run has been in its phase, and whether that is so long that people want to know why."""

    def __init__(self) -> None:
        self._phase: Phase | None = None
        self._since = time.monotonic()

    def in_phase(self, phase: Phase | None) -> bool:
        """Note the phase; return whether it waits, and has for a while."""
        if phase != self._phase:
            self._phase, self._since = phase, time.monotonic()
        waits = phase in (Phase.QUEUED, Phase.PENDING, Phase.STARTING)
        return waits and time.monotonic() - self._since > EXPLAIN_AFTER_SECONDS


class Narrator:
    """Says in lines what changes, and nothing twice. By default that is the phase; with `line`, what that makes of an
    observation."""

    def __init__(self, say: Say, line: Callable[[Observation], str] | None = None) -> None:
        self._say, self._line = say, line
        self._waits = Waits()
        self._said: object = None
        self._why = ""
        self._trouble = False
        self._quiet = False

    def trouble(self, message: str) -> None:
        """Say why the run cannot be looked at."""
        if not self._trouble:
            self._say(f"catdog: {message}; retrying")
        self._trouble = True

    def recovered(self) -> None:
        """Say that it can be again."""
        if self._trouble:
            self._say("catdog: the API server can be reached again")
        self._trouble = False

    def phase(self, seen: Observation, phase: Phase | None, look: Closely) -> None:
        """Say what has changed."""
        long = self._waits.in_phase(phase)
        self._changed(seen, phase)
        quiet = silent(seen) if phase == Phase.RUNNING else []
        if quiet and not self._quiet:
            self._say("catdog: " + as_text(quiet).replace("\n", "\ncatdog: "))
        self._quiet = bool(quiet)
        if long:
            closely = look()
            why = "" if closely is None else as_text(explain(closely))
            if why and why != self._why:
                self._why = why
                self._say("catdog: " + why.replace("\n", "\ncatdog: "))

    def _changed(self, seen: Observation, phase: Phase | None) -> None:
        if phase is None or phase in ENDED:  # `ending` reports those, with the cause
            return
        where = progress(seen.state) if phase == Phase.RUNNING else ""
        words = f"catdog: {seen.name} is {phase}{f': {where}' if where else ''}"
        words, key = (words, str(phase)) if self._line is None else (self._line(seen),) * 2
        if key != self._said:
            self._said, self._why = key, ""
            self._say(words)


def ending(seen: Observation, summary: Any) -> tuple[Cli, str]:
    """Exit code and last lines for a run that has finished; `summary` is summary.json, or None."""
    phase = phase_of(seen)
    if phase == Phase.SUCCEEDED:
        return Cli.OK, f"{seen.name} has succeeded{_figures(summary)}"
    words = "has failed" if phase == Phase.FAILED else f"is {phase}"
    return Cli.RUN_FAILED, f"{seen.name} {words}\n{as_text(explain(seen))}"


def _figures(summary: Any) -> str:
    try:
        if not summary["test"]:
            return f": validation accuracy {summary['valid']['accuracy']:.1%}, best epoch {summary['best_epoch']}"
        return (
            f": test accuracy {summary['test']['accuracy']:.1%}{_worst_class(summary)}, "
            f"best epoch {summary['best_epoch']}"
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return ""


def _worst_class(summary: Any) -> str:
    """The class that was told worst, where there are several and the summary says."""
    test = summary["test"]
    sizes = [sum(row) for row in test.get("confusion") or ()]
    known = zip(test.get("recall") or (), summary.get("labels") or (), sizes, strict=False)
    rows = [(recall, -size, label) for recall, label, size in known if recall is not None]
    if not rows:
        return ""
    recall, size, label = min(rows)
    return f" (worst class: {label} {recall:.1%} of {-size:,})"
