"""Every metric that a worker serves, declared once: `trainer.telemetry.metrics` makes them, docs/metrics.md lists them.

No metric has a label namespace, pod, run, rank or recipe: the PodMonitor sets those; another worker is `worker`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a metric is for Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Of(StrEnum):
    """What a metric tells of, and so how it is queried."""

    PROCESS = "this process"  # a counter starts at 0 with each process: only in rate() and increase()
    RUN = "the run"  # goes on over restarts: max by (namespace, run)


@dataclass(frozen=True)
class Metric:
    """A metric: its kind, what it tells of, its help and how it is measured, its labels, a histogram's buckets."""

    kind: Kind
    of: Of
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_STEP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_STORAGE_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


def _counter(of: Of, help: str, *labels: str) -> Metric:
    return Metric(Kind.COUNTER, of, help, labels)


def _gauge(of: Of, help: str, *labels: str) -> Metric:
    return Metric(Kind.GAUGE, of, help, labels)


METRICS: Mapping[str, Metric] = {
    "catdog_steps_total": _counter(Of.PROCESS, "Training steps with known results."),
    "catdog_examples_total": _counter(Of.PROCESS, "Training examples, without padding and rejected pictures."),
    "catdog_step_seconds": Metric(
        Kind.HISTOGRAM, Of.PROCESS, "Duration of a training step; steps that compile are left out.", (), _STEP_BUCKETS
    ),
    "catdog_step_phase_seconds_total": _counter(
        Of.PROCESS,
        "Seconds of training steps by phase: input is time blocked until a batch was ready; compute is the rest, the "
        "collective and its wait for other workers included.",
        "phase",
    ),
    "catdog_wall_seconds_total": _counter(
        Of.PROCESS, "Seconds of the thread that trains, by category of the ledger.", "category"
    ),
    "catdog_last_step_timestamp_seconds": _gauge(
        Of.PROCESS, "Unix time at which the result of the last training step was known; 0 before the first."
    ),
    "catdog_storage_requests_total": _counter(
        Of.PROCESS, "Calls to storage that have ended, well or not: each is a request, or a few.", "operation"
    ),
    "catdog_storage_bytes_total": _counter(Of.PROCESS, "Bytes read from and written to storage.", "operation"),
    "catdog_storage_seconds": Metric(
        Kind.HISTOGRAM,
        Of.PROCESS,
        "Duration of a call to storage, its retries included.",
        ("operation",),
        _STORAGE_BUCKETS,
    ),
    "catdog_storage_retries_total": _counter(Of.PROCESS, "Requests to storage that were repeated.", "reason"),
    "catdog_input_rejected_total": _counter(
        Of.PROCESS, "Pictures that cannot be used: too_large, or unreadable.", "reason"
    ),
    "catdog_rejected_examples": _gauge(Of.RUN, "Pictures of a split that cannot be used.", "split"),
    "catdog_memory_bytes": _gauge(Of.PROCESS, "Memory that this process holds (resident set)."),
    "catdog_memory_limit_bytes": _gauge(Of.PROCESS, "Memory limit of the container; absent without one."),
    "catdog_gpu_memory_bytes": _gauge(Of.PROCESS, "Memory that TensorFlow uses on a GPU; absent without GPUs.", "gpu"),
    "catdog_gpu_memory_peak_bytes": _gauge(Of.PROCESS, "The most that it has used so far.", "gpu"),
    "catdog_build_info": _gauge(
        Of.PROCESS, "1; the versions are labels.", "version", "revision", "python", "tensorflow"
    ),
    "catdog_step": _gauge(Of.RUN, "Steps completed since the run first started."),
    "catdog_total_steps": _gauge(Of.RUN, "Steps of the whole run."),
    "catdog_epoch": _gauge(Of.RUN, "Epochs completed."),
    "catdog_loss": _gauge(
        Of.RUN, "Mean loss of the current epoch (train), or of the last validation (valid).", "split"
    ),
    "catdog_accuracy": _gauge(Of.RUN, "Accuracy, 0 to 1, measured like catdog_loss.", "split"),
    "catdog_balanced_accuracy": _gauge(Of.RUN, "Mean recall of the classes, 0 to 1, of the exported model.", "split"),
    "catdog_macro_f1": _gauge(Of.RUN, "Mean F1 of the classes, 0 to 1, of the exported model.", "split"),
    "catdog_learning_rate": _gauge(Of.RUN, "Learning rate of the last step."),
    "catdog_gradient_norm": _gauge(Of.RUN, "Norm of the last step's gradient, before clipping."),
    "catdog_not_finite_total": _counter(Of.PROCESS, "Steps whose loss or gradient was not finite."),
    "catdog_goodput_ratio": _gauge(
        Of.RUN, "Share of the time since the first start spent on steps and validations that count, 0 to 1."
    ),
    "catdog_run_wall_seconds": _gauge(Of.RUN, "The ledger: seconds since the first start, by category.", "category"),
    "catdog_lost_steps": _gauge(Of.RUN, "Steps that had to be done again after failures."),
    "catdog_eta_seconds": _gauge(
        Of.RUN, "Seconds that the rest of the training takes at the rate of this phase; NaN while that is unknown."
    ),
    "catdog_run_info": _gauge(
        Of.RUN,
        "1; what is trained is in the labels.",
        "model",
        "optimizer",
        "precision",
        "strategy",
        "fingerprint",
        "data_fingerprint",
    ),
    "catdog_run_state": _gauge(Of.RUN, "1 for the state that the run is in, 0 for the others.", "state"),
    "catdog_restarts": _gauge(Of.RUN, "Times the run was restarted."),
    "catdog_workers": _gauge(
        Of.PROCESS,
        "Workers, this one included: expected, as many as it is to hear from; seen, heard in the last seconds.",
        "state",
    ),
    "catdog_worker_step_seconds": _gauge(
        Of.PROCESS,
        "What a worker takes for its own part of a step, without waiting for others; rank 0 knows all.",
        "worker",
    ),
    "catdog_straggler_ratio": _gauge(
        Of.PROCESS, "The same, as a multiple of the median of all workers; rank 0 knows it.", "worker"
    ),
    "catdog_checkpoint_step": _gauge(Of.RUN, "Step of the last durable checkpoint."),
    "catdog_checkpoint_timestamp_seconds": _gauge(
        Of.PROCESS, "Unix time at which the last checkpoint was durable; 0 before this process's first."
    ),
    "catdog_checkpoints_total": _counter(Of.PROCESS, "Checkpoints written.", "kind"),
    "catdog_checkpoint_seconds_total": _counter(Of.PROCESS, "Seconds spent writing them, in the background.", "kind"),
    "catdog_checkpoint_bytes_total": _counter(Of.PROCESS, "Bytes of their tensors, before they are stored.", "kind"),
    "catdog_checkpoint_failures_total": _counter(Of.PROCESS, "Writes of checkpoints that failed.", "kind"),
    "catdog_checkpoints_refused_total": _counter(Of.PROCESS, "Damaged checkpoints skipped in favour of an older one."),
    "catdog_replicas_drifted": _gauge(Of.RUN, "1 if replicas were found to hold different weights; the run ends then."),
}
"""By name, as it is served; in the order of docs/metrics.md."""
