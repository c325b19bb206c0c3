"""Reads the pictures of an epoch a piece at a time, ahead of when they are asked for, and keeps each until then."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import numpy as np

from trainer.data.examples import Example, Examples
from trainer.data.order import Ids
from trainer.data.reading import Read


class Readahead:
    """Encoded pictures of this worker's part of an epoch. Safe to use from many threads; close it after use."""

    def __init__(self, examples: Sequence[Example], read: Read, ids: Ids, pieces: Ids, room: int, at_once: int) -> None:
        """Read up to `at_once` pieces at a time, in order of first use, while what waits is at most `room` bytes.

        `ids` are those that will be asked for, each once, and `pieces` what of them is read together. A piece that is
        asked for is read even if there is no room.
        """
        self._examples, self._read, self._room = Examples.of(examples), read, room
        numbers, first, piece = np.unique(pieces, return_index=True, return_inverse=True)
        turn = np.argsort(np.argsort(first))[piece.reshape(-1)]  # of each id: the how-manieth piece it is in
        self._by_piece = ids[np.argsort(turn, kind="stable")]
        self._ends = np.cumsum(np.bincount(turn, minlength=len(numbers)))
        self._sizes = np.zeros(len(numbers), np.int64)
        np.add.at(self._sizes, turn, self._examples.sizes[ids])
        by_id = np.argsort(ids)
        self._known, self._turn = ids[by_id], turn[by_id]
        self._upcoming = deque(range(len(numbers)))
        self._reading: dict[int, Future[dict[int, bytes]]] = {}
        self._guard = threading.Lock()
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="readahead")
        with self._guard:
            self._advance()

    def close(self) -> None:
        """Read no further; returns when running reads have ended."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def expects(self, i: int) -> bool:
        """Whether this picture is one of those that it reads."""
        place = int(np.searchsorted(self._known, i))
        return place < len(self._known) and bool(self._known[place] == i)

    def take(self, ids: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Each of these pictures, piece by piece.

        Raises:
            ExitError: what reading raises.
            KeyError: one was taken before.
        """
        wanted: dict[int, list[int]] = {}
        for i in ids:
            wanted.setdefault(int(self._turn[np.searchsorted(self._known, i)]), []).append(i)
        for number in sorted(wanted):
            content = self._being_read(number).result()
            for i in wanted[number]:
                encoded = content.pop(i)
                yield i, encoded
                with self._guard:
                    self._room += len(encoded)
            with self._guard:
                if not content:
                    self._reading.pop(number, None)
                self._advance()

    def _being_read(self, number: int) -> Future[dict[int, bytes]]:
        with self._guard:
            if number not in self._reading:
                if number not in self._upcoming:
                    raise KeyError(number)  # all of it was taken
                self._upcoming.remove(number)
                self._begin(number)
            return self._reading[number]

    def _advance(self) -> None:
        while self._upcoming and self._sizes[self._upcoming[0]] <= self._room:
            self._begin(self._upcoming.popleft())

    def _begin(self, number: int) -> None:
        self._room -= int(self._sizes[number])
        start = self._ends[number - 1] if number else 0
        self._reading[number] = self._pool.submit(self._fetch, self._by_piece[start : self._ends[number]])

    def _fetch(self, members: Ids) -> dict[int, bytes]:
        with closing(self._read(self._examples.take(members))) as contents:
            return {int(members[place]): encoded for place, encoded in contents}
