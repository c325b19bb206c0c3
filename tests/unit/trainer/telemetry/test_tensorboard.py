from pathlib import Path

import pytest
import tensorflow as tf

from trainer.storage.opening import open_storage
from trainer.telemetry.tensorboard import TensorBoard
from trainer.training.state import LoopState


def row(epoch: int) -> dict[str, object]:
    return {
        "epoch": epoch,
        "step": 63 * epoch,
        "train": {"loss": 1 / epoch, "accuracy": 0.5},
        "valid": {"loss": 2 / epoch, "accuracy": 0.25},
        "learning_rate": 0.001,
        "examples_per_second": 60.0,
        "seconds": 3.0,
    }


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    (path,) = folder.iterdir()
    found = {}
    for record in tf.data.TFRecordDataset([str(path)]):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_epochs_are_copied_to_the_run_folder_and_the_local_copy_goes(tmp_path: Path) -> None:
    board = TensorBoard(open_storage(str(tmp_path / "run")), lambda kind, job: job())
    for last in (1, 2):
        board.epoch(LoopState(history=tuple(row(epoch) for epoch in range(1, last + 1))))
    found = scalars(tmp_path / "run" / "tensorboard")
    assert {tag for tag, _ in found} == {
        *("loss/train", "loss/valid", "accuracy/train", "accuracy/valid", "learning_rate", "examples_per_second")
    }
    assert found["loss/valid", 1] == 2.0
    assert found["loss/train", 2] == 0.5
    assert found["learning_rate", 2] == pytest.approx(0.001)
    local = Path(board._folder.name)
    board.close()
    assert not local.exists()
    assert scalars(tmp_path / "run" / "tensorboard") == found
