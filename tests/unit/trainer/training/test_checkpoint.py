"""Checkpoints as real files: their format, and what a save leaves however it ends."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.unit.trainer.training.snapshots import Recorder, contents, same, save, snapshot
from trainer.contract import MANIFEST
from trainer.exits import Exit, ExitError
from trainer.storage.base import Stat, Storage
from trainer.storage.errors import PreconditionFailed, StorageFailed
from trainer.storage.opening import open_storage
from trainer.training import checkpoint
from trainer.training.checkpoint import Unusable, decode, encode, newest, prune, read, step_name, sweep, touch, write


@given(
    arrays.arrays(
        st.sampled_from(list(checkpoint.DTYPES)),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    st.sampled_from(["plain", "fortran", "transposed", "every second", "backwards", "broadcast"]),
)
def test_any_array_comes_back_bit_for_bit(array: npt.NDArray[Any], layout: str) -> None:
    if array.ndim:
        array = {
            "plain": lambda: array,
            "fortran": lambda: np.asfortranarray(array),
            "transposed": lambda: array.T,
            "every second": lambda: np.repeat(array, 2, axis=0)[::2],
            "backwards": lambda: array[::-1],
            "broadcast": lambda: np.broadcast_to(array, (2, *array.shape)),
        }[layout]()
    back = decode(np.concatenate(encode({"a": array})).tobytes())["a"]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


def test_infinities_and_payloads_of_nan_survive() -> None:
    array = np.array([0x7FC00001, 0xFF800000, 0x80000000, 0x00000001], np.uint32).view(np.float32)
    assert decode(np.concatenate(encode({"a": array})).tobytes())["a"].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "data", [b"", b"x" * 100, b"\xff" * 16, np.concatenate(encode({"a": np.zeros(4)})).tobytes()[:-1]]
)
def test_what_is_not_safetensors_is_unusable(data: bytes) -> None:
    with pytest.raises(Unusable, match="not a safetensors file"):
        decode(data)


def test_a_snapshot_comes_back_bit_for_bit(storage: Storage) -> None:
    save(storage, 1234)
    assert same(read(storage, "step-000001234"), snapshot(1234))


def test_names_and_manifest_are_those_of_the_contract(storage: Storage, root: Path) -> None:
    save(storage, 7)
    names = sorted(path.name for path in (root / "step-000000007").iterdir())
    manifest = json.loads((root / "step-000000007/MANIFEST.json").read_text())
    assert manifest["step"] == 7
    (file,) = manifest["files"]
    assert names == ["MANIFEST.json", f"tensors-000000007-{file['crc32c']:08x}.safetensors"]
    assert file["size"] == (root / "step-000000007" / names[1]).stat().st_size
    assert set(safetensors.numpy.load_file(root / "step-000000007" / names[1])) == {
        *("weights/conv1/kernel", "weights/conv1/bias"),
        *("optimizer/iterations", "optimizer/velocity/conv1/kernel"),
    }


def test_the_manifest_comes_last(storage: Storage) -> None:
    written = Recorder(storage)
    write(written, "best", snapshot(3))
    assert written.names[-1] == f"best/{MANIFEST}"
    assert len(written.names) == 2


@pytest.mark.parametrize("fail_at", [0, 1])
def test_a_second_save_at_one_place_keeps_the_first_whole_until_its_manifest_is_there(
    storage: Storage, fail_at: int
) -> None:
    write(storage, "best", snapshot(3))
    failing = Recorder(storage, fail_at)
    with pytest.raises(StorageFailed):
        write(failing, "best", snapshot(3, seed=1))  # the same step: a file with the same name but for its content
    assert same(read(storage, "best"), snapshot(3))


def test_a_save_is_durable_before_what_it_replaced_is_deleted(storage: Storage) -> None:
    write(storage, "best", snapshot(3))
    recorder = Recorder(storage, fail_at=2)
    left = write(recorder, "best", snapshot(3, seed=1))
    assert same(read(storage, "best"), snapshot(3, seed=1))
    with pytest.raises(StorageFailed):
        sweep(recorder, left)
    assert same(read(storage, "best"), snapshot(3, seed=1))


def test_saving_again_leaves_only_the_new_file(storage: Storage, root: Path) -> None:
    write(storage, "best", snapshot(3))
    sweep(storage, write(storage, "best", snapshot(8)))
    assert same(read(storage, "best"), snapshot(8))
    assert len(contents(root)) == 2


def test_what_a_save_left_that_died_is_swept_by_the_next(storage: Storage, root: Path) -> None:
    with pytest.raises(StorageFailed):
        write(Recorder(storage, fail_at=1), "best", snapshot(3))
    assert len(contents(root)) == 1
    sweep(storage, write(storage, "best", snapshot(8)))
    assert same(read(storage, "best"), snapshot(8))
    assert len(contents(root)) == 2


def test_a_late_sweep_spares_what_another_writer_has_saved_since(storage: Storage) -> None:
    write(storage, "best", snapshot(3))
    left = write(storage, "best", snapshot(4))
    write(storage, "best", snapshot(3))  # the file of the same name again
    sweep(storage, left)
    assert same(read(storage, "best"), snapshot(3))


def test_saving_the_same_again_changes_nothing(storage: Storage, root: Path) -> None:
    write(storage, "best", snapshot(3))
    before = contents(root)
    sweep(storage, write(storage, "best", snapshot(3)))
    assert contents(root) == before


def test_other_folders_are_left_alone(storage: Storage) -> None:
    write(storage, "best", snapshot(3))
    write(storage, "best-of-all", snapshot(4))
    sweep(storage, write(storage, "best", snapshot(5)))
    assert same(read(storage, "best-of-all"), snapshot(4))


def test_of_two_that_save_at_one_place_one_fails_and_the_other_is_whole(storage: Storage) -> None:
    write(storage, "best", snapshot(3))

    class Slow(Recorder):
        def write(self, name: str, data: bytes | Path, *, if_generation: str | None = None) -> Stat:
            if name.endswith(MANIFEST):
                write(storage, "best", snapshot(5))  # another one was faster
            return super().write(name, data, if_generation=if_generation)

    with pytest.raises(PreconditionFailed):
        write(Slow(storage), "best", snapshot(4))
    assert same(read(storage, "best"), snapshot(5))


def test_folders_are_named_so_that_they_sort() -> None:
    assert step_name(1234) == "step-000001234"
    assert sorted(map(step_name, [10**8, 9, 10, 0])) == list(map(step_name, [0, 9, 10, 10**8]))


class Lossy(Recorder):
    """Stores something else than what is written, or nothing, to the names that end so."""

    def __init__(self, storage: Storage, ending: str, instead: bytes | None) -> None:
        super().__init__(storage)
        self._ending, self._instead = ending, instead

    def write(self, name: str, data: Any, *, if_generation: str | None = None) -> Stat:
        if not name.endswith(self._ending):
            return super().write(name, data, if_generation=if_generation)
        if self._instead is None:
            return Stat(name, 0, None, "1")
        return super().write(name, self._instead, if_generation=if_generation)


@pytest.mark.parametrize("ending", [MANIFEST, ".safetensors"])
@pytest.mark.parametrize("instead", [None, b"", b"something else"])
def test_a_save_that_is_not_there_afterwards_has_failed(storage: Storage, ending: str, instead: bytes | None) -> None:
    save(storage, 3)
    with pytest.raises(StorageFailed, match="what was saved is not there"):
        write(Lossy(storage, ending, instead), step_name(6), snapshot(6))
    found = newest(storage).snapshot
    assert found is not None
    assert found.state.step == 3


def test_a_save_of_the_same_size_with_another_checksum_has_failed(storage: Storage) -> None:
    class Wrong(Recorder):
        def stat(self, name: str) -> Stat | None:
            stat = storage.stat(name)
            return stat and dataclasses.replace(stat, crc32c=1)

    with pytest.raises(StorageFailed, match="another content"):
        write(Wrong(storage), step_name(6), snapshot(6))


def test_looking_again_costs_two_small_requests_and_pruning_none(storage: Storage) -> None:
    class Counting(Recorder):
        def __init__(self, storage: Storage) -> None:
            super().__init__(storage)
            self.asked: list[str] = []

        def stat(self, name: str) -> Stat | None:
            self.asked.append(name)
            return storage.stat(name)

        def read(self, name: str) -> bytes:
            self.asked.append(name)
            return storage.read(name)

    counting = Counting(storage)
    write(counting, step_name(6), snapshot(6))
    assert [name.rpartition(".")[2] for name in counting.asked] == ["safetensors", "json"]
    save(storage, 1, 2, 3)
    counting.asked.clear()
    prune(counting, 3, newest_step=6)
    assert counting.asked == []


def test_who_may_write_is_asked_between_the_listing_and_the_manifest(storage: Storage) -> None:
    """So that a save that was stopped there replaces nothing of a later attempt."""
    write(storage, "best", snapshot(3))

    def replaced() -> None:
        write(storage, "best", snapshot(5))

    with pytest.raises(PreconditionFailed):
        write(storage, "best", snapshot(4), confirm=replaced)
    assert same(read(storage, "best"), snapshot(5))

    def lost() -> None:
        raise ExitError(Exit.PEER_LOST, "taken over")

    with pytest.raises(ExitError, match="taken over"):
        write(storage, "best", snapshot(6), confirm=lost)
    assert same(read(storage, "best"), snapshot(5))


def test_what_was_touched_is_the_same_and_refuses_what_was_written_for_the_one_before(storage: Storage) -> None:
    touch(storage, "best", lambda: None)
    assert storage.stat(f"best/{MANIFEST}") is None
    write(storage, "best", snapshot(3))

    class Late(Recorder):
        def write(self, name: str, data: Any, *, if_generation: str | None = None) -> Stat:
            if name.endswith(MANIFEST):
                touch(storage, "best", lambda: None)
            return super().write(name, data, if_generation=if_generation)

    with pytest.raises(PreconditionFailed):
        write(Late(storage), "best", snapshot(4))
    assert same(read(storage, "best"), snapshot(3))


def test_a_frozen_file_that_has_gone_is_written_again(tmp_path: Path) -> None:
    run = open_storage(str(tmp_path / "run"))
    store, frozen = run.child("checkpoints"), {"frozen": {"stem/kernel": np.arange(8, dtype=np.float32)}}
    fixed = checkpoint.write_fixed(run, frozen)
    assert fixed is not None
    saved = dataclasses.replace(snapshot(3), groups={**snapshot(3).groups, **frozen})
    run.delete(fixed.name)
    write(store, step_name(3), saved, fixed, run)
    assert same(read(store, step_name(3), run), saved)


def test_keys_that_a_later_version_adds_to_a_manifest_are_ignored(storage: Storage, root: Path) -> None:
    save(storage, 9)
    path = root / step_name(9) / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["mood"] = manifest["state"]["mood"] = manifest["files"][0]["mood"] = "good"
    path.write_bytes(checkpoint.sealed(manifest))
    assert same(read(storage, step_name(9)), snapshot(9))
