"""Which checkpoint is resumed from; each fault is made in the files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.trainer.training.snapshots import Recorder, contents, file_of, flip, same, save, snapshot
from trainer.contract import MANIFEST
from trainer.exits import Exit, ExitError
from trainer.storage.base import Storage
from trainer.storage.errors import StorageFailed
from trainer.training import checkpoint
from trainer.training.checkpoint import Unusable, newest, read, step_name, write


def delete_file(root: Path) -> None:
    file_of(root, 9).unlink()


def truncate_file(root: Path) -> None:
    path = file_of(root, 9)
    path.write_bytes(path.read_bytes()[:-1])


def empty_file(root: Path) -> None:
    file_of(root, 9).write_bytes(b"")


def flip_file(root: Path) -> None:
    path = file_of(root, 9)
    flip(path, path.stat().st_size * 8 - 5)


def swap_files(root: Path) -> None:
    one, other = file_of(root, 9), file_of(root, 3)
    one.rename(root / "aside")
    other.rename(one)
    (root / "aside").rename(other)


def file_of_another_step(root: Path) -> None:
    shutil.copy(file_of(root, 6), file_of(root, 9))


def truncate_manifest(root: Path) -> None:
    path = root / step_name(9) / MANIFEST
    path.write_bytes(path.read_bytes()[:-40])


def empty_manifest(root: Path) -> None:
    (root / step_name(9) / MANIFEST).write_bytes(b"")


def foreign_manifest(root: Path) -> None:
    (root / step_name(9) / MANIFEST).write_text("[1, 2]")


def manifest_of_another_step(root: Path) -> None:
    shutil.copy(root / step_name(6) / MANIFEST, root / step_name(9) / MANIFEST)


def folder_of_another_step(root: Path) -> None:
    shutil.rmtree(root / step_name(9))
    shutil.copytree(root / step_name(3), root / step_name(9))


def later_schema(root: Path) -> None:
    path = root / step_name(9) / MANIFEST
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 3'))


FAULTS = [
    *(delete_file, truncate_file, empty_file, flip_file, swap_files, file_of_another_step),
    *(truncate_manifest, empty_manifest, foreign_manifest, manifest_of_another_step, folder_of_another_step),
    later_schema,
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_taken(
    storage: Storage, root: Path, fault: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    save(storage, 3, 6, 9)
    fault(root)
    found = newest(storage)
    assert found.snapshot is not None
    assert same(found.snapshot, snapshot(6))
    assert found.refused == (step_name(9),)
    assert f"checkpoint {storage.uri}/step-000000009 refused: " in caplog.text


@pytest.mark.parametrize("fault", FAULTS)
def test_when_none_is_left_it_is_74_and_nothing_is_overwritten(
    storage: Storage, root: Path, fault: Callable[[Path], None]
) -> None:
    save(storage, 3, 6, 9)
    fault(root)
    flip_all = [file_of(root, 3), file_of(root, 6)]
    for path in flip_all:
        flip(path, 0)
    before = contents(root)
    with pytest.raises(ExitError, match="none of 3 checkpoints can be read") as caught:
        newest(storage)
    assert caught.value.code == Exit.STORAGE_FAILED
    assert "step-000000009" in caught.value.message
    assert contents(root) == before


def test_every_flipped_bit_of_a_manifest_is_noticed(storage: Storage) -> None:
    save(storage, 9)
    good = storage.read(f"{step_name(9)}/{MANIFEST}")
    original, unnoticed = json.loads(good), []

    class Flipped(Recorder):
        text = good

        def read(self, name: str) -> bytes:
            return self.text if name.endswith(MANIFEST) else storage.read(name)

    flipped = Flipped(storage)
    for bit in range(len(good) * 8):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        flipped.text = bytes(data)
        try:
            read(flipped, step_name(9))
        except Unusable:
            continue
        if json.loads(flipped.text) != original:  # in white space it does not matter
            unnoticed.append(bit)
    assert unnoticed == []


@pytest.mark.parametrize("name", ["../step-000000003/x", "/etc/passwd", "a\nb", ""])
def test_a_manifest_that_points_elsewhere_is_unusable(storage: Storage, root: Path, name: str) -> None:
    save(storage, 9)
    path = root / step_name(9) / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["files"][0]["name"] = name
    path.write_bytes(checkpoint.sealed(manifest))
    with pytest.raises(Unusable):
        read(storage, step_name(9))


def test_no_checkpoint_at_all_is_none(storage: Storage) -> None:
    assert newest(storage).snapshot is None


def test_a_folder_that_was_never_completed_is_passed_over(
    storage: Storage, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    save(storage, 9)
    (root / step_name(9) / MANIFEST).unlink()
    assert newest(storage).snapshot is None
    save(storage, 6)
    found = newest(storage).snapshot
    assert found is not None
    assert found.state.step == 6
    assert "step-000000009 was never completed; skipped" in caplog.text


@pytest.mark.parametrize("fail_at", [0, 1])
def test_a_save_that_fails_leaves_nothing_to_restore(storage: Storage, fail_at: int) -> None:
    save(storage, 6)
    with pytest.raises(StorageFailed):
        write(Recorder(storage, fail_at), step_name(9), snapshot(9))
    found = newest(storage).snapshot
    assert found is not None
    assert found.state.step == 6


def test_the_newest_is_by_step_not_by_time(storage: Storage) -> None:
    save(storage, 1000, 30, 9)
    found = newest(storage).snapshot
    assert found is not None
    assert found.state.step == 1000


def test_storage_that_is_away_is_not_taken_for_no_checkpoint(storage: Storage) -> None:
    save(storage, 3, 6)

    class Away(Recorder):
        def read(self, name: str) -> bytes:
            raise StorageFailed("gone away")

    with pytest.raises(StorageFailed):
        newest(Away(storage))
