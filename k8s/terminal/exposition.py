"""Runs in the text format of Prometheus, for what scrapes files or takes pushes: `catdog_listed_*`.

The only importer of prometheus_client in k8s, for its format. The trainer serves metrics of its own; these are for what
they cannot tell: runs that wait, and what ended before it was scraped.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from k8s.explain.observation import instant
from k8s.explain.phase import Phase
from trainer.words import in_a_line

Row = Mapping[str, Any]
_RUN = ("run_namespace", "run")


def exposition(rows: Iterable[Row], summaries: Mapping[str, Row], namespace: str) -> str:
    """The metrics of runs: rows of `show.row`, summary.json by run folder, the namespace that was listed.

    Of two runs with one name, the first counts. What is not known of a run is left out.
    """
    metrics = _Metrics()
    seen: set[str] = set()
    for row in rows:
        if (name := in_a_line(str(row["name"]))) not in seen:
            seen.add(name)
            metrics.add(row, summaries.get(row["run"], {}), {"run_namespace": namespace, "run": name})
    return generate_latest(metrics.registry).decode()


class _Metrics:
    """The metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._state = self._gauge("run_state", "1 for the phase that the run is in, 0 for the others.", "state")
        self._numbers = {
            "step": self._gauge("step", "Steps completed."),
            "total_steps": self._gauge("total_steps", "Steps of the whole run."),
            "exit_code": self._gauge("exit_code", "Exit code of the run, once it has ended."),
            "goodput": self._gauge("goodput_ratio", "Share of the wall time spent on steps and validation that count."),
        }
        self._updated = self._gauge("updated_timestamp_seconds", "When the run last wrote its state, Unix time.")
        self._accuracy = self._gauge("accuracy", "Accuracy of the run's result, 0 to 1.", "split")
        self._hours = {
            unit: self._gauge(f"{unit.lower()}_hours", f"{unit}-hours that the run has had its pods for.")
            for unit in ("GPU", "CPU")
        }
        self._cost = self._gauge("cost", "Price of these hours, in the platform's currency; absent without prices.")

    def add(self, row: Row, summary: Row, run: Mapping[str, str]) -> None:
        """Add one run."""
        for phase in Phase:
            self._state.labels(**run, state=str(phase)).set(row["phase"] == phase)
        for name, gauge in self._numbers.items():
            _set(gauge, run, row[name])
        if (updated := instant(row["updated"])) is not None:
            self._updated.labels(**run).set(updated.timestamp())
        for split in ("test", "valid"):
            result = summary.get(split)
            _set(
                self._accuracy, {**run, "split": split}, result.get("accuracy") if isinstance(result, Mapping) else None
            )
        if (cost := row["cost"]) is not None:
            _set(self._hours[cost["unit"]], run, cost["hours"]["so_far"])
            _set(self._cost, run, cost["amount"]["so_far"])

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"catdog_listed_{name}", text, (*_RUN, *labels), registry=self.registry)


def _set(gauge: Gauge, labels: Mapping[str, str], value: Any) -> None:
    """Set it to a number that a float holds; anything else is unknown."""
    if type(value) in (int, float) and abs(value) < 1e300:
        gauge.labels(**labels).set(value)
