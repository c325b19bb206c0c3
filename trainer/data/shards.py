"""`catdog data pack`: a data set as a few large objects that are read in large sequential pieces.

A shard is a TFRecord file of tf.train.Example messages, which any TFRecord tool reads; the index says where in it each
picture's own bytes are, so that training reads them by range and needs neither format.
Framing: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import google_crc32c
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from trainer.data.data_set import SPLITS, DataSet, stored_path
from trainer.data.examples import Example, Examples
from trainer.data.index import SHARDS, Index, Part, Shard
from trainer.data.index_writing import write_index
from trainer.data.order import Ids, epoch_order
from trainer.data.picture import measure
from trainer.data.prepare import is_in_a_split, is_stored
from trainer.data.reading import Read
from trainer.exits import Exit, ExitError
from trainer.storage.base import Storage

MIX = 0x6D6978
"""Seed of the order in which the pictures of train are packed."""

_MASK = 0xA282EAD8
HEAD_BYTES = 12
"""Bytes of a record before its data: length and the length's checksum."""


@dataclass(frozen=True)
class Placed:
    """Where in its shard a picture's own bytes begin, and its width and height in pixels."""

    offset: int
    width: int
    height: int


@dataclass(frozen=True)
class Cut:
    """A planned shard: its name, and which of the examples, as they are laid, go into it."""

    name: str
    split: str
    first: int
    last: int


def pack(data: DataSet, read: Read, target: Storage, shard_bytes: int, on_done: Callable[[], None]) -> Index:
    """Writes every picture of `data`, unchanged, into shards of about `shard_bytes`, and the index last. Those of train
    are mixed, so that neighbours are of any class; the others are in order of id, in which they are evaluated.

    Names, ids and fingerprint stay the same. A repeated call stores only missing shards. About two shards are in memory
    at a time. `on_done` is called after each picture.

    Raises:
        ExitError: 64 when the target holds other shards, or pictures; 74 and 77 from storage.
    """
    there_are = [split for split in SPLITS if data.splits[split]]
    ids = {split: _laid(split, len(data.splits[split])) for split in there_are}
    laid = {split: data.splits[split].take(ids[split]) for split in there_are}
    cuts = [cut for split in there_are for cut in cut_split(split, laid[split], shard_bytes)]
    there = {stat.name: stat for stat in target.list()}
    own = {cut.name for cut in cuts}
    other = sorted(name for name in there if name not in own and (name.startswith(SHARDS) or is_in_a_split(name)))
    if other:
        raise ExitError(
            Exit.BAD_OPTION,
            f"{target.uri}: contains objects that are not shards of this data set, such as {other[0]!r}; "
            "choose an empty location",
        )
    rows = {split: _Rows.empty(len(data.splits[split])) for split in SPLITS}
    shards: list[Shard] = []
    for cut in cuts:
        examples = laid[cut.split][cut.first : cut.last]
        content, placed = build(examples, data.classes, _contents(examples, read, on_done))
        shard = Shard(cut.name, len(content), google_crc32c.value(content))
        if not is_stored(target, there.get(cut.name), shard.size, shard.crc32c):
            target.write(cut.name, content)
        rows[cut.split].set(ids[cut.split][cut.first : cut.last], len(shards), placed)
        shards.append(shard)
    parts = {split: rows[split].part(split, data.splits[split], shards) for split in SPLITS}
    index = Index(data.fingerprint, data.classes, parts, tuple(shards))
    write_index(target, there, index)
    return index


def _laid(split: str, count: int) -> Ids:
    """The ids of a split as the shards have them."""
    return epoch_order(MIX, 0, count) if split == "train" else np.arange(count)


@dataclass(frozen=True)
class _Rows:
    """Columns of a split by id, filled as its shards are made: uint32 width and height, int32 shard, int64 offset."""

    width: npt.NDArray[np.uint32]
    height: npt.NDArray[np.uint32]
    shard: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, count: int) -> "_Rows":
        return cls(
            np.zeros(count, np.uint32), np.zeros(count, np.uint32), np.zeros(count, np.int32), np.zeros(count, np.int64)
        )

    def set(self, ids: Ids, shard: int, placed: Sequence[Placed]) -> None:
        """These pictures are in the shard of that number."""
        self.shard[ids] = shard
        self.offset[ids] = [one.offset for one in placed]
        self.width[ids] = [one.width for one in placed]
        self.height[ids] = [one.height for one in placed]

    def part(self, split: str, examples: Examples, shards: Iterable[Shard]) -> Part:
        names = tuple(shard.name for shard in shards)
        folder = stored_path(split, examples[0]).partition("/")[0] if examples else split
        placed = replace(examples, shard=self.shard, offset=self.offset, shards=names)
        return Part(folder, placed, self.width, self.height)


def cut_split(split: str, examples: Sequence[Example], shard_bytes: int) -> list[Cut]:
    """Consecutive parts of a split, each of `shard_bytes` plus at most one picture, named like most TFRecord shards."""
    ends, size = [], 0
    for i, example in enumerate(examples):
        size += example.size
        if size >= shard_bytes:
            ends.append(i + 1)
            size = 0
    if not ends or ends[-1] < len(examples):
        ends.append(len(examples))
    starts = [0, *ends[:-1]]
    return [
        Cut(f"{SHARDS}{split}-{number:05d}-of-{len(ends):05d}.tfrecord", split, start, end)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _contents(examples: Sequence[Example], read: Read, on_done: Callable[[], None]) -> list[bytes]:
    found: dict[int, bytes] = {}
    with closing(read(examples)) as contents:
        for i, encoded in contents:
            found[i] = encoded
            on_done()
    return [found[i] for i in range(len(examples))]


def build(examples: Sequence[Example], classes: Sequence[str], contents: Iterable[bytes]) -> tuple[bytes, list[Placed]]:
    """One shard's bytes, and where each picture is in it."""
    parts: list[bytes] = []
    placed = []
    at = 0
    for example, encoded in zip(examples, contents, strict=True):
        width, height = measure(encoded)
        message = _message(example, classes[example.label], encoded, width, height)
        placed.append(Placed(at + HEAD_BYTES + message.index(encoded), width, height))
        for part in framed(message):
            parts.append(part)
            at += len(part)
    return b"".join(parts), placed


def framed(data: bytes) -> Iterator[bytes]:
    """A TFRecord: length, its masked CRC-32C, the data, its masked CRC-32C; numbers are little-endian."""
    length = struct.pack("<Q", len(data))
    yield length + _masked(length)
    yield data
    yield _masked(data)


def _masked(data: bytes) -> bytes:
    checksum = google_crc32c.value(data)
    return struct.pack("<I", ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF)


def _message(example: Example, label: str, encoded: bytes, width: int, height: int) -> bytes:
    """tf.train.Example with the feature names that TensorFlow's own image data sets use."""
    features = {
        "image/class/label": _numbers(example.label),
        "image/class/text": _bytes(label.encode()),
        "image/encoded": _bytes(encoded),
        "image/filename": _bytes(example.name.encode()),
        "image/format": _bytes(b"png" if encoded.startswith(b"\x89PNG") else b"jpeg"),
        "image/height": _numbers(height),
        "image/width": _numbers(width),
    }
    message = tf.train.Example(features=tf.train.Features(feature=features))
    return bytes(message.SerializeToString(deterministic=True))


def _bytes(value: bytes) -> object:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _numbers(value: int) -> object:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
