"""index.json: what a data set holds, written last by `catdog data import` and `catdog data pack`.

It saves a listing from reading local files, gives sizes and checksums from when the data was made, and says where
in the shards of a packed data set each picture is. One picture per line, ordered by path.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer import documents
from trainer.data.examples import Place

INDEX = "index.json"
SHARDS = "shards/"
SCHEMA = 1


@dataclass(frozen=True)
class Picture:
    """One picture of the data set: `path` is SPLIT/CLASS/NAME, `size` in bytes, `width` and `height` in pixels.

    Width and height are 0 for a picture whose header cannot be read. `place` is None for a loose picture.
    """

    path: str
    size: int
    crc32c: int
    width: int
    height: int
    place: Place | None = None


@dataclass(frozen=True)
class Shard:
    """One object that holds pictures; size in bytes."""

    name: str
    size: int
    crc32c: int


@dataclass(frozen=True)
class Index:
    """The whole document. `shards` is empty for a data set of loose pictures."""

    fingerprint: str
    pictures: tuple[Picture, ...]
    shards: tuple[Shard, ...] = ()


class BadIndex(Exception):
    """The document is not an index, or is damaged; the message says how in one line."""


def encode(index: Index) -> bytes:
    """The document as it is stored, UTF-8; equal indexes give equal bytes."""
    numbers = {shard.name: number for number, shard in enumerate(index.shards)}
    head = {"schema": SCHEMA, "fingerprint": index.fingerprint}
    shards = [{"name": shard.name, "size": shard.size, "crc32c": shard.crc32c} for shard in index.shards]
    pictures = [_row(picture, numbers) for picture in sorted(index.pictures, key=lambda one: one.path.encode())]
    lists = f'"shards": {_lines(shards)},\n"pictures": {_lines(pictures)}'
    return f"{json.dumps(head)[:-1]},\n{lists}}}\n".encode()


def _row(picture: Picture, shards: Mapping[str, int]) -> dict[str, Any]:
    row = {
        "path": picture.path,
        "class": picture.path.split("/")[1],
        "size": picture.size,
        "crc32c": picture.crc32c,
        "width": picture.width,
        "height": picture.height,
    }
    if picture.place is not None:
        row |= {"shard": shards[picture.place.shard], "offset": picture.place.offset}
    return row


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "[" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "]"


def decode(data: bytes) -> Index:
    """The index that `encode` wrote.

    Raises:
        BadIndex: it is not JSON, has another schema, lacks a field, or places a picture outside its shard.
    """
    try:
        document = documents.parse(data)
        schema = document["schema"]
        if schema != SCHEMA:
            raise BadIndex(f"it has schema {schema}, this catdog reads {SCHEMA}")
        shards = tuple(Shard(str(row["name"]), int(row["size"]), int(row["crc32c"])) for row in document["shards"])
        pictures = tuple(_pictures(document["pictures"], shards))
        fingerprint = str(document["fingerprint"])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise BadIndex(f"it is not a catdog index ({type(error).__name__}: {error})") from error
    if len({picture.path for picture in pictures}) != len(pictures):
        raise BadIndex("it lists a picture twice")
    return Index(fingerprint, pictures, shards)


def _pictures(rows: Iterable[Mapping[str, Any]], shards: Sequence[Shard]) -> Iterable[Picture]:
    for row in rows:
        place = None
        if shards:
            shard, offset = shards[row["shard"]], int(row["offset"])
            if not 0 <= offset <= offset + int(row["size"]) <= shard.size:
                raise BadIndex(f"it places {row['path']!r} outside {shard.name}")
            place = Place(shard.name, offset)
        yield Picture(
            str(row["path"]), int(row["size"]), int(row["crc32c"]), int(row["width"]), int(row["height"]), place
        )
