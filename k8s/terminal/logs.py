"""The logs of a run's pods, live: each line once, prefixed with its worker's rank.

Each log is read on its own thread; lines for programs are left out. A broken connection is reopened from the last time
seen.
"""

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from k8s.api.client import Cluster, log_lines
from k8s.api.errors import ApiError
from k8s.explain import observation
from k8s.explain.observation import Object
from k8s.explain.spoken import visible

LOG_RETRY_SECONDS = 1.0


@dataclass
class Cursor:
    """How far a log was read: its last time, and the number of lines with that time, so that none is repeated or lost.

    The API resumes a log only by time, in whole seconds, and so repeats what was read.
    """

    last: str = ""
    at_last: int = 0
    _again: int = field(default=0, repr=False)

    @property
    def since(self) -> str:
        """The time to resume from: RFC 3339, whole seconds; empty for the start."""
        return f"{self.last[:19]}Z" if self.last else ""

    def reopen(self) -> None:
        """The log is about to be read from `since` again."""
        self._again = self.at_last

    def take(self, line: str) -> str | None:
        """The text of the line if it is new, None if it was read before. `line` starts with its time."""
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
    """A time as sortable text: the API omits trailing zeros of the fraction."""
    head, _, fraction = moment.rstrip("Z").partition(".")
    return f"{head}.{fraction:0<9}"


def prefixed(rank: int | None, workers: int, text: str) -> str:
    """A line prefixed with its worker's rank; a single worker needs none."""
    if workers <= 1 or rank is None:
        return text
    return f"[{rank:>{len(str(workers - 1))}}] {text}"


class Logs:
    """The logs of a run's pods, live: one thread per container, one queue for all."""

    def __init__(self) -> None:
        self._lines: queue.Queue[tuple[int | None, str]] = queue.Queue()
        self._threads: dict[str, threading.Thread] = {}
        self._ended = threading.Event()

    def watch(self, cluster: Cluster, pods: Iterable[Object]) -> None:
        """Start reading the logs of containers that have started and are not being read yet."""
        for pod in pods:
            uid = str(pod["metadata"].get("uid"))
            if uid not in self._threads and observation.started(pod):
                reader = threading.Thread(
                    target=self._read, args=(cluster, str(pod["metadata"]["name"]), observation.rank(pod)), daemon=True
                )
                self._threads[uid] = reader
                reader.start()

    def take(self, seconds: float) -> Iterator[tuple[int | None, str]]:
        """The lines that arrive within this many seconds: (rank, text)."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                yield self._lines.get(timeout=left)
            except queue.Empty:
                return

    def drain(self, seconds: float) -> Iterator[tuple[int | None, str]]:
        """The remaining lines of containers that have exited, waiting at most this many seconds."""
        deadline = time.monotonic() + seconds
        for reader in self._threads.values():
            reader.join(max(0.0, deadline - time.monotonic()))
        while not self._lines.empty():
            yield self._lines.get_nowait()

    def close(self) -> None:
        """Stop reading."""
        self._ended.set()

    def _read(self, cluster: Cluster, pod: str, rank: int | None) -> None:
        cursor = Cursor()
        while not self._ended.is_set():
            cursor.reopen()
            try:
                for line in log_lines(cluster, pod, follow=True, since=cursor.since):
                    text = cursor.take(line)
                    shown = None if text is None else visible(text)
                    if shown is not None:
                        self._lines.put((rank, shown))
                return  # the container has exited, and its log was read to the end
            except ApiError as error:
                if not error.transient:
                    return  # the pod is gone, and its log with it
            self._ended.wait(LOG_RETRY_SECONDS)
