"""Snapshots and their checkpoints in a folder, as the tests of checkpoints make, look at and spoil them."""

from pathlib import Path
from typing import Any

import numpy as np

from trainer.ledger import Attempt, Ledger
from trainer.storage.base import Stat, Storage
from trainer.storage.errors import StorageFailed
from trainer.training.checkpoint import Snapshot, step_name, write
from trainer.training.state import Best, LoopState, Sums

SPENT = Ledger((Attempt(1, {"step": 60.0}),), 1e9)


def snapshot(step: int, seed: int = 0) -> Snapshot:
    random = np.random.default_rng([step, seed])
    row = {"epoch": 1, "step": 4, "train": {"loss": 0.5, "accuracy": 0.75}, "valid": {"loss": 0.5, "accuracy": 0.8}}
    state = LoopState(step, Sums(1.5, 2, 3, 4, 5), (row,), Best(1, 4, 0.8, 0.5), 2, SPENT, 1e9, 0)
    weights = {"conv1/kernel": random.normal(size=(3, 3, 2, 4)).astype(np.float32), "conv1/bias": np.zeros(4, "f4")}
    optimizer = {"iterations": np.array(step, np.int64), "velocity/conv1/kernel": random.normal(size=(3, 3, 2, 4))}
    return Snapshot(state, {"weights": weights, "optimizer": optimizer})


def same(one: Snapshot, other: Snapshot) -> bool:
    def bits(made: Snapshot) -> dict[str, tuple[Any, ...]]:
        return {
            f"{group}/{name}": (array.dtype, array.shape, array.tobytes())
            for group, tensors in made.groups.items()
            for name, array in tensors.items()
        }

    return one.state == other.state and bits(one) == bits(other)


def save(storage: Storage, *steps: int) -> None:
    for step in steps:
        write(storage, step_name(step), snapshot(step))


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


def file_of(root: Path, step: int) -> Path:
    (path,) = (root / step_name(step)).glob("*.safetensors")
    return path


class Recorder:
    """A storage that notes what is written and deleted, and fails when it is told to."""

    def __init__(self, storage: Storage, fail_at: int = 10**9) -> None:
        self.names: list[str] = []
        self.deleted: list[str] = []
        self._storage, self._left = storage, fail_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise StorageFailed("gone away")

    def write(self, name: str, data: bytes | Path, *, if_generation: str | None = None) -> Stat:
        self._count()
        self.names.append(name)
        return self._storage.write(name, data, if_generation=if_generation)

    def delete(self, name: str, *, if_generation: str | None = None) -> None:
        self._count()
        self.deleted.append(name)
        self._storage.delete(name, if_generation=if_generation)
