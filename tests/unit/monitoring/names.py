"""The metrics that dashboards and alerts may use."""

import re

from trainer.telemetry.metric_table import METRICS, Kind

_LISTED = """
run_state:state step total_steps updated_timestamp_seconds exit_code goodput_ratio accuracy:split
gpu_hours cpu_hours cost
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
    workers: dict[str, frozenset[str]] = {}
    for name, metric in METRICS.items():
        labels = frozenset(metric.labels) | TARGET
        if metric.kind == Kind.HISTOGRAM:
            workers |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
        else:
            workers[name] = labels
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
