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
import tensorflow as tf

from trainer.data.examples import Example, Place
from trainer.data.index import INDEX, SHARDS, Index, Picture, Shard, encode
from trainer.data.order import epoch_order
from trainer.data.picture import measure
from trainer.data.prepare import is_in_a_split, is_stored
from trainer.data.reading import Read
from trainer.data.split import SPLITS, DataSet, stored_path
from trainer.exits import Exit, ExitError
from trainer.storage.base import Storage

MIX = 0x6D6978
"""Seed of the order in which the pictures of train are packed."""

_MASK = 0xA282EAD8
HEAD_BYTES = 12
"""Bytes of a record before its data: length and the length's checksum."""


@dataclass(frozen=True)
class Cut:
    """A planned shard: its name, and which examples of the split go into it."""

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
    laid = {split: _laid(split, data.splits[split]) for split in there_are}
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
    pictures: list[Picture] = []
    shards: list[Shard] = []
    for cut in cuts:
        examples = laid[cut.split][cut.first : cut.last]
        content, placed = build(cut.name, examples, data.classes, _contents(examples, read, on_done))
        shard = Shard(cut.name, len(content), google_crc32c.value(content))
        if not is_stored(target, there.get(cut.name), shard.size, shard.crc32c):
            target.write(cut.name, content)
        pictures += [
            replace(picture, path=stored_path(cut.split, example))
            for picture, example in zip(placed, examples, strict=True)
        ]
        shards.append(shard)
    index = Index(data.fingerprint, tuple(pictures), tuple(shards))
    target.write(INDEX, encode(index))
    return index


def _laid(split: str, examples: Sequence[Example]) -> Sequence[Example]:
    if split != "train":
        return examples
    return [examples[int(i)] for i in epoch_order(MIX, 0, len(examples))]


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


def build(
    name: str, examples: Sequence[Example], classes: Sequence[str], contents: Iterable[bytes]
) -> tuple[bytes, list[Picture]]:
    """One shard's bytes, and where each picture is in it."""
    parts: list[bytes] = []
    pictures = []
    at = 0
    for example, encoded in zip(examples, contents, strict=True):
        width, height = measure(encoded)
        message = _message(example, classes[example.label], encoded, width, height)
        place = Place(name, at + HEAD_BYTES + message.index(encoded))
        pictures.append(Picture(example.name, example.size, example.crc32c, width, height, place))
        for part in framed(message):
            parts.append(part)
            at += len(part)
    return b"".join(parts), pictures


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
