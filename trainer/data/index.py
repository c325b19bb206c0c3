"""index.json and its columns: what a data set holds, written last by `catdog data import` and `catdog data pack`.

It saves a listing from reading local files, gives sizes and checksums from when the data was made, and says where in
the shards of a packed data set each picture is. index.json is a small head; one row for each picture is in a binary
object beside it, column by column, as numpy has them in memory. The head names that object by its content and has its
size and checksum, so one head never goes with other columns. docs/data.md has the format.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.data.examples import Examples

INDEX = "index.json"
SHARDS = "shards/"
SCHEMA = 2

COLUMNS = re.compile(r"index-[0-9a-f]{16}\.bin")
"""Names of the objects that hold columns: what is between is the beginning of their SHA-256."""

ALIGNMENT = 64
"""Bytes; each column begins at a multiple of it."""

TYPES = {
    "label": "<i4",
    "size": "<i8",
    "crc32c": "<u4",
    "width": "<u4",
    "height": "<u4",
    "shard": "<i4",
    "offset": "<i8",
    "name_offset": "<i8",
    "name": "|u1",
}
"""Every column by name, little-endian: `name_offset` has one value more than there are pictures, `name` is all names in
UTF-8, one after the other; `shard` and `offset` are there for packed pictures only."""


def is_index(name: str) -> bool:
    """Whether the object belongs to an index, the one that counts or one that a stopped writer has left."""
    return name == INDEX or COLUMNS.fullmatch(name) is not None


@dataclass(frozen=True)
class Shard:
    """One object that holds pictures; size in bytes."""

    name: str
    size: int
    crc32c: int


@dataclass(frozen=True)
class Part:
    """One split: `folder` is the first part of its pictures' names, `widths` and `heights` are uint32 [n] in pixels.

    Width and height are 0 for a picture whose header cannot be read. A picture's name is FOLDER/CLASS/NAME.
    """

    folder: str
    examples: Examples
    widths: npt.NDArray[np.uint32]
    heights: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Index:
    """All of it: a part for each of `SPLITS`, `classes` in order. `shards` is empty for a data set of loose pictures.

    `trusted`: the document has a checksum, so that its fingerprint need not be computed to know that it is whole.
    """

    fingerprint: str
    classes: tuple[str, ...]
    parts: Mapping[str, Part]
    shards: tuple[Shard, ...] = ()
    trusted: bool = True


class BadIndex(Exception):
    """It is not an index, or is damaged; the message says how in one line."""
