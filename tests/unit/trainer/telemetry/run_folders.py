"""Run folders to compare: a finished run, one that is running, and one of an old version that failed."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from trainer import contract
from trainer.config import RunConfig

Folder = dict[str, Any]
"""Contents of a run folder by file; metrics.jsonl as a list of its rows."""


def epochs(count: int, best: float) -> list[dict[str, Any]]:
    return [
        {
            "epoch": epoch,
            "step": 40 * epoch,
            "train": {"loss": 0.7 / epoch, "accuracy": 1 - 0.5 / epoch},
            "valid": {"loss": 0.5 / epoch, "accuracy": best - 0.1 / epoch},
            "learning_rate": 0.001,
            "examples_per_second": 100.0 + epoch,
            "seconds": 8.0,
        }
        for epoch in range(1, count + 1)
    ]


def record(**changes: Any) -> dict[str, Any]:
    config = dataclasses.replace(RunConfig(recipe="baseline", model="small", run="r"), **changes)
    return {
        "schema": 1,
        "config": {**dataclasses.asdict(config), "data": "gs://pictures/pets"},
        "fingerprint": "f" * 16,
        "data_fingerprint": "d" * 16,
        "versions": {"catdog": "0.2.0", "tensorflow": "2.21.0"},
        "revision": "b2c23672fe88",
        "threads": 2,
    }


def finished() -> Folder:
    return {
        contract.CONFIG: record(epochs=12, batch_size=64),
        contract.STATE: {"state": "succeeded", "step": 480, "total_steps": 480, "gpus": 2},
        contract.METRICS: epochs(12, 0.93),
        contract.SUMMARY: {
            "best_epoch": 12,
            "parameters": 79073,
            "valid": {"accuracy": 0.92, "accuracy_interval": [0.89, 0.945], "loss": 0.2},
            "test": {
                **{"accuracy": 0.91, "accuracy_interval": [0.878, 0.934], "loss": 0.25, "examples": 400},
                **{"balanced_accuracy": 0.905, "macro_f1": 0.907, "ece": 0.021},
            },
            "labels": ["cats", "dogs"],
            "data": {
                **{"uri": "gs://pictures/pets", "demo": False, "fingerprint": "d" * 16, "rejected": 3},
                "examples": {"train": 1600, "valid": 400, "test": 400},
            },
            **{"examples_per_second": 106.5, "goodput": 0.7, "wall_seconds": 4000.0, "epochs_run": 12, "steps": 480},
            **{"devices": ["GPU:0", "GPU:1"], "strategy": "mirrored", "workers": 1, "replicas": 2, "gpus": 2},
            "ledger": {
                "starting": 100.0,
                "step": 2500.0,
                "evaluation": 300.0,
                "lost": 100.0,
                "stopped": 400.0,
                "down": 0.0,
                "export": 0.04,
            },
            **{"lost_steps": 30, "attempts": [{"attempt": 1}, {"attempt": 2}]},
        },
    }


def running() -> Folder:
    return {
        contract.CONFIG: record(epochs=20, batch_size=64, learning_rate=0.01),
        contract.STATE: {
            **{"state": "running", "step": 200, "total_steps": 800, "workers": 2},
            "ledger": {
                "seconds": {"starting": 50.0, "step": 140.0, "evaluation": 10.0, "lost": 0.0},
                **{"lost_steps": 0, "until": 1.0, "attempts": [{"attempt": 1}]},
            },
        },
        contract.METRICS: epochs(5, 0.95),
    }


def old() -> Folder:
    config = record(epochs=12, batch_size=32)
    for later in ("calibrate", "clip_norm"):
        del config["config"][later]
    return {
        contract.CONFIG: {**config, "versions": {"catdog": "0.1.0"}, "revision": ""},
        contract.STATE: {"state": "failed", "reason": "the loss was nan", "step": 60},
        contract.METRICS: epochs(1, 0.6),
    }


def write(folder: Path, contents: Folder) -> Path:
    folder.mkdir(parents=True)
    for name, value in contents.items():
        lines = value if name == contract.METRICS else [value]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
