"""A pre-trained network ends with the same bits on one device and on four, whether its features are there or not. Real
processes, real strategies. Two workers, and kills, are in tests/integration/test_transfer_resumed.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from tests.transfer import STEPS, drawn, require_same, tuned
from trainer.training.checkpoint import Snapshot

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("data") / "drawn")


@pytest.fixture(scope="module")
def reference(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """One device, uninterrupted."""
    run = tmp_path_factory.mktemp("reference") / "run"
    runs.train(tuned(data, run))
    snapshot = runs.last(run)
    assert snapshot.state.step == STEPS
    return snapshot


def test_same_bits_on_four_replicas(data: Path, reference: Snapshot, tmp_path: Path) -> None:
    runs.train(tuned(data, tmp_path / "run", devices=4))
    require_same(tmp_path / "run", reference)


def test_features_are_computed_once_and_forgotten_with_the_run(data: Path, tmp_path: Path) -> None:
    """By two workers together; the cache serves the next run, in fast mode too."""
    frozen: dict[str, Any] = {"unfreeze": "", "rotation": 0.0, "ema": 0.0, "cache_dir": str(tmp_path / "cache")}
    runs.train(tuned(data, tmp_path / "first", workers=2, **frozen))
    assert not list((tmp_path / "first" / "features").rglob("*.safetensors"))
    again = runs.train(tuned(data, tmp_path / "again", **{**frozen, "deterministic": False}))
    assert "were there already" in again
    first, second = (json.loads((tmp_path / name / "features.json").read_text()) for name in ("first", "again"))
    assert first == second
