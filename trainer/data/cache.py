"""Pixels of pictures that are decoded together: uint8, in memory within a budget, else in an unlinked file on disk."""

import os
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.data.decode import PixelPath, Pixels, pixels, too_large
from trainer.data.examples import Example, Examples, Rejected
from trainer.data.limits import LARGEST_PICTURE
from trainer.data.order import PADDING, Ids
from trainer.data.pipeline import GetRows
from trainer.data.reading import Read
from trainer.process import temporary
from trainer.words import mebibytes


@dataclass(frozen=True)
class PixelCache:
    """Decoded pictures of a split: uint8 [n, size, size, 3], labels int32 [n], usable bool [n]."""

    pixels: Pixels
    labels: npt.NDArray[np.int32]
    usable: npt.NDArray[np.bool_]
    rejected: tuple[Rejected, ...]
    on_disk: bool

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ahead(self) -> int:
        """Batches worth making at once."""
        return 1

    @property
    def pictures(self) -> int:
        """How many the split has."""
        return len(self.labels)

    def expecting(self, ids: Ids, pieces: Ids | None) -> nullcontext[GetRows]:
        """Nothing is gained by knowing what will be asked for."""
        return nullcontext(self.rows)

    def rows(self, ids: Ids) -> tuple[Pixels, npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Pixels, labels and weights for ids; PADDING and rejected pictures are zeros with weight 0."""
        return rows_of(self.pixels, self.labels, self.usable, ids)


def rows_of(
    inputs: npt.NDArray[Any], labels: npt.NDArray[np.int32], usable: npt.NDArray[np.bool_], ids: Ids
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Inputs, labels and weights for ids; PADDING and what is not usable are zeros with weight 0."""
    here = ids != PADDING
    safe = np.where(here, ids, 0)
    weights = (here & usable[safe]).astype(np.float32)
    rows = inputs[safe]
    rows[weights == 0] = 0
    return rows, np.where(here, labels[safe], 0).astype(np.int32), weights


def fill(
    examples: Sequence[Example], read: Read, path: PixelPath, budget: int, folder: Path | None, threads: int
) -> PixelCache:
    """Decode every picture once, as its bytes arrive.

    Args:
        examples: the split, in order of id.
        read: yields the bytes of the examples, in any order; at most 4 · `threads` wait to be decoded.
        path: from bytes to pixels.
        budget: bytes of memory to use at most; more goes to a file in `folder` (default: the temporary folder).
        threads: pictures to decode in parallel.

    Raises:
        ExitError: 74 when the disk is full; and what `read` raises.
    """
    shape = (len(examples), path.size, path.size, 3)
    on_disk = int(np.prod(shape)) > budget
    store = reserve(shape, np.uint8, budget, folder)
    usable = np.zeros(len(examples), np.bool_)
    columns = Examples.of(examples)
    large = columns.sizes > LARGEST_PICTURE
    faults = {i: too_large(int(columns.sizes[i])) for i in np.flatnonzero(large).tolist()}
    rejected = {i: Rejected(columns[i].name, fault) for i, fault in faults.items()}
    wanted = np.flatnonzero(~large)
    guard = threading.Lock()

    def one(i: int, encoded: bytes) -> None:
        try:
            store[i] = pixels(encoded, path)
            usable[i] = True
        except ValueError as error:
            with guard:
                rejected[i] = Rejected(columns[i].name, str(error))

    with (
        closing(read(columns.take(wanted) if faults else columns)) as contents,
        ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool,
    ):
        waiting: set[Future[None]] = set()
        for i, encoded in contents:
            waiting.add(pool.submit(one, int(wanted[i]), encoded))
            if len(waiting) >= threads * 4:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                _raise_first(done)
        _raise_first(waiting)
    if int(usable.sum()) + len(rejected) != len(examples):
        raise RuntimeError(f"{len(examples)} pictures were requested, but not each arrived exactly once")
    return PixelCache(store, columns.labels, usable, tuple(rejected[i] for i in sorted(rejected)), on_disk)


def _raise_first(futures: set["Future[None]"]) -> None:
    for future in futures:
        future.result()


def reserve(shape: tuple[int, ...], dtype: npt.DTypeLike, budget: int, folder: Path | None) -> npt.NDArray[Any]:
    """An array of zeros in memory if it fits the budget in bytes, else in a file in `folder`.

    The file is already unlinked: it disappears with the process, however that exits.

    Raises:
        ExitError: 74 when the disk is full.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size <= budget:
        return np.zeros(shape, dtype)
    where = folder if folder is not None else temporary.place()
    advice = "free some space, choose another folder with --cache-dir, or allow more memory with --cache-memory"
    with temporary.explained(f"no room for {mebibytes(size)} of decoded pictures", where, advice):
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=where, prefix="catdog-pixels-") as file:
            # Reserve the blocks now: on a full disk, writing to a hole through a memory map raises SIGBUS.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "r+", shape=shape)
