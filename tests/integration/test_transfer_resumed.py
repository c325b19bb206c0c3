"""A pre-trained run that is killed in either phase, or stopped between them, ends with the bits of one that was not;
what it exports answers as the trainer does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import drifting, runs
from tests.transfer import HEAD, drawn, require_same, tuned
from trainer.data.decode import path_of, pixels
from trainer.folder import files
from trainer.storage.opening import open_storage
from trainer.training import export
from trainer.training.checkpoint import Snapshot

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("data") / "drawn")


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One device, uninterrupted."""
    run = tmp_path_factory.mktemp("reference") / "run"
    runs.train(tuned(data, run))
    return run


@pytest.fixture(scope="module")
def reference(finished: Path) -> Snapshot:
    return runs.last(finished)


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


ANSWERS = """
import json, sys
import keras, numpy as np, tensorflow as tf
pixels, *pictures = sys.argv[1:]
files = tf.constant([open(name, "rb").read() for name in pictures])
served = tf.saved_model.load("model/saved_model").signatures["serve_bytes"](files)["probabilities"]
kept = keras.models.load_model("model/model.keras")(np.load(pixels), training=False)
assert "trainer" not in sys.modules
print(json.dumps({"SavedModel": served.numpy().tolist(), "Keras": kept.numpy().tolist()}))
"""


def test_what_is_exported_gives_the_trainers_probabilities_in_a_process_without_catdog(
    data: Path, finished: Path, tmp_path: Path
) -> None:
    run, pictures = open_storage(str(finished)), sorted((data / "test").rglob("*.jpg"))[::5]
    record, labels = files.read_record(run), ("cats", "dogs")
    assert record is not None
    network = export.best_network(run, record.config, labels, export.recorded_temperature(run))
    given = np.stack([pixels(picture.read_bytes(), path_of(record.config)) for picture in pictures]).astype(np.float32)
    np.save(tmp_path / "pixels.npy", given)
    expected = network(given, training=False).numpy()
    assert expected.std() > 0.01

    words = [sys.executable, "-c", ANSWERS, str(tmp_path / "pixels.npy"), *map(str, pictures)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=finished, timeout=200)
    assert done.returncode == 0, done.stderr
    for name, answers in json.loads(done.stdout.splitlines()[-1]).items():
        np.testing.assert_allclose(np.array(answers), expected, atol=1e-5, err_msg=name)
