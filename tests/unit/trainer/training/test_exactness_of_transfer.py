"""A pre-trained network ends with the same bits on any number of replicas and workers, killed in either phase, whether
its features are there or not. Real processes, real strategies; small pictures, so that it takes seconds."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from trainer.config import RunConfig
from trainer.training.checkpoint import Snapshot

# 130 pictures, mirrored 260 rows: in batches of 32, 9 steps an epoch on features, then 5 on pictures, the last short.
PER_CLASS, HEAD, STEPS = 65, 18, 28

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.drawn(tmp_path_factory.mktemp("data") / "drawn", PER_CLASS, 21, 20)


def tuned(data: Path, run: Path, **changes: object) -> RunConfig:
    settings: dict[str, Any] = {
        "deterministic": True,
        "image_size": 48,
        "flip": True,
        "rotation": 0.05,
        "epochs": 4,
        "head_epochs": 2,
        "unfreeze": "block15",
        "tune_warmup_steps": 3,
        "tune_learning_rate": 1e-3,
        "dropout": 0.2,
        "label_smoothing": 0.1,
        "ema": 0.9,
        "cache_dir": str(run.parent / f"{run.name}-cache"),
    }
    return runs.config("transfer", data, run, **{**settings, **changes})


@pytest.fixture(scope="module")
def reference(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """One device, uninterrupted."""
    run = tmp_path_factory.mktemp("reference") / "run"
    runs.train(tuned(data, run))
    snapshot = runs.last(run)
    assert snapshot.state.step == STEPS
    return snapshot


def require_same(run: Path, reference: Snapshot) -> None:
    snapshot = runs.last(run)
    assert runs.differing(snapshot, reference) == []
    assert runs.results(snapshot) == runs.results(reference)


@pytest.mark.parametrize("changes", [{"devices": 4}, {"workers": 2}], ids=["4 replicas", "2 workers"])
def test_same_bits_on_any_number_of_replicas(
    changes: dict[str, int], data: Path, reference: Snapshot, tmp_path: Path
) -> None:
    runs.train(tuned(data, tmp_path / "run", **changes))
    require_same(tmp_path / "run", reference)


def test_killed_in_either_phase_and_resumed_on_other_worker_counts(
    data: Path, reference: Snapshot, tmp_path: Path
) -> None:
    for workers, step in ((2, HEAD - 5), (1, HEAD + 4)):
        config = tuned(data, tmp_path / "run", workers=workers, checkpoint_every=2, log_every=1, grace_period=5.0)
        with runs.started(config) as process:
            runs.await_step(process, step)
            runs.await_checkpoint(tmp_path / "run")
            runs.kill_all(process)
    runs.train(tuned(data, tmp_path / "run", workers=2))
    require_same(tmp_path / "run", reference)


def test_stopped_where_one_phase_ends_and_resumed(data: Path, reference: Snapshot, tmp_path: Path) -> None:
    runs.train(tuned(data, tmp_path / "run", steps=HEAD))
    runs.train(tuned(data, tmp_path / "run", devices=2))
    require_same(tmp_path / "run", reference)


def test_features_are_computed_once_and_forgotten_with_the_run(data: Path, tmp_path: Path) -> None:
    """By two workers together; the cache serves the next run, in fast mode too."""
    frozen: dict[str, Any] = {"unfreeze": "", "ema": 0.0, "cache_dir": str(tmp_path / "cache")}
    runs.train(tuned(data, tmp_path / "first", workers=2, **frozen))
    assert not list((tmp_path / "first" / "features").rglob("*.safetensors"))
    again = runs.train(tuned(data, tmp_path / "again", **{**frozen, "deterministic": False}))
    assert "were there already" in again
    first, second = (json.loads((tmp_path / name / "features.json").read_text()) for name in ("first", "again"))
    assert first == second
    other = runs.train(tuned(data, tmp_path / "other", **{**frozen, "image_size": 40}))
    assert "were there already" not in other


def test_a_run_whose_features_have_other_bits_is_refused(data: Path, tmp_path: Path) -> None:
    frozen: dict[str, Any] = {"unfreeze": "", "ema": 0.0}
    runs.train(tuned(data, tmp_path / "run", steps=3, **frozen))
    path = tmp_path / "run" / "features.json"
    record = json.loads(path.read_text())
    record["sha256"]["valid"] = "0" * 64
    record["facts"]["tensorflow"] = "1.0"
    path.write_text(json.dumps(record))
    said = runs.train(tuned(data, tmp_path / "run", **frozen), code=73)
    assert "other bits than when it began (tensorflow was 1.0, is 2." in said
