from pathlib import Path

import pytest

from k8s.actions.targets import Target, target
from tests.unit.k8s.actions.test_folders import write


def test_what_run_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "here", config={})
    assert target("first", "gs://m/runs/") == Target("first", "gs://m/runs/first")
    assert target("first", "") == Target("first", "")
    assert target("runs/first", "gs://m/runs") == Target("", "runs/first")
    assert target("gs://m/x", "gs://m/runs") == Target("", "gs://m/x")
    assert target("here", "gs://m/runs") == Target("", "here")
