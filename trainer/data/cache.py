"""Pixels of one split, decoded once: uint8, in memory if they fit a budget, else in an unlinked file on disk."""

import os
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainer.data.decode import Pixels, pixels
from trainer.data.order import PADDING, Ids
from trainer.data.reading import Read
from trainer.data.split import Example
from trainer.exits import Exit, ExitError
from trainer.words import mebibytes


@dataclass(frozen=True)
class Rejected:
    """A picture that cannot be used, and why; it keeps its id and has weight zero."""

    path: str
    reason: str


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

    def rows(self, ids: Ids) -> tuple[Pixels, npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Pixels, labels and weights for ids; PADDING and rejected pictures are zeros with weight 0."""
        here = ids != PADDING
        safe = np.where(here, ids, 0)
        weights = (here & self.usable[safe]).astype(np.float32)
        rows = self.pixels[safe]
        rows[weights == 0] = 0
        return rows, np.where(here, self.labels[safe], 0).astype(np.int32), weights


def fill(
    examples: Sequence[Example], read: Read, size: int, budget: int, folder: Path | None, threads: int
) -> PixelCache:
    """Decode every picture once, as its bytes arrive.

    Args:
        examples: the split, in order of id.
        read: yields the bytes of the examples, in any order; at most 4 · `threads` wait to be decoded.
        size: side in pixels.
        budget: bytes of memory to use at most; more goes to a file in `folder` (default: the temporary folder).
        threads: pictures to decode in parallel.

    Raises:
        ExitError: 74 when the disk is full; and what `read` raises.
    """
    shape = (len(examples), size, size, 3)
    on_disk = int(np.prod(shape)) > budget
    store = _spill(shape, folder) if on_disk else np.zeros(shape, np.uint8)
    usable = np.zeros(len(examples), np.bool_)
    rejected: dict[int, Rejected] = {}
    guard = threading.Lock()

    def one(i: int, encoded: bytes) -> None:
        try:
            store[i] = pixels(encoded, size)
            usable[i] = True
        except ValueError as error:
            with guard:
                rejected[i] = Rejected(examples[i].name, str(error))

    with closing(read(examples)) as contents, ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: set[Future[None]] = set()
        for i, encoded in contents:
            waiting.add(pool.submit(one, i, encoded))
            if len(waiting) >= threads * 4:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                _raise_first(done)
        _raise_first(waiting)
    if int(usable.sum()) + len(rejected) != len(examples):
        raise RuntimeError(f"{len(examples)} pictures were requested, but not each arrived exactly once")
    labels = np.array([example.label for example in examples], np.int32)
    return PixelCache(store, labels, usable, tuple(rejected[i] for i in sorted(rejected)), on_disk)


def _raise_first(futures: set["Future[None]"]) -> None:
    for future in futures:
        future.result()


def _spill(shape: tuple[int, ...], folder: Path | None) -> Pixels:
    """A file-backed array whose file is already unlinked: it disappears with the process, however that exits."""
    size = int(np.prod(shape))
    where = folder if folder is not None else Path(tempfile.gettempdir())
    try:
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=where, prefix="catdog-pixels-") as file:
            # Reserve the blocks now: on a full disk, writing to a hole through a memory map raises SIGBUS.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        raise ExitError(
            Exit.STORAGE_FAILED,
            f"{where}: no room for {mebibytes(size)} of decoded pictures ({error.strerror}); "
            "free some space, choose another folder with --cache-dir, or allow more memory with --cache-memory",
        ) from error
