"""Pictures of one split, read and decoded each time they are wanted: for sets that no memory holds decoded."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager

import numpy as np
import numpy.typing as npt

from trainer.data.cache import Rejected
from trainer.data.decode import PixelPath, Pixels, pixels, too_large
from trainer.data.examples import Example, Examples
from trainer.data.limits import LARGEST_PICTURE
from trainer.data.order import PADDING, Ids
from trainer.data.pipeline import GetRows
from trainer.data.readahead import Readahead
from trainer.data.reading import RANGES_AT_ONCE, Read

WAITING = 4
"""Pictures of a batch, for each thread, that are there and wait to be decoded; others stay in storage."""


class PictureStream:
    """A split as `trainer.data.cache.PixelCache` has it, with the same rows, but without its pixels in memory.

    Which pictures cannot be used is found as they are read: until then, each counts as usable. Safe to use from many
    threads.
    """

    on_disk = False

    def __init__(
        self,
        examples: Sequence[Example],
        read: Read,
        path: PixelPath,
        threads: int,
        room: int,
        ahead: int,
        room_ahead: int = 0,
    ) -> None:
        """Decode on `threads` threads; keep encoded pictures in up to `room` bytes of memory, in order of arrival.

        `ahead` is how many batches are worth being made at once: each waits for storage. Pieces that are read ahead of
        them wait in `room_ahead` bytes.
        """
        columns = Examples.of(examples)
        self.labels = columns.labels
        self.usable: npt.NDArray[np.bool_] = np.ones(len(examples), np.bool_)
        self.ahead = ahead
        self._examples, self._read, self._path = columns, read, path
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._waiting = threads * WAITING
        self._guard = threading.Lock()
        self._kept: dict[int, bytes] = {}
        self._room, self._room_ahead = room, room_ahead
        self._rejected: dict[int, Rejected] = {}
        for i in np.flatnonzero(columns.sizes > LARGEST_PICTURE).tolist():
            self._reject(i, too_large(int(columns.sizes[i])))

    def __len__(self) -> int:
        return len(self.labels)

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
        if pieces is None:
            yield self.rows
            return
        new = self.usable[ids] & ~np.isin(ids, list(self._kept))
        with closing(
            Readahead(self._examples, self._read, ids[new], pieces[new], self._room_ahead, RANGES_AT_ONCE)
        ) as ahead:

            def encoded(wanted: Sequence[int]) -> Iterator[tuple[int, bytes]]:
                for i, content in ahead.take([i for i in wanted if ahead.expects(i)]):
                    self._keep(i, content)
                    yield i, content
                yield from self._encoded([i for i in wanted if not ahead.expects(i)])

            yield lambda ids: self._decoded(ids, encoded)

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
        here = ids != PADDING
        safe = np.where(here, ids, 0)
        places = {int(ids[at]): int(at) for at in np.flatnonzero(here & self.usable[safe])}

        def decode(i: int, content: bytes) -> None:
            try:
                found[places[i]] = pixels(content, self._path)
            except ValueError as error:
                self._reject(i, str(error))

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
