"""A worker that drifts, in real processes: the run ends with 70 and names it, saves nothing of it, and can go on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import drifting, runs
from trainer.config import RunConfig

pytestmark = pytest.mark.timeout(400)

GOOD, DRIFTS, NOTICED = 4, 5, 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures to train with: in batches of 8, 3 steps an epoch."""
    return runs.drawn(tmp_path_factory.mktemp("data") / "drawn", 12, 4, 4)


def small(data: Path, run: Path, **changes: Any) -> RunConfig:
    settings = {"image_size": 32, "batch_size": 8, "epochs": 2, "warmup_steps": 0, "checkpoint_every": 2, "ema": 0.9}
    return runs.config("demo", data, run, **{**settings, **changes})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"workers": 2}, "rank 0 (replica 0), rank 1 (replica 1) differ, and no bits are those of more than half of 2"),
        ({"workers": 3, "deterministic": True, "slices": 3}, "rank 1 (replica 1) differs from the other 2 of 3 in "),
    ],
    ids=["2 workers", "3 workers, exact"],
)
def test_a_drift_ends_the_run_and_is_not_saved(changes: dict[str, Any], named: str, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    one = {**changes, "workers": 1}
    runs.train(small(data, run, **one, steps=GOOD))
    before = drifting.saved(run)
    output = drifting.train(small(data, run, **changes), tmp_path, rank=1, replica=0, step=DRIFTS)
    assert f"catdog: the replicas have drifted apart by step {NOTICED}: {named}" in output
    assert drifting.saved(run) == before
    assert runs.last(run).state.step == GOOD
    state = json.loads((run / "state.json").read_text())
    assert (state["state"], state["exit_code"]) == ("failed", 70)
    assert named in state["reason"]
    runs.train(small(data, run, **(changes if changes["workers"] == 2 else one)))
    assert runs.last(run).state.step == NOTICED
