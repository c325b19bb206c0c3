"""The metrics that dashboards and alerts may use."""

import re

# Labels of each metric that a worker serves. Replaced by trainer.telemetry.metric_table where that exists.
_WORKERS = """
steps_total examples_total step_seconds step_phase_seconds_total:phase wall_seconds_total:category
last_step_timestamp_seconds storage_requests_total:operation storage_bytes_total:operation storage_seconds:operation
storage_retries_total:reason rejected_examples:split input_rejected_total:reason memory_bytes memory_limit_bytes
gpu_memory_bytes:gpu gpu_memory_peak_bytes:gpu build_info:version,revision,python,tensorflow
step total_steps epoch loss:split accuracy:split balanced_accuracy:split macro_f1:split learning_rate gradient_norm
goodput_ratio run_wall_seconds:category lost_steps eta_seconds
run_info:model,optimizer,precision,strategy,fingerprint,data_fingerprint run_state:state workers:state
worker_step_seconds:worker straggler_ratio:worker restarts checkpoint_step checkpoint_timestamp_seconds
checkpoints_total:kind checkpoint_seconds_total:kind checkpoint_bytes_total:kind checkpoint_failures_total:kind
checkpoints_refused_total replicas_drifted not_finite_total
"""
_HISTOGRAMS = ("catdog_step_seconds", "catdog_storage_seconds")
_LISTED = """
run_state:state step total_steps updated_timestamp_seconds exit_code goodput_ratio accuracy:split gpu_hours cost
"""
_OTHERS = {
    "up": frozenset({"instance", "job"}),
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
    "kube_job_failed": frozenset({"job_name", "condition"}),
    "DCGM_FI_DEV_GPU_UTIL": frozenset({"exported_pod", "exported_namespace", "gpu"}),
    "DCGM_FI_DEV_FB_USED": frozenset({"exported_pod", "exported_namespace", "gpu"}),
}
TARGET = frozenset({"namespace", "pod", "run", "rank", "recipe"})
"""Labels that the PodMonitor sets."""


def metrics() -> dict[str, frozenset[str]]:
    """Every series by name, with its labels."""
    workers = {name: labels | TARGET for name, labels in _parsed(_WORKERS, "catdog_").items()}
    for name in _HISTOGRAMS:
        labels = workers.pop(name)
        workers |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
    listed = {name: labels | {"run", "run_namespace"} for name, labels in _parsed(_LISTED, "catdog_listed_").items()}
    return {**workers, **listed, **{name: labels | TARGET for name, labels in _OTHERS.items()}}


def _parsed(text: str, prefix: str) -> dict[str, frozenset[str]]:
    made = {}
    for word in text.split():
        name, _, labels = word.partition(":")
        made[prefix + name] = frozenset(labels.split(",")) - {""}
    return made


def used(query: str) -> list[tuple[str, str]]:
    """The metrics in a query, each with its matchers as text."""
    known = sorted([*metrics(), r"catdog_\w+", r"DCGM_\w+", r"kube_\w+"], key=len, reverse=True)
    return re.findall(rf"(?<![\w\"])({'|'.join(known)})\b(?!\")(?:{{([^}}]*)}})?", query)
