"""A run in a bucket is compared with one on this machine."""

import json
from pathlib import Path

import pytest

from tests.unit.trainer.telemetry import run_folders
from trainer.compare import compare
from trainer.contract import METRICS
from trainer.requests import CompareRequest
from trainer.storage.opening import open_storage


def test_a_run_in_a_bucket_is_compared_with_one_here(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = run_folders.write(tmp_path / "here", run_folders.finished()), f"{bucket}/runs/there"
    for file in run_folders.write(tmp_path / "there", run_folders.running()).iterdir():
        open_storage(there).write(file.name, file.read_bytes())
    open_storage(there).write(METRICS, b"{")
    compare(CompareRequest((str(here), there), "json"))
    output = capsys.readouterr()
    answer = json.loads(output.out)
    assert [run["uri"] for run in answer["runs"]] == [str(here), there]
    assert {row["name"]: row["values"] for row in answer["results"]}["steps"] == [480, 200]
    assert output.err.startswith(f"{there}/{METRICS} is damaged (")
