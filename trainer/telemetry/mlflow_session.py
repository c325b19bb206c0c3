"""One run in MLflow: parameters, the numbers of each epoch, results and the model. The only importer of mlflow."""

import dataclasses
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

# Before the import, which reads some: nothing is said to anyone else, and a server that is away is soon given up.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from trainer import contract
from trainer.exits import ExitError
from trainer.fingerprint import fingerprint
from trainer.folder import files
from trainer.folder.attempt import Attempt
from trainer.folder.files import Record
from trainer.process import temporary
from trainer.storage.base import Storage
from trainer.telemetry.writers import scalars
from trainer.track import Tracked

log = logging.getLogger(__name__)

T = TypeVar("T")

RESULTS = (contract.CONFIG, contract.METRICS, contract.SUMMARY, contract.REPORT, contract.MODEL + "/", "figures/")
"""Files and folders of the run folder that MLflow gets as artefacts."""
MOST_PARAMETERS, MOST_METRICS, LONGEST = 100, 1000, 5000  # in one request of MLflow's REST API; characters of a value
_MARK = "loss/valid"
"""Of the numbers of an epoch, the one by which it is known whether the server has them."""


class Session:
    """The MLflow run on its server. Used by one thread."""

    def __init__(self, where: Tracked, record: Record, attempt: Attempt) -> None:
        self._where, self._record, self._attempt = where, record, attempt
        self._client: MlflowClient | None = None
        self._run_id = ""
        self._has: dict[int, float] = {}  # by step, what the server has of _MARK
        self._sent: set[str] = set()

    def bring_about(self, history: Sequence[Mapping[str, Any]], status: str | None, with_results: bool) -> None:
        """Send what the server lacks of the history, and at the end the results and the status.

        Raises whatever goes wrong; a later call goes on from there.
        """
        client = self._open()
        missing = [row for row in history if self._has.get(row["step"]) != float(row["valid"]["loss"])]
        for rows in in_parts(missing, MOST_METRICS // 16):
            self._log_rows(client, rows)
            self._has.update({row["step"]: float(row["valid"]["loss"]) for row in rows})
        if with_results:
            self._log_results(client, self._attempt.run)
        if status is not None:
            client.set_terminated(self._run_id, status)

    def _open(self) -> MlflowClient:
        if self._client is not None:
            return self._client
        client = connect(self._where.server)
        if not self._run_id:
            self._run_id = self._recorded(client)
        if self._run_id:
            client.update_run(self._run_id, status="RUNNING")
            self._has = {one.step: one.value for one in client.get_metric_history(self._run_id, _MARK)}
        else:
            self._run_id = self._create(client)
        self._log_parameters(client)
        self._client = client
        log.info("mlflow: this is run %s of experiment %s", self._run_id, self._where.experiment)
        return client

    def _recorded(self, client: MlflowClient) -> str:
        """The MLflow run with which an earlier attempt began, if the server still has it; else empty."""
        known = files.read_object(self._attempt.run, contract.TRACKING)
        if known is None or known.get("server") != self._where.server:
            return ""
        try:
            found = client.get_run(str(known.get("run_id", "")))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return ""
            raise
        return str(found.info.run_id) if found.info.lifecycle_stage == "active" else ""

    def _create(self, client: MlflowClient) -> str:
        experiment = client.get_experiment_by_name(self._where.experiment)
        made = client.create_experiment(self._where.experiment) if experiment is None else experiment.experiment_id
        uri = self._attempt.run.uri
        tags = {"catdog.run": uri, "catdog.revision": self._record.revision} | {
            f"catdog.version.{name}": version for name, version in self._record.versions.items()
        }
        run_id = str(client.create_run(made, run_name=PurePosixPath(uri).name, tags=tags).info.run_id)
        try:
            files.write_json(self._attempt, contract.TRACKING, {"server": self._where.server, "run_id": run_id})
        except ExitError:
            client.delete_run(run_id)  # the next try makes another
            raise
        return run_id

    def _log_parameters(self, client: MlflowClient) -> None:
        """Parameters never change in MLflow: what a later attempt was given otherwise becomes a tag."""

        before = client.get_run(self._run_id).data.params
        ours = parameters(self._record)
        new = [Param(name, value) for name, value in ours.items() if name not in before]
        for some in in_parts(new, MOST_PARAMETERS):
            client.log_batch(self._run_id, params=some)
        changed = [RunTag(f"resumed.{name}", ours[name]) for name in ours if before.get(name, ours[name]) != ours[name]]
        for tags in in_parts(changed, MOST_PARAMETERS):
            client.log_batch(self._run_id, tags=tags)

    def _log_rows(self, client: MlflowClient, rows: Sequence[Mapping[str, Any]]) -> None:
        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, row["step"]) for row in rows for name, value in numbers(row)]
        client.log_batch(self._run_id, metrics=metrics)

    def _log_results(self, client: MlflowClient, run: Storage) -> None:
        summary = files.read_object(run, contract.SUMMARY) or {}
        now = int(1000 * time.time())
        scored = [Metric(name, value, now, summary.get("steps", 0)) for name, value in results(summary).items()]
        client.log_batch(self._run_id, metrics=scored)
        with temporary.folder("catdog-mlflow-") as folder:
            for name in [found.name for prefix in RESULTS for found in run.list(prefix)]:
                if name not in self._sent:
                    path = folder / Path(name).name
                    path.write_bytes(run.read(name))
                    parent = str(PurePosixPath(name).parent)
                    client.log_artifact(self._run_id, str(path), None if parent == "." else parent)
                    path.unlink()
                    self._sent.add(name)


def in_parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in their order, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def parameters(record: Record) -> dict[str, str]:
    """What MLflow shows as parameters: every option, and the fingerprints of configuration and data."""
    options = {name: value for name, value in dataclasses.asdict(record.config).items() if name != "track"}
    facts = {**options, "fingerprint": fingerprint(record.config), "data_fingerprint": record.data_fingerprint}
    return {name: str(value)[:LONGEST] for name, value in facts.items()}


def numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of an epoch, as TensorBoard has them, and which epoch it is, since MLflow goes by steps."""
    yield "epoch", float(row["epoch"])
    yield from scalars(row)


def results(summary: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of summary.json that runs are compared by."""
    test = summary.get("test") or {}
    found = {
        "best_accuracy/valid": (summary.get("valid") or {}).get("accuracy"),
        "best_loss/valid": (summary.get("valid") or {}).get("loss"),
        "accuracy/test": test.get("accuracy"),
        "loss/test": test.get("loss"),
        "goodput": summary.get("goodput"),
        "wall_seconds": summary.get("wall_seconds"),
    }
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def connect(server: str) -> MlflowClient:
    """A client that gives up soon, says nothing to anyone else, and reads credentials from MLflow's own variables."""
    return MlflowClient(tracking_uri=server)
