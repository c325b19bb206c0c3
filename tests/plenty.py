"""Data sets of many gigabytes, made as they are stored: a few pictures over and over, told apart by a comment."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import google_crc32c
import numpy as np
from PIL import Image

from trainer.data.data_set import DataSet
from trainer.data.examples import Example
from trainer.data.reading import Contents
from trainer.data.shards import pack
from trainer.data.split import data_set_of
from trainer.storage.base import Stat, Storage
from trainer.storage.fetch import write_many
from trainer.storage.retry import MIB

CLASSES = ("cats", "dogs")
SHARD = 64 * MIB


def photograph(seed: int, width: int, height: int) -> bytes:
    """A JPEG with a shape in front of noise, so that it is about as large as a camera's: 0.4 bytes a pixel."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(40, 216, (height // 40, width // 40, 3), np.uint8)
    picture = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noise = draw.normal(0, 9, (height, width, 1)).astype(np.int16)
    file = io.BytesIO()
    Image.fromarray(np.clip(picture + noise, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=88)
    return file.getvalue()


def with_comment(picture: bytes, text: bytes) -> bytes:
    """The same JPEG with a comment in front (marker COM, ITU-T T.81 B.2.4.5)."""
    return picture[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + picture[2:]


@dataclass(frozen=True)
class Plenty:
    """So many pictures of each class and split, in order of `splits`, made of `pictures`."""

    pictures: Sequence[bytes]
    splits: dict[str, int]

    def content(self, name: str) -> bytes:
        """The picture of a name: SPLIT/CLASS/NUMBER.jpg; each has other bytes."""
        number = int(name.rpartition("/")[2].partition(".")[0])
        return with_comment(self.pictures[number % len(self.pictures)], name.encode())

    def read(self, examples: Sequence[Example]) -> Contents:
        """Their contents, made one at a time."""
        for i, example in enumerate(examples):
            yield i, self.content(example.name)

    def data(self) -> DataSet:
        """The data set; each picture is made once for its checksum."""
        names = [
            f"{split}/{label}/{i:07d}.jpg"
            for split, count in self.splits.items()
            for label in CLASSES
            for i in range(count)
        ]
        return data_set_of("plenty", (self._stat(name) for name in names))

    def _stat(self, name: str) -> Stat:
        content = self.content(name)
        return Stat(name, len(content), google_crc32c.value(content), "")

    def store(self, target: Storage, packed: bool) -> int:
        """Store them all, in shards or as an object each; returns their bytes. A few shards are in memory at a time."""
        data = self.data()
        examples = [example for split in data.splits.values() for example in split]
        if packed:
            pack(data, self.read, target, SHARD, lambda: None)
        else:
            for _ in write_many(target, ((one.name, self.content(one.name)) for one in examples), 8):
                pass
        return sum(example.size for example in examples)
