"""A pre-trained run that is killed in either phase, or stopped between them, ends with the bits of one that was not."""

from pathlib import Path

import pytest

from tests import drifting, runs
from tests.transfer import HEAD, drawn, require_same, tuned
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
    return runs.last(run)


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


def test_a_replica_that_drifts_while_the_network_is_tuned_is_found_before_validation(
    data: Path, tmp_path: Path
) -> None:
    """The moving average is validated in place of the weights, which puts equal weights back on every device."""
    run = tmp_path / "run"
    runs.train(tuned(data, run, devices=4, steps=HEAD))
    before = drifting.saved(run)
    output = drifting.train(tuned(data, run, devices=4), tmp_path, rank=0, replica=3, step=HEAD + 2)
    assert f"by step {HEAD + 5}: rank 0 (replica 3) differs from the other 3 of 4 in weights/" in output
    assert drifting.saved(run) == before
