"""Reads many encoded pictures: from this machine if they are here, else with many requests at a time.

Loose pictures are fetched one object per request, 64 at a time, fewer if they are large; packed ones in ranges of
several MB, so that neighbours share a request. Every picture is compared with the CRC-32C of the listing: a ranged read
has no checksum of its own.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import google_crc32c
import numpy as np

from trainer.data.downloads import Downloads, is_intact
from trainer.data.examples import LOOSE, Example, Examples, numbers_of
from trainer.storage.base import Storage
from trainer.storage.errors import StorageFailed
from trainer.storage.fetch import in_parallel
from trainer.storage.retry import MIB, GaveUp, RetryEvent, RetryPolicy, RetryReason, Try, keep_trying

Contents = Generator[tuple[int, bytes], None, None]
Read = Callable[[Sequence[Example]], Contents]
"""Yields (position in the sequence, encoded bytes) of each example once, as they arrive, in no order. Close it if you
stop early."""

CONCURRENCY = 64
RANGE_BYTES = 4 * MIB
RANGES_AT_ONCE = 16
LARGEST_GAP = MIB // 4
"""Largest gap in bytes between two wanted pictures that share a request; the gap is fetched too."""
MOST_UNWANTED = 1 / 4
"""The gaps of a request are at most this part of its wanted bytes: who wants one picture in four must not read all."""
HEADERS = 4096
"""A gap that is always fetched: what a tar has between two pictures, a header and perhaps a label, is seldom more."""

BYTES_AT_ONCE = 128 * MIB
"""What is in memory at a time, unless one picture alone is larger: cameras make some of 20 MB."""

LOCAL_READERS = 8
DAMAGED = RetryPolicy(total=5.0, first_wait=0.1, longest_wait=1.0)
"""How long a damaged picture is fetched again; storage retries each request on its own."""


class Damaged(StorageFailed):
    """The stored bytes differ from the listing, however often they are read."""


class _OtherBytes(Exception):
    """The bytes differ from the listing."""


@dataclass(frozen=True)
class Range:
    """Bytes start … end-1 of a shard, and the positions in the sequence of the examples inside it."""

    shard: str
    start: int
    end: int
    members: tuple[int, ...]


def reader(
    storage: Storage,
    *,
    downloads: Downloads | None = None,
    on_retry: Callable[[RetryEvent], None] | None = None,
    on_damaged: Callable[[int, Damaged], None] | None = None,
) -> Read:
    """A `Read` over `storage`, which should be open for 64 calls at a time.

    Pictures in `downloads` are read from there; others are added to it. At most 64 loose pictures, or 16 ranges of
    4 MiB, are in memory at a time, and no more than 128 MiB, unless one picture alone is more. With `on_damaged`, a
    damaged picture is reported (its position, and why) and left out.

    The `Read` raises `Damaged` (74) if bytes keep differing from the listing, and what storage raises.
    """
    source = _Source(storage, downloads, on_retry, on_damaged)

    def read(examples: Sequence[Example]) -> Generator[tuple[int, bytes], None, None]:
        columns = Examples.of(examples)
        missing: Sequence[int] = range(len(examples))
        if downloads is not None:
            missing = []
            for place, data in in_parallel(
                lambda i: (i, downloads.get(examples[i])), range(len(examples)), LOCAL_READERS
            ):
                if data is None:
                    missing.append(place)
                else:
                    yield place, data
        wanted = np.array(missing, np.int64)
        loose = wanted[columns.shard[wanted] == LOOSE].tolist()
        fetched = in_parallel(
            lambda i: (i, source.loose(examples, i)), loose, CONCURRENCY, lambda i: int(columns.sizes[i]), BYTES_AT_ONCE
        )
        for place, data in fetched:
            if data is not None:
                yield place, data
        for found in in_parallel(
            lambda one: source.packed(examples, one),
            ranges(columns, wanted.tolist()),
            RANGES_AT_ONCE,
            lambda one: one.end - one.start,
            BYTES_AT_ONCE,
        ):
            yield from found

    return read


def ranges(examples: Sequence[Example], wanted: Sequence[int]) -> Iterator[Range]:
    """Ranges of at most `RANGE_BYTES` (or one picture) that hold the wanted packed examples, each exactly once, and
    little else."""
    columns, ids = Examples.of(examples), np.array(wanted, np.int64)
    ids = ids[columns.shard[ids] != LOOSE]
    ids = ids[np.lexsort((ids, columns.offset[ids], columns.shard[ids]))]
    spans = (numbers_of(column[ids]) for column in (columns.shard, columns.offset, columns.sizes))
    shard, start, end, needed = "", 0, 0, 0
    members: list[int] = []
    for i, number, its_start, size in zip(numbers_of(ids), *spans, strict=True):
        its_shard, its_end = columns.shards[number], its_start + size
        gap, larger = its_start - end, max(end, its_end) - start
        near = gap <= HEADERS or (gap <= LARGEST_GAP and larger <= (1 + MOST_UNWANTED) * (needed + size))
        joins = its_shard == shard and near and larger <= RANGE_BYTES
        if members and not joins:
            yield Range(shard, start, end, tuple(members))
            members = []
        if not members:
            shard, start, end, needed = its_shard, its_start, its_end, 0
        end, needed = max(end, its_end), needed + size
        members.append(i)
    if members:
        yield Range(shard, start, end, tuple(members))


@dataclass(frozen=True)
class _Source:
    """Fetches from storage, verifies, and keeps the result."""

    storage: Storage
    downloads: Downloads | None
    on_retry: Callable[[RetryEvent], None] | None
    on_damaged: Callable[[int, Damaged], None] | None

    def loose(self, examples: Sequence[Example], i: int) -> bytes | None:
        """The object of the i-th example; None if it is damaged and was reported."""
        return self._intact(examples[i], i, partial(self.storage.read, examples[i].name), None)

    def packed(self, examples: Sequence[Example], wanted: Range) -> list[tuple[int, bytes]]:
        """The examples of one range; a damaged one is fetched again on its own."""
        block = self.storage.read_range(wanted.shard, wanted.start, wanted.end - wanted.start)
        found = []
        for i in wanted.members:
            example, at = examples[i], _offset(examples[i]) - wanted.start
            data = self._intact(example, i, partial(self._part, example), block[at : at + example.size])
            if data is not None:
                found.append((i, data))
        return found

    def _part(self, example: Example) -> bytes:
        assert example.place is not None
        return self.storage.read_range(example.place.shard, example.place.offset, example.size)

    def _intact(self, example: Example, i: int, fetch: Callable[[], bytes], first: bytes | None) -> bytes | None:
        """`first`, or what `fetch` returns, once it matches the listing."""

        def attempt(this: Try) -> bytes:
            data = first if first is not None and this.number == 1 else fetch()
            if not is_intact(example, data):
                raise _OtherBytes(
                    f"{len(data):,} bytes with crc32c {google_crc32c.value(data):08x} instead of "
                    f"{example.size:,} with {example.crc32c:08x}"
                )
            return data

        try:
            data = keep_trying(
                attempt,
                operation="read",
                name=example.name,
                size=example.size,
                policy=DAMAGED,
                reason_of=lambda error: RetryReason.CHECKSUM if isinstance(error, _OtherBytes) else None,
                on_retry=self.on_retry,
            )
        except GaveUp as error:
            where = f"{example.place.shard}: {example.name}" if example.place else example.name
            damaged = Damaged(
                f"{self.storage.uri}/{where}: damaged, or changed since the data set was listed or indexed: "
                f"{error.__cause__}; `catdog data check` lists every such picture"
            )
            if self.on_damaged is None:
                raise damaged from error
            self.on_damaged(i, damaged)
            return None
        if self.downloads is not None:
            self.downloads.put(example, data)
        return data


def _offset(example: Example) -> int:
    assert example.place is not None
    return example.place.offset
