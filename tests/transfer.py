"""A small pre-trained run with both phases and everything random on, for tests of exactness."""

from pathlib import Path
from typing import Any

from tests import runs
from trainer.config import RunConfig
from trainer.training.checkpoint import Snapshot

# 130 pictures, mirrored 260 rows: in batches of 32, 9 steps an epoch on features, then 5 on pictures, the last short.
PER_CLASS, HEAD, STEPS = 65, 18, 28


def drawn(folder: Path) -> Path:
    return runs.drawn(folder, PER_CLASS, 21, 20)


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


def require_same(run: Path, reference: Snapshot) -> None:
    snapshot = runs.last(run)
    assert runs.differing(snapshot, reference) == []
    assert runs.results(snapshot) == runs.results(reference)
