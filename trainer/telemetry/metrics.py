"""Prometheus metrics of one worker, as `trainer.telemetry.metric_table` declares them, and their HTTP server."""

import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app, start_http_server
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from trainer.config import RunConfig
from trainer.contract import HEALTH_PATH, State
from trainer.data.limits import TOO_LARGE
from trainer.exits import Exit, ExitError
from trainer.ledger import Category, Ledger, by_category
from trainer.process.activity import Activity, Doing
from trainer.process.container import local_workers, memory_limit, resident_memory
from trainer.process.versions import revision, versions
from trainer.storage.measured import Call
from trainer.storage.retry import RetryEvent
from trainer.telemetry.metric_table import METRICS

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

FINAL_SCRAPE_SECONDS = 30.0
SCRAPER_SECONDS = 2 * FINAL_SCRAPE_SECONDS  # who has not asked for longer is not expected within the wait either
LOOK_SECONDS = 0.2
CHECKPOINT_KINDS = ("checkpoint", "best")
OPERATIONS = ("list", "stat", "read", "write", "delete")
_PHASES = {"input": Doing.WAITING, "compute": Doing.TRAINING}


class Metrics:
    """All metrics, in a registry of their own; those of time tell what `activity` counts."""

    def __init__(self, activity: Activity | None = None) -> None:
        self.registry = CollectorRegistry()
        self.steps = self._counter("catdog_steps_total")
        self.examples = self._counter("catdog_examples_total")
        self.step_seconds = self._histogram("catdog_step_seconds")
        self.last_step = self._gauge("catdog_last_step_timestamp_seconds")
        self.storage_requests = self._counter("catdog_storage_requests_total", *OPERATIONS)
        self.storage_bytes = self._counter("catdog_storage_bytes_total", "read", "write")
        self.storage_seconds = self._histogram("catdog_storage_seconds")
        self.storage_retries = self._counter("catdog_storage_retries_total")
        self.input_rejected = self._counter("catdog_input_rejected_total", "too_large", "unreadable")
        self.rejected = self._gauge("catdog_rejected_examples")
        self.gpu_memory = self._gauge("catdog_gpu_memory_bytes")
        self.gpu_memory_peak = self._gauge("catdog_gpu_memory_peak_bytes")
        self.step = self._gauge("catdog_step")
        self.total_steps = self._gauge("catdog_total_steps")
        self.epoch = self._gauge("catdog_epoch")
        self.loss = self._gauge("catdog_loss")
        self.accuracy = self._gauge("catdog_accuracy")
        self.balanced_accuracy = self._gauge("catdog_balanced_accuracy")
        self.macro_f1 = self._gauge("catdog_macro_f1")
        self.learning_rate = self._gauge("catdog_learning_rate")
        self.gradient_norm = self._gauge("catdog_gradient_norm")
        self.not_finite = self._counter("catdog_not_finite_total")
        self.goodput = self._gauge("catdog_goodput_ratio")
        self.run_wall_seconds = self._gauge("catdog_run_wall_seconds")
        self.lost_steps = self._gauge("catdog_lost_steps")
        self.eta = self._gauge("catdog_eta_seconds")
        self.run_info = self._gauge("catdog_run_info")
        self.run_state = self._gauge("catdog_run_state")
        self.restarts = self._gauge("catdog_restarts")
        self.workers = self._gauge("catdog_workers")
        self.worker_step_seconds = self._gauge("catdog_worker_step_seconds")
        self.straggler = self._gauge("catdog_straggler_ratio")
        self.checkpoint_step = self._gauge("catdog_checkpoint_step")
        self.checkpoint_timestamp = self._gauge("catdog_checkpoint_timestamp_seconds")
        self.checkpoints = self._counter("catdog_checkpoints_total", *CHECKPOINT_KINDS)
        self.checkpoint_seconds = self._counter("catdog_checkpoint_seconds_total", *CHECKPOINT_KINDS)
        self.checkpoint_bytes = self._counter("catdog_checkpoint_bytes_total", *CHECKPOINT_KINDS)
        self.checkpoint_failures = self._counter("catdog_checkpoint_failures_total", *CHECKPOINT_KINDS)
        self.checkpoints_refused = self._counter("catdog_checkpoints_refused_total")
        self.drifted = self._gauge("catdog_replicas_drifted")
        self.eta.set(float("nan"))
        self._show_process(activity or Activity())

    def _show_process(self, activity: Activity) -> None:
        self._gauge("catdog_memory_bytes").set_function(resident_memory)
        if (limit := memory_limit()) is not None:
            self._gauge("catdog_memory_limit_bytes").set(limit)
        installed = versions()
        build = (installed["catdog"], revision(), platform.python_version(), installed["tensorflow"])
        self._gauge("catdog_build_info").labels(*build).set(1)
        self.registry.register(_Spent(activity))

    def count_retry(self, event: RetryEvent) -> None:
        """Count one retried storage call."""
        self.storage_retries.labels(event.reason).inc()

    def count_call(self, call: Call) -> None:
        """Count one storage call."""
        self.storage_requests.labels(call.operation).inc()
        self.storage_seconds.labels(call.operation).observe(call.seconds)
        if call.operation in ("read", "write"):
            self.storage_bytes.labels(call.operation).inc(call.size)

    def show_start(self, step: int, total_steps: int, restarts: int, refused: int) -> None:
        """Show where an attempt begins, at once, so that no curve of the run falls to zero at a restart."""
        self.step.set(step)
        self.checkpoint_step.set(step)
        self.total_steps.set(total_steps)
        self.restarts.set(restarts)
        self.checkpoints_refused.inc(refused)

    def show_rejected(self, split: str, count: int, reasons: Sequence[str]) -> None:
        """Show how many pictures of a split cannot be used, and count the new ones, by why."""
        self.rejected.labels(split).set(count)
        for one in reasons:
            self.input_rejected.labels("too_large" if one.startswith(TOO_LARGE) else "unreadable").inc()

    def show_run(self, ledger: Callable[[], Ledger], eta: Callable[[], float | None]) -> None:
        """Rank 0: show, from now on, where the run's time went, and how long it will take."""
        self.goodput.set_function(lambda: ledger().goodput)
        self.lost_steps.set_function(lambda: ledger().lost_steps)
        for category in Category:
            self.run_wall_seconds.labels(category).set_function(_seconds_of(ledger, category))
        self.eta.set_function(lambda: float("nan") if (seconds := eta()) is None else seconds)

    def show_state(self, state: State) -> None:
        """Rank 0: show the state that the run is in."""
        for one in State:
            self.run_state.labels(one).set(one == state)

    def show_workers(self, seen: Callable[[], int], step_seconds: Mapping[int, Callable[[], float]]) -> None:
        """Show, from now on, how many of the workers are there, and what each takes for a step."""
        self.workers.labels("expected").set(len(step_seconds))
        self.workers.labels("seen").set_function(seen)
        for rank, seconds in step_seconds.items():
            self.worker_step_seconds.labels(str(rank)).set_function(seconds)
            self.straggler.labels(str(rank)).set_function(_times_of(rank, step_seconds))

    def show_gpus(self, memory: Mapping[str, Callable[[], tuple[float, float]]]) -> None:
        """Show, from now on, the bytes of memory in use of each GPU, and the most that were."""
        for name, read in memory.items():
            self.gpu_memory.labels(name).set_function(_nth(read, 0))
            self.gpu_memory_peak.labels(name).set_function(_nth(read, 1))

    def _counter(self, name: str, *values: str) -> Counter:
        """A counter; of those values of its label that are known beforehand it says 0 at once, for rate()."""
        made = Counter(name.removesuffix("_total"), METRICS[name].help, METRICS[name].labels, registry=self.registry)
        for value in values:
            made.labels(value)
        return made

    def _gauge(self, name: str) -> Gauge:
        return Gauge(name, METRICS[name].help, METRICS[name].labels, registry=self.registry)

    def _histogram(self, name: str) -> Histogram:
        metric = METRICS[name]
        return Histogram(name, metric.help, metric.labels, registry=self.registry, buckets=metric.buckets)


def _seconds_of(ledger: Callable[[], Ledger], category: Category) -> Callable[[], float]:
    return lambda: ledger().seconds[category]


def _times_of(rank: int, step_seconds: Mapping[int, Callable[[], float]]) -> Callable[[], float]:
    def times() -> float:
        median = statistics.median(read() for read in step_seconds.values())
        return step_seconds[rank]() / median if median else 1.0

    return times


def _nth(read: Callable[[], tuple[float, float]], index: int) -> Callable[[], float]:
    return lambda: read()[index]


class _Spent(Collector):
    """Counters of time, which the activity of the process counts."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Seconds by category, and of training steps by phase."""
        spent = self._activity.seconds()
        ours = by_category(spent)
        yield _family("catdog_wall_seconds_total", {str(one): ours.get(one, 0.0) for one in Category})
        yield _family(
            "catdog_step_phase_seconds_total", {phase: spent.get(doing, 0.0) for phase, doing in _PHASES.items()}
        )


def _family(name: str, values: Mapping[str, float]) -> CounterMetricFamily:
    family = CounterMetricFamily(name.removesuffix("_total"), METRICS[name].help, labels=METRICS[name].labels)
    for label, value in values.items():
        family.add_metric([label], value)
    return family


class Scrapes:
    """Tracks scrapes: a WSGI application around the one that serves the metrics."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application
        self._changed = threading.Condition()
        self._begun: dict[str, float] = {}  # by address of a Prometheus: when its latest scrape began
        self._answered: dict[str, float] = {}  # and when its latest scrape that was answered began
        self._asked: float | None = None  # when the last question was answered

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """A scrape (PEP 3333), or a question whether this process is alive, which is answered and not counted."""
        if environ.get("PATH_INFO") == HEALTH_PATH:
            self._asked = time.monotonic()
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"ok\n"]
        scraper, began = environ.get("REMOTE_ADDR", ""), time.monotonic()
        with self._changed:
            self._begun[scraper] = began
        return _Answer(self._application(environ, start_response), lambda: self._sent(scraper, began))

    def neglected(self, liveness_seconds: float) -> bool:
        """Whether questions came and then, for so long that this process counts as frozen, were not answered."""
        return self._asked is not None and 0 < liveness_seconds < time.monotonic() - self._asked

    def _sent(self, scraper: str, began: float) -> None:
        with self._changed:
            self._answered[scraper] = max(self._answered.get(scraper, 0.0), began)
            self._changed.notify_all()

    def await_last(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """At the end, let each Prometheus that has scraped lately read the last values: wait at most 30 s, and no
        longer than until `hurry` says so.

        Otherwise a job that exits between two scrapes loses its last values (prometheus-operator#4816). A scrape in
        progress may have older values, and the exit of the process would cut off an answer that is not sent yet. Where
        two scrape, as in a highly available pair, one's scrape is nothing to the other; they are told apart by address.
        """
        now = time.monotonic()
        with self._changed:
            awaited = {scraper for scraper, began in self._begun.items() if now - began < SCRAPER_SECONDS}
            while awaited and time.monotonic() < now + FINAL_SCRAPE_SECONDS and not hurry():
                self._changed.wait(LOOK_SECONDS)
                awaited = {scraper for scraper in awaited if self._answered.get(scraper, 0.0) < now}


class _Answer(list[bytes]):
    """The parts of an answer; the server calls `close` when they are sent (PEP 3333)."""

    def __init__(self, parts: Iterable[bytes], sent: Callable[[], None]) -> None:
        super().__init__(parts)
        self.close = sent


@contextmanager
def serve(metrics: Metrics, config: RunConfig, rank: int) -> Iterator[Scrapes]:
    """Serve /metrics on the configured port, if any, inside the block; local workers add their rank to it.

    Raises:
        ExitError: 64 when the port is taken.
    """
    scrapes = Scrapes(make_wsgi_app(metrics.registry))
    if not config.metrics_port:
        yield scrapes
        return
    port = config.metrics_port + (rank if local_workers(os.environ) > 1 else 0)
    try:
        server, thread = start_http_server(port, registry=metrics.registry)
    except OSError as error:
        raise ExitError(Exit.BAD_OPTION, f"--metrics-port: cannot listen on port {port}: {error.strerror}") from error
    server.set_app(scrapes)
    try:
        yield scrapes
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
