"""A real MLflow server shows what the run folder has, whether it is there all the time or not."""

import dataclasses
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests import runs
from tests.mlflow_server import mlflow_server
from tests.servers import free_port
from trainer.config import RunConfig
from trainer.contract import METRICS, REPORT, SUMMARY, TRACKING
from trainer.telemetry.mlflow_session import connect

EXPERIMENT = "pets"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.drawn(tmp_path_factory.mktemp("data") / "data", 40, 10, 10)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server"), free_port()) as url:
        yield url


def asked(data: Path, run: Path, url: str, epochs: int) -> RunConfig:
    return runs.config(
        "baseline", data, run, model="small", image_size=32, batch_size=8, epochs=epochs, log_every=1,
        cache_dir=str(run.parent / "cache"), track=f"mlflow:{url}#{EXPERIMENT}",
    )  # fmt: skip


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / METRICS).read_text().splitlines()]


def latest(client: MlflowClient, run_id: str, name: str) -> dict[int, float]:
    """Of each step, the value that was sent last."""
    return {one.step: one.value for one in sorted(client.get_metric_history(run_id, name), key=lambda m: m.timestamp)}


def await_mlflow(process: "subprocess.Popen[str]") -> str:
    """Wait until the MLflow run has begun, which it does in the background; what was printed meanwhile."""
    end, printed = time.monotonic() + runs.LIMIT, ""
    while "mlflow: this is run" not in printed:
        assert time.monotonic() < end, "there is no MLflow run"
        printed += runs.await_step(process, 0)
    return printed


def agree(client: MlflowClient, run: Path) -> str:
    """Check the numbers of each epoch in MLflow against metrics.jsonl; the MLflow run's id."""
    run_id = str(json.loads((run / TRACKING).read_text())["run_id"])
    for split in ("train", "valid"):
        for name in ("loss", "accuracy"):
            expected = {row["step"]: row[split][name] for row in rows(run)}
            assert latest(client, run_id, f"{name}/{split}") == expected
    assert latest(client, run_id, "epoch") == {row["step"]: row["epoch"] for row in rows(run)}
    return run_id


def runs_of(client: MlflowClient, run: Path) -> list[str]:
    """The MLflow runs that there are of a run folder."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return [one.info.run_id for one in found if one.data.tags["catdog.run"].endswith(str(run))]


def test_a_run_is_there_with_options_numbers_results_and_model(tmp_path: Path, data: Path, url: str) -> None:
    run, client = tmp_path / "whole", connect(url)
    printed = runs.train(asked(data, run, url, 3))
    run_id = agree(client, run)
    assert f"mlflow: this is run {run_id} of experiment {EXPERIMENT}" in printed
    shown = client.get_run(run_id)
    assert shown.info.run_name == "whole"
    assert shown.info.status == "FINISHED"
    assert {name: shown.data.params[name] for name in ("batch_size", "model", "run")} == {
        "batch_size": "8", "model": "small", "run": str(run),
    }  # fmt: skip
    summary = json.loads((run / SUMMARY).read_text())
    assert shown.data.params["data_fingerprint"] == summary["data"]["fingerprint"]
    assert shown.data.metrics["accuracy/test"] == summary["test"]["accuracy"]
    for name in (REPORT, SUMMARY, "model/model.keras", "model/saved_model/saved_model.pb", "figures/confusion.png"):
        assert Path(client.download_artifacts(run_id, name, str(tmp_path))).read_bytes() == (run / name).read_bytes()


def test_a_run_that_was_killed_goes_on_in_the_same_mlflow_run(tmp_path: Path, data: Path, url: str) -> None:
    run, client = tmp_path / "killed", connect(url)
    first = asked(data, run, url, 1000)
    with runs.started(first) as process:
        await_mlflow(process)
        runs.await_checkpoint(run)
        runs.kill_all(process)
    run_id = str(json.loads((run / TRACKING).read_text())["run_id"])
    assert client.get_run(run_id).info.status == "RUNNING"
    sent = max(latest(client, run_id, "epoch").values(), default=0)  # some of it is lost, and done again
    epochs = max(runs.durable_step(run) // 10, int(sent)) + 3
    runs.train(dataclasses.replace(first, epochs=epochs))
    assert agree(client, run) == run_id
    assert runs_of(client, run) == [run_id]
    shown = client.get_run(run_id)
    assert shown.info.status == "FINISHED"
    assert shown.data.params["epochs"] == "1000"
    assert shown.data.tags["resumed.epochs"] == str(epochs)


def test_a_run_that_is_cancelled_is_killed_in_mlflow(tmp_path: Path, data: Path, url: str) -> None:
    run, client = tmp_path / "cancelled", connect(url)
    with runs.started(asked(data, run, url, 1000)) as process:
        await_mlflow(process)
        process.send_signal(2)
        runs.finish(process, 130)
    assert client.get_run(str(json.loads((run / TRACKING).read_text())["run_id"])).info.status == "KILLED"


def test_a_server_that_comes_late_gets_what_it_missed(tmp_path: Path, data: Path) -> None:
    run, folder, port = tmp_path / "late", tmp_path / "server", free_port()
    url, over = f"http://127.0.0.1:{port}", threading.Event()

    def serve() -> None:
        with mlflow_server(folder, port):
            over.wait(runs.LIMIT)

    server = threading.Thread(target=serve)
    with runs.started(asked(data, run, url, 1000)) as process:
        printed = runs.await_step(process, 100)  # with no server, epochs pass
        server.start()
        printed += await_mlflow(process)
        process.send_signal(2)
        printed += runs.finish(process, 130)
    try:
        assert printed.count("training goes on, and it is tried again") == 1
        run_id = str(json.loads((run / TRACKING).read_text())["run_id"])
        expected = {row["step"]: row["valid"]["loss"] for row in rows(run)}
        assert len(expected) > 10
        assert latest(connect(url), run_id, "loss/valid") == expected
    finally:
        over.set()
        server.join(60)


def test_without_a_server_the_run_ends_as_it_would_and_soon(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "alone"
    url = f"http://127.0.0.1:{free_port()}"
    with runs.started(asked(data, run, url, 1000)) as process:
        runs.await_step(process, 25)
        process.send_signal(15)
        began = time.monotonic()
        printed = runs.finish(process, 143)
        assert time.monotonic() - began < 25
    assert "mlflow: the run's end did not get to the server in time" in printed
    assert len(rows(run)) >= 2
