"""Prometheus metrics of one worker: prefix catdog_, base units, few labels."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app, start_http_server

from trainer.config import RunConfig
from trainer.contract import HEALTH_PATH
from trainer.exits import Exit, ExitError
from trainer.process.container import local_workers
from trainer.storage.retry import RetryEvent

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

FINAL_SCRAPE_SECONDS = 30.0


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.steps = self._counter("catdog_steps", "Training steps with known results.")
        self.examples = self._counter("catdog_examples", "Training examples, excluding padding and rejected pictures.")
        self.step_seconds = Histogram(
            "catdog_step_seconds",
            "Duration of one training step in seconds.",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
        )
        self.step = self._gauge("catdog_step", "Steps completed since the run first started.")
        self.total_steps = self._gauge("catdog_total_steps", "Steps of the whole run.")
        self.epoch = self._gauge("catdog_epoch", "Epochs completed.")
        self.loss = self._gauge(
            "catdog_loss", "Mean loss of the current epoch (train) or of the last validation (valid).", ["split"]
        )
        self.accuracy = self._gauge("catdog_accuracy", "Accuracy, 0 to 1, measured like catdog_loss.", ["split"])
        self.balanced_accuracy = self._gauge(
            "catdog_balanced_accuracy", "Mean recall of the classes, 0 to 1, of the exported model.", ["split"]
        )
        self.macro_f1 = self._gauge(
            "catdog_macro_f1", "Mean F1 of the classes, 0 to 1, of the exported model.", ["split"]
        )
        self.learning_rate = self._gauge("catdog_learning_rate", "Learning rate of the last step.")
        self.gradient_norm = self._gauge("catdog_gradient_norm", "Norm of the last step's gradient, before clipping.")
        self.goodput = self._gauge(
            "catdog_goodput_ratio", "Share of the time since the first start spent on work that counts."
        )
        self.rejected = self._gauge("catdog_rejected_examples", "Unreadable pictures.", ["split"])
        self.checkpoints = self._counter("catdog_checkpoints", "Checkpoints written.", ["kind"])
        self.checkpoint_seconds = self._counter(
            "catdog_checkpoint_seconds", "Seconds spent writing checkpoints in the background.", ["kind"]
        )
        self.checkpoint_step = self._gauge("catdog_checkpoint_step", "Step of the last durable checkpoint.")
        self.checkpoints_refused = self._counter(
            "catdog_checkpoints_refused", "Damaged checkpoints skipped in favour of an older one."
        )
        self.storage_retries = self._counter("catdog_storage_retries", "Storage calls retried, by reason.", ["reason"])
        self.restarts = self._gauge("catdog_restarts", "Times the run was restarted.")
        self.workers = self._gauge(
            "catdog_workers", "Workers of the run that this one is to hear from, itself included."
        )
        self.workers_seen = self._gauge("catdog_workers_seen", "Those of them that were heard in the last second.")
        self.worker_step_seconds = self._gauge(
            "catdog_worker_step_seconds",
            "What a worker takes for its own part of a step, without waiting for others; rank 0 knows all.",
            ["worker"],
        )

    def count_retry(self, event: RetryEvent) -> None:
        """Count one retried storage call."""
        self.storage_retries.labels(event.reason).inc()

    def show_workers(self, seen: Callable[[], int], step_seconds: Mapping[int, Callable[[], float]]) -> None:
        """Show, from now on, how many of the workers are there, and what each takes for a step."""
        self.workers.set(len(step_seconds))
        self.workers_seen.set_function(seen)
        for rank, seconds in step_seconds.items():
            self.worker_step_seconds.labels(str(rank)).set_function(seconds)

    def _counter(self, name: str, text: str, labels: list[str] | None = None) -> Counter:
        return Counter(name, text, labels or [], registry=self.registry)

    def _gauge(self, name: str, text: str, labels: list[str] | None = None) -> Gauge:
        return Gauge(name, text, labels or [], registry=self.registry)


class Scrapes:
    """Tracks scrapes: a WSGI application around the one that serves the metrics."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application
        self._changed = threading.Condition()
        self._begun = 0
        self._asked: float | None = None  # when the last question was answered
        self._answered = 0  # number of the latest scrape whose answer is sent

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """A scrape (PEP 3333), or a question whether this process is alive, which is answered and not counted."""
        if environ.get("PATH_INFO") == HEALTH_PATH:
            self._asked = time.monotonic()
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"ok\n"]
        with self._changed:
            self._begun += 1
            this = self._begun
        return _Answer(self._application(environ, start_response), lambda: self._sent(this))

    def neglected(self, liveness_seconds: float) -> bool:
        """Whether questions came and then, for so long that this process counts as frozen, were not answered."""
        return self._asked is not None and 0 < liveness_seconds < time.monotonic() - self._asked

    def _sent(self, this: int) -> None:
        with self._changed:
            self._answered = max(self._answered, this)
            self._changed.notify_all()

    def await_last(self) -> None:
        """After success, let a Prometheus that has scraped before read the last values: wait at most 30 s.

        Otherwise a job that exits between two scrapes loses its last values (prometheus-operator#4816). A scrape in
        progress may have older values, and the exit of the process would cut off an answer that is not sent yet.
        """
        with self._changed:
            before = self._begun
            if before > 0:
                self._changed.wait_for(lambda: self._answered > before, timeout=FINAL_SCRAPE_SECONDS)


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
