"""Older checkpoints go, and only they."""

import dataclasses
from pathlib import Path

import pytest

from tests.unit.trainer.training.snapshots import Recorder, file_of, flip, same, save, snapshot
from trainer.contract import MANIFEST
from trainer.storage.base import Storage
from trainer.training.checkpoint import Unusable, prune, read, step_name, write


def steps(root: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in root.iterdir())


def test_pruning_keeps_the_newest(storage: Storage, root: Path) -> None:
    save(storage, 1, 2, 3, 4, 5)
    prune(storage, 2, newest_step=5)
    assert steps(root) == [4, 5]
    assert same(read(storage, step_name(4)), snapshot(4))


def test_pruning_does_not_count_what_was_never_completed(storage: Storage, root: Path) -> None:
    save(storage, 1, 2, 3, 4)
    (root / step_name(4) / MANIFEST).unlink()
    prune(storage, 2, newest_step=4)
    assert steps(root) == [2, 3, 4]


def test_pruning_leaves_later_steps_alone(storage: Storage, root: Path) -> None:
    save(storage, 1, 2, 3, 9)  # 9 is of a run that was longer before it was rolled back
    prune(storage, 1, newest_step=3)
    assert steps(root) == [3, 9]


def test_pruning_deletes_manifests_first(storage: Storage) -> None:
    save(storage, 1, 2, 3)
    recorder = Recorder(storage)
    prune(recorder, 1, newest_step=3)
    kinds = [name.endswith(MANIFEST) for name in recorder.deleted]
    assert kinds == [True, True, False, False]


def test_pruning_spares_what_another_writer_has_replaced(storage: Storage) -> None:
    save(storage, 1, 2)

    class Late(Recorder):
        def delete(self, name: str, *, if_generation: str | None = None) -> None:
            if not self.deleted:
                write(storage, step_name(1), dataclasses.replace(snapshot(1, seed=5)))
            super().delete(name, if_generation=if_generation)

    prune(Late(storage), 1, newest_step=2)
    assert same(read(storage, step_name(1)), snapshot(1, seed=5))


def test_before_only_one_is_left_it_is_read_whole(storage: Storage, root: Path) -> None:
    save(storage, 1, 2, 3)
    flip(file_of(root, 3), 8000)
    with pytest.raises(Unusable, match="CRC-32C differs"):
        prune(storage, 1, newest_step=3)
    assert steps(root) == [1, 2, 3]
    prune(storage, 2, newest_step=3)
    save(storage, 3)
    prune(storage, 1, newest_step=3)
    assert steps(root) == [3]


def test_a_manifest_that_comes_after_its_files_were_pruned_counts_for_nothing(storage: Storage, root: Path) -> None:
    save(storage, 1, 2, 3, 4)
    file_of(root, 2).unlink()
    prune(storage, 3, newest_step=4)
    assert steps(root) == [1, 3, 4]
