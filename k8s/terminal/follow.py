"""Follows a run: its phase, why it waits, the logs of all its workers with their rank in front, and how it ended.

It looks at the run every few seconds and reads each container's log on a thread of its own. A log connection that
breaks is opened again from the last time seen, an API server that goes away is waited for.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from k8s.api.client import Cluster, log_lines
from k8s.api.errors import ApiError
from k8s.exits import Cli, CliError
from k8s.explain import observation
from k8s.explain.cause import as_text
from k8s.explain.observation import Object, Observation
from k8s.explain.phase import ENDED, Phase, phase_of, progress
from k8s.explain.why import explain

POLL_SECONDS = 2.0
EXPLAIN_AFTER_SECONDS = 10.0
LOG_RETRY_SECONDS = 1.0
GONE_LOOKS = 3  # a controller needs a moment to make objects, and restarts leave a moment without

Say = Callable[[str], None]
Observe = Callable[[bool], Observation]


@dataclass
class Cursor:
    """How far a log was read: its last time, and the lines of that very time, so that none is told twice or lost.

    The API takes a log up again by time only, in whole seconds, and so repeats what was read.
    """

    last: str = ""
    at_last: int = 0
    _again: int = field(default=0, repr=False)

    @property
    def since(self) -> str:
        """From when to read again: RFC 3339, whole seconds; empty from the start."""
        return f"{self.last[:19]}Z" if self.last else ""

    def reopen(self) -> None:
        """The log is about to be read from `since` again."""
        self._again = self.at_last

    def take(self, line: str) -> str | None:
        """The line's text when it is new, None when it was read before. `line` begins with its time."""
        moment, _, text = line.partition(" ")
        if self.last and _order(moment) < _order(self.last):
            return None
        if moment == self.last:
            if self._again > 0:
                self._again -= 1
                return None
            self.at_last += 1
            return text
        self.last, self.at_last, self._again = moment, 1, 0
        return text


def _order(moment: str) -> str:
    """A time as text that sorts: the API leaves trailing zeros of the fraction out."""
    head, _, fraction = moment.rstrip("Z").partition(".")
    return f"{head}.{fraction:0<9}"


def prefixed(rank: int | None, workers: int, text: str) -> str:
    """A line with its worker's rank in front; a lone worker needs none."""
    if workers <= 1 or rank is None:
        return text
    return f"[{rank:>{len(str(workers - 1))}}] {text}"


class Logs:
    """The logs of a run's pods, as they come: one thread a container, one queue for all."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lines: queue.Queue[tuple[int | None, str]] = queue.Queue()
        self._threads: dict[str, threading.Thread] = {}
        self._ended = threading.Event()

    def watch(self, pods: "list[Object] | tuple[Object, ...]") -> None:
        """Begin to read the logs of the containers that have started and are not read yet."""
        for pod in pods:
            uid = str(pod["metadata"].get("uid"))
            if uid not in self._threads and observation.started(pod):
                reader = threading.Thread(
                    target=self._read, args=(str(pod["metadata"]["name"]), observation.rank(pod)), daemon=True
                )
                self._threads[uid] = reader
                reader.start()

    def take(self, seconds: float) -> Iterator[tuple[int | None, str]]:
        """The lines that come within so many seconds: (rank, text)."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                yield self._lines.get(timeout=left)
            except queue.Empty:
                return

    def drain(self, seconds: float) -> Iterator[tuple[int | None, str]]:
        """What is still to come of containers that have ended, for at most so many seconds."""
        deadline = time.monotonic() + seconds
        for reader in self._threads.values():
            reader.join(max(0.0, deadline - time.monotonic()))
        while not self._lines.empty():
            yield self._lines.get_nowait()

    def close(self) -> None:
        """Read no further."""
        self._ended.set()

    def _read(self, pod: str, rank: int | None) -> None:
        cursor = Cursor()
        while not self._ended.is_set():
            cursor.reopen()
            try:
                for line in log_lines(self._cluster, pod, follow=True, since=cursor.since):
                    text = cursor.take(line)
                    if text is not None:
                        self._lines.put((rank, text))
                return  # the container has ended, and its log was read to the end
            except ApiError as error:
                if not error.transient:
                    return  # the pod is gone, and its log with it
            self._ended.wait(LOG_RETRY_SECONDS)


def follow(
    cluster: Cluster,
    observe: Observe,
    say: Say,
    workers: int,
    *,
    logs: bool = True,
    narrate: bool = True,
    timeout: float | None = None,
) -> Observation:
    """Watch a run until it has ended; return the last look at it.

    `observe(deep)` looks at the run. With `logs`, every worker's lines are said; with `narrate`, changes of phase and
    reasons for waiting too.

    Raises:
        CliError: 124 when `timeout` seconds have passed; 3 when the run is not there, or may not be looked at.
    """
    readers, told = Logs(cluster), _Told(say if narrate else lambda _: None)
    deadline = None if timeout is None else time.monotonic() + timeout
    absent = 0
    try:
        while True:
            seen = _look(observe, told)
            if seen is not None:
                phase = phase_of(seen)
                absent = absent + 1 if phase is None else 0
                if absent >= GONE_LOOKS:
                    raise CliError(
                        Cli.PREREQUISITE, f"run {seen.name} is no longer in the cluster, and has left no state.json"
                    )
                if logs:
                    readers.watch(list(seen.pods))
                told.phase(seen, phase, lambda: _look(observe, told, deep=True))
                if phase in ENDED:
                    _say_lines(readers.drain(POLL_SECONDS * 5), workers, say)
                    return seen
            wait = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
            if wait <= 0:
                raise CliError(Cli.TIMED_OUT, f"--timeout: {timeout:g} s have passed; the run goes on")
            _say_lines(readers.take(wait), workers, say)
    finally:
        readers.close()


def _say_lines(lines: Iterator[tuple[int | None, str]], workers: int, say: Say) -> None:
    for rank, text in lines:
        say(prefixed(rank, workers, text))


def _look(observe: Observe, told: "_Told", *, deep: bool = False) -> Observation | None:
    try:
        seen = observe(deep)
    except ApiError as error:
        if not error.transient:
            raise
        told.trouble(error.message)
        return None
    told.recovered()
    return seen


class _Told:
    """What was said already, so that each thing is said once."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._phase: Phase | None = None
        self._since = time.monotonic()
        self._why = ""
        self._trouble = False

    def trouble(self, message: str) -> None:
        if not self._trouble:
            self._say(f"catdog: {message}; trying again")
        self._trouble = True

    def recovered(self) -> None:
        if self._trouble:
            self._say("catdog: the API server answers again")
        self._trouble = False

    def phase(self, seen: Observation, phase: Phase | None, look: Callable[[], Observation | None]) -> None:
        if phase != self._phase and phase is not None and phase not in ENDED:  # `ending` tells the end, with its cause
            self._phase, self._since, self._why = phase, time.monotonic(), ""
            where = progress(seen.state) if phase == Phase.RUNNING else ""
            self._say(f"catdog: {seen.name} is {phase}{f': {where}' if where else ''}")
        waits = phase in (Phase.QUEUED, Phase.PENDING, Phase.STARTING)
        if waits and time.monotonic() - self._since > EXPLAIN_AFTER_SECONDS:
            closely = look()
            why = "" if closely is None else as_text(explain(closely))
            if why and why != self._why:
                self._why = why
                self._say("catdog: " + why.replace("\n", "\ncatdog: "))


def ending(seen: Observation, summary: Any) -> tuple[Cli, str]:
    """Exit code and last lines for a run that has ended; `summary` is summary.json, or None."""
    phase = phase_of(seen)
    if phase == Phase.SUCCEEDED:
        return Cli.OK, f"{seen.name} has succeeded{_figures(summary)}"
    words = "has failed" if phase == Phase.FAILED else f"is {phase}"
    return Cli.RUN_FAILED, f"{seen.name} {words}\n{as_text(explain(seen))}"


def _figures(summary: Any) -> str:
    try:
        return f": test accuracy {summary['test']['accuracy']:.1%}, best epoch {summary['best_epoch']}"
    except (KeyError, TypeError, ValueError):
        return ""
