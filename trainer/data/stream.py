"""Pictures of one split, read and decoded ahead of the steps that want them, and kept as pixels or files as there is
room."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.data.blocks import blocks_of
from trainer.data.cache import PixelCache
from trainer.data.decode import PixelPath, Pixels, pixels, too_large
from trainer.data.examples import Example, Examples, Rejected
from trainer.data.limits import LARGEST_PICTURE
from trainer.data.order import PADDING, Ids
from trainer.data.pipeline import GetRows
from trainer.data.readahead import Readahead
from trainer.data.reading import RANGES_AT_ONCE, Read

WAITING = 4
"""Pictures of a batch, for each thread, that are there and wait to be decoded; others stay in storage."""


@dataclass(frozen=True)
class Limits:
    """What reading a split may take.

    Attributes:
        threads: that decode.
        ahead: batches that are worth being made at once, since each waits for storage.
        kept: bytes of encoded pictures that stay in memory, those that arrive first.
        pieces: bytes of pieces that are read ahead of the batches that want them.
        all_at_once: if this worker takes all pictures, and all their files are no more bytes, they are read a piece at
            a time in any order.
    """

    threads: int
    ahead: int
    kept: int = 0
    pieces: int = 0
    all_at_once: int = 0


class PictureStream:
    """A split as `trainer.data.cache.PixelCache` has it, with the same rows, but read as it is asked for.

    Which pictures cannot be used is found as they are read: until then, each counts as usable. Safe to use from many
    threads.
    """

    def __init__(
        self, examples: Sequence[Example], read: Read, path: PixelPath, limits: Limits, store: Pixels | None = None
    ) -> None:
        """Decode as `path` says; with a `store`, uint8 [n, size, size, 3], pixels stay there."""
        columns = Examples.of(examples)
        self.labels = columns.labels
        self.usable: npt.NDArray[np.bool_] = np.ones(len(examples), np.bool_)
        self._limits = limits
        self._examples, self._read, self._path = columns, read, path
        self._store, self._have = store, np.zeros(len(examples), np.bool_)
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="decode")
        self._waiting = limits.threads * WAITING
        self._guard = threading.Lock()
        self._kept: dict[int, bytes] = {}
        self._room = limits.kept
        self._rejected: dict[int, Rejected] = {}
        for i in np.flatnonzero(columns.sizes > LARGEST_PICTURE).tolist():
            self._reject(i, too_large(int(columns.sizes[i])))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ahead(self) -> int:
        """Batches worth making at once."""
        return 1 if (self._have | ~self.usable).all() else self._limits.ahead

    @property
    def memory(self) -> int:
        """Bytes of memory that the pixels which are kept take."""
        if self._store is None or isinstance(self._store, np.memmap):
            return 0
        return int(self._have.sum()) * int(np.prod(self._store.shape[1:]))

    @property
    def most_memory(self) -> int:
        """Bytes of memory that what is kept takes once everything was asked for."""
        in_memory = self._store is not None and not isinstance(self._store, np.memmap)
        return self._store.nbytes if self._store is not None and in_memory else self._room

    def release(self) -> None:
        """Give back the memory of the pixels; those that are asked for after that are decoded again."""
        self._have[:] = False
        self._store = None

    @property
    def pictures(self) -> int:
        """How many the split has."""
        return len(self.labels)

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """Those found so far, in order of id."""
        with self._guard:
            return tuple(self._rejected[i] for i in sorted(self._rejected))

    @contextmanager
    def expecting(self, ids: Ids, pieces: Ids | None) -> Iterator[GetRows]:
        """The rows of this worker's part of an epoch; what is in pieces is read ahead of when it is asked for."""
        new, room = self.usable[ids] & ~self._have[ids] & ~np.isin(ids, list(self._kept)), self._limits.pieces
        if pieces is None and new.any():
            pieces, room = self._pieces_of_all(ids), self._limits.all_at_once
        if pieces is None:
            yield self.rows
            return
        with closing(Readahead(self._examples, self._read, ids[new], pieces[new], room, RANGES_AT_ONCE)) as ahead:

            def encoded(wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
                for i, content in ahead.take([i for i in wanted if ahead.expects(i)]):
                    self._keep(i, content)
                    yield i, content
                yield from self._encoded([i for i in wanted if not ahead.expects(i)])

            yield lambda ids: self._decoded(ids, encoded)

    def _pieces_of_all(self, ids: Ids) -> Ids | None:
        """The blocks in which pictures lie, where this worker takes every one: none is read twice. None where they are
        not packed, or all the files are more than may wait."""
        if len(ids) < len(self) or int(self._examples.sizes.sum()) > self._limits.all_at_once:
            return None
        blocks = blocks_of(self._examples)
        if blocks is None:
            return None
        numbers = np.zeros(len(self), np.int64)
        numbers[blocks.laid] = np.repeat(np.arange(len(blocks.starts) - 1), np.diff(blocks.starts))
        return numbers[ids]

    def part(self, first: int, last: int) -> PixelCache:
        """The pictures first … last-1, decoded.

        Raises:
            ExitError: 74 or 77 from storage.
        """
        found, labels, weights = self.rows(np.arange(first, last, dtype=np.int64))
        with self._guard:
            rejected = tuple(self._rejected[i] for i in range(first, last) if i in self._rejected)
        return PixelCache(found, labels, weights > 0, rejected, False)

    def rows(self, ids: Ids) -> tuple[Pixels, npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Pixels, labels and weights for ids; PADDING and rejected pictures are zeros with weight 0.

        Raises:
            ExitError: 74 or 77 from storage.
        """
        return self._decoded(ids, self._encoded)

    def _decoded(
        self, ids: Ids, encoded: Callable[[Sequence[int]], Iterator[tuple[int, bytes]]]
    ) -> tuple[Pixels, npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        found = np.zeros((len(ids), self._path.size, self._path.size, 3), np.uint8)
        here, store = ids != PADDING, self._store
        safe = np.where(here, ids, 0)
        kept = here & self._have[safe]
        if store is not None and kept.any():
            found[kept] = store[ids[kept]]
        places = {int(ids[at]): int(at) for at in np.flatnonzero(here & self.usable[safe] & ~kept)}

        def decode(i: int, content: bytes) -> None:
            try:
                found[places[i]] = one = pixels(content, self._path)
            except ValueError as error:
                self._reject(i, str(error))
                return
            if store is not None:
                store[i] = one
                self._have[i] = True

        arrived, decoding = 0, deque[Future[None]]()
        for i, content in encoded(list(places)):
            arrived += 1
            decoding.append(self._pool.submit(decode, i, content))
            if len(decoding) > self._waiting:
                decoding.popleft().result()
        for one in decoding:
            one.result()
        if arrived != len(places):
            raise RuntimeError(f"{len(places)} pictures were requested, but not each arrived exactly once")
        weights = (here & self.usable[safe]).astype(np.float32)
        return found, np.where(here, self.labels[safe], 0).astype(np.int32), weights

    def _encoded(self, ids: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        missing = []
        for i in ids:
            if (kept := self._kept.get(i)) is not None:
                yield i, kept
            else:
                missing.append(i)
        with closing(self._read(self._examples.take(np.array(missing, np.int64)))) as contents:
            for place, encoded in contents:
                self._keep(missing[place], encoded)
                yield missing[place], encoded

    def _keep(self, i: int, encoded: bytes) -> None:
        with self._guard:
            if i not in self._kept and len(encoded) <= self._room:
                self._kept[i] = encoded
                self._room -= len(encoded)

    def _reject(self, i: int, reason: str) -> None:
        with self._guard:
            self.usable[i] = False
            self._rejected[i] = Rejected(self._examples[i].name, reason)
            self._kept.pop(i, None)
