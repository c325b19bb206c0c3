"""--deterministic: the article's augmented recipe ends with the same bits on any number of replicas and workers, and
across kills and resumes. Real processes, real strategies."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from trainer.config import RunConfig
from trainer.training.checkpoint import Snapshot

# 330 pictures in batches of 32: 11 steps an epoch, the last one of 10 pictures.
PER_CLASS, EPOCHS, STEPS = 165, 2, 22

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.drawn(tmp_path_factory.mktemp("data") / "drawn", PER_CLASS, 21, 20)


def exact(data: Path, run: Path, **changes: object) -> RunConfig:
    settings: dict[str, Any] = {"image_size": 96, "epochs": EPOCHS, "deterministic": True, "precision": "float32"}
    return runs.config("augmented", data, run, **{**settings, **changes})


@pytest.fixture(scope="module")
def reference(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """One device, uninterrupted."""
    run = tmp_path_factory.mktemp("reference") / "run"
    runs.train(exact(data, run))
    snapshot = runs.last(run)
    assert snapshot.state.step == STEPS
    return snapshot


@pytest.mark.parametrize(
    "changes", [{"devices": 2}, {"devices": 4}, {"workers": 2}], ids=["2 replicas", "4 replicas", "2 workers"]
)
def test_same_bits_on_any_number_of_replicas(
    changes: dict[str, int], data: Path, reference: Snapshot, tmp_path: Path
) -> None:
    runs.train(exact(data, tmp_path / "run", **changes))
    snapshot = runs.last(tmp_path / "run")
    assert runs.differing(snapshot, reference) == []
    assert runs.results(snapshot) == runs.results(reference)


def test_same_bits_with_class_weights_on_one_device_and_from_two_workers_on_to_four_devices(
    data: Path, tmp_path: Path
) -> None:
    """On small pictures, in 11 steps an epoch, the last one of 10 pictures."""
    small: dict[str, object] = {"model": "small", "image_size": 32, "class_weights": '{"cats": 0.4, "dogs": 2.5}'}
    runs.train(exact(data, tmp_path / "one", **small))
    runs.train(exact(data, tmp_path / "many", **small, workers=2, steps=5))
    runs.train(exact(data, tmp_path / "many", **small, devices=4))
    reference, many = runs.last(tmp_path / "one"), runs.last(tmp_path / "many")
    assert reference.state.step == STEPS
    assert runs.differing(many, reference) == []
    assert runs.results(many) == runs.results(reference)


def test_a_batch_size_above_the_number_of_pictures_is_that_number(data: Path, tmp_path: Path) -> None:
    small: dict[str, object] = {"model": "small", "image_size": 32}
    runs.train(exact(data, tmp_path / "all", **small, batch_size=2 * PER_CLASS))
    runs.train(exact(data, tmp_path / "more", **small, batch_size=8192, devices=2))
    every, more = runs.last(tmp_path / "all"), runs.last(tmp_path / "more")
    assert every.state.step == EPOCHS
    assert runs.differing(more, every) == []
    assert runs.results(more) == runs.results(every)


def test_another_seed_ends_elsewhere(data: Path, reference: Snapshot, tmp_path: Path) -> None:
    runs.train(exact(data, tmp_path / "run", seed=1, steps=2))
    assert runs.differing(runs.last(tmp_path / "run"), reference)


def test_killed_and_resumed_on_other_worker_counts_ends_with_the_same_bits(
    data: Path, reference: Snapshot, tmp_path: Path
) -> None:
    chance = random.Random(tmp_path.name)
    kills = sorted(chance.sample(range(4, STEPS - 1), 2))
    for workers, step in zip((1, 2), kills, strict=True):
        config = exact(data, tmp_path / "run", workers=workers, checkpoint_every=2, log_every=1, grace_period=5.0)
        with runs.started(config) as process:
            runs.await_step(process, step)
            runs.kill_all(process)
    runs.train(exact(data, tmp_path / "run", checkpoint_every=2))
    snapshot = runs.last(tmp_path / "run")
    assert runs.differing(snapshot, reference) == [], f"killed at {kills}"
    assert runs.results(snapshot) == runs.results(reference)
