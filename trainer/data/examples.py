"""The pictures of a split as columns: an example's id is its row, and a row is made into an object when it is wanted.

A million objects take seconds and hundreds of megabytes; the same facts in a few arrays are read from an index as they
are, and shared between slices.
"""

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex, overload

import numpy as np
import numpy.typing as npt

LOOSE = -1
"""In the column `shard`: the picture is an object of its own."""

_BLOCK = 4096
"""Rows that are made into objects at a time."""

Rows = slice | npt.NDArray[np.int64]
"""Which rows, in which order."""


@dataclass(frozen=True)
class Place:
    """Where a packed picture's bytes are: in the object `shard`, from byte `offset`; the size is the picture's."""

    shard: str
    offset: int


@dataclass(frozen=True)
class Example:
    """One picture: its name below the data set's URI, the index of its class, its size in bytes and its CRC-32C.

    `place` says where a packed picture is; a loose one is the object `name`. `inner` is CLASS/NAME where the name is
    not SPLIT/CLASS/NAME.
    """

    name: str
    label: int
    size: int
    crc32c: int
    place: Place | None = None
    inner: str = ""

    @property
    def within(self) -> str:
        """CLASS/NAME: what the picture is called in its split, wherever it lies."""
        return self.inner or self.name.split("/", 1)[1]


@dataclass(frozen=True, eq=False)
class Texts:
    """Strings as UTF-8 in one piece of memory: uint8 `blob`, and where each begins and ends in it, int64 [n]."""

    blob: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, strings: Iterable[str]) -> "Texts":
        """These strings."""
        encoded = [one.encode() for one in strings]
        ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        return cls.between(np.frombuffer(b"".join(encoded), np.uint8), np.concatenate([np.zeros(1, np.int64), ends]))

    @classmethod
    def between(cls, blob: npt.NDArray[np.uint8], borders: npt.NDArray[np.int64]) -> "Texts":
        """Strings that follow each other: number i lies between borders i and i+1."""
        return cls(blob, borders[:-1], borders[1:])

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, row: int) -> str:
        return str(self.blob[self.starts[row] : self.ends[row]].data, "utf-8")

    def __iter__(self) -> Iterator[str]:
        for at in range(0, len(self), _BLOCK):
            starts, ends = self.starts[at : at + _BLOCK].tolist(), self.ends[at : at + _BLOCK].tolist()
            for start, end in zip(starts, ends, strict=True):
                yield str(self.blob[start:end].data, "utf-8")

    def take(self, rows: Rows) -> "Texts":
        """Those of some rows; the blob is shared."""
        return Texts(self.blob, self.starts[rows], self.ends[rows])


@dataclass(frozen=True)
class Rejected:
    """A picture that cannot be used, and why; it keeps its id and has weight zero."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Examples(Sequence[Example]):
    """Pictures in order of id: a read-only sequence of `Example`, whose slices share its columns.

    `labels` int32, `sizes` int64 (bytes), `crc32c` uint32, `shard` int32 (a place in `shards`, the names of objects; or
    LOOSE) and `offset` int64 (bytes; 0 for a loose one) are [n]. Offsets need not grow with ids. The name of a picture
    is `texts` after the one of `prefixes` for its label, if there are any. `inner` is None where no picture has one.
    """

    labels: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int64]
    crc32c: npt.NDArray[np.uint32]
    shard: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    shards: tuple[str, ...]
    texts: Texts
    prefixes: tuple[str, ...] = ()
    inner: Texts | None = None

    @classmethod
    def of(cls, examples: Iterable[Example]) -> "Examples":
        """The columns of these; those that are columns already stay as they are."""
        if isinstance(examples, Examples):
            return examples
        every = list(examples)
        numbers: dict[str, int] = {}
        shard, offset = np.full(len(every), LOOSE, np.int32), np.zeros(len(every), np.int64)
        for row, example in enumerate(every):
            if example.place is not None:
                shard[row] = numbers.setdefault(example.place.shard, len(numbers))
                offset[row] = example.place.offset
        return cls(
            np.fromiter((one.label for one in every), np.int32, len(every)),
            np.fromiter((one.size for one in every), np.int64, len(every)),
            np.fromiter((one.crc32c for one in every), np.uint32, len(every)),
            shard,
            offset,
            tuple(numbers),
            Texts.of(one.name for one in every),
            inner=Texts.of(one.inner for one in every) if any(one.inner for one in every) else None,
        )

    @property
    def packed(self) -> bool:
        """Whether any of them lies in a shard."""
        return bool((self.shard != LOOSE).any())

    @property
    def names(self) -> Iterator[str]:
        """Their names, in order."""
        if not self.prefixes:
            yield from self.texts
            return
        for label, text in zip(numbers_of(self.labels), self.texts, strict=True):
            yield self.prefixes[label] + text

    @property
    def withins(self) -> Iterator[str]:
        """`Example.within` of each, in order."""
        if self.inner is None:
            yield from (name.split("/", 1)[1] for name in self.names)
            return
        for name, inner in zip(self.names, self.inner, strict=True):
            yield inner or name.split("/", 1)[1]

    def take(self, rows: Rows) -> "Examples":
        """Those of some rows, in that order; a slice shares the columns, an array copies them."""
        return replace(
            self,
            labels=self.labels[rows],
            sizes=self.sizes[rows],
            crc32c=self.crc32c[rows],
            shard=self.shard[rows],
            offset=self.offset[rows],
            texts=self.texts.take(rows),
            inner=None if self.inner is None else self.inner.take(rows),
        )

    def relabelled(self, numbers: Sequence[int]) -> "Examples":
        """The same pictures with label numbers[label] in place of each label; `numbers` are different."""
        prefixes = [""] * (max(numbers, default=-1) + 1)
        for number, prefix in zip(numbers, self.prefixes, strict=False):
            prefixes[number] = prefix
        labels = np.array(numbers, np.int32)[self.labels]
        return replace(self, labels=labels, prefixes=tuple(prefixes) if self.prefixes else ())

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, row: SupportsIndex) -> Example: ...

    @overload
    def __getitem__(self, row: slice) -> "Examples": ...

    def __getitem__(self, row: SupportsIndex | slice) -> "Example | Examples":
        if isinstance(row, slice):
            return self.take(row)
        i = operator.index(row)
        label, shard = int(self.labels[i]), int(self.shard[i])
        return Example(
            (self.prefixes[label] if self.prefixes else "") + self.texts[i],
            label,
            int(self.sizes[i]),
            int(self.crc32c[i]),
            None if shard == LOOSE else Place(self.shards[shard], int(self.offset[i])),
            "" if self.inner is None else self.inner[i],
        )

    def __iter__(self) -> Iterator[Example]:
        inner: Iterable[str] = ("" for _ in range(len(self))) if self.inner is None else self.inner
        numbers = (numbers_of(column) for column in (self.labels, self.sizes, self.crc32c, self.shard, self.offset))
        for name, within, label, size, checksum, shard, offset in zip(self.names, inner, *numbers, strict=True):
            place = None if shard == LOOSE else Place(self.shards[shard], offset)
            yield Example(name, label, size, checksum, place, within)

    def __eq__(self, other: object) -> bool:
        """Whether the other sequence has equal examples."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # as of a list: it compares by content


def numbers_of(column: npt.NDArray[Any]) -> Iterator[int]:
    """A column's values as Python's own numbers, some at a time."""
    for at in range(0, len(column), _BLOCK):
        yield from column[at : at + _BLOCK].tolist()
