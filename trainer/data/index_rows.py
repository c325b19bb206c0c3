"""Schema 1 of index.json, which had a row of JSON for each picture: still read, no longer written."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainer.data.data_set import SPLITS, split_of
from trainer.data.examples import Example, Examples, Place
from trainer.data.index import BadIndex, Index, Part, Shard

SCHEMA_OF_ROWS = 1


def decode_rows(document: Mapping[str, Any]) -> Index:
    """The index that the document holds.

    Raises:
        BadIndex: it names a picture twice, in no split, or outside its shard.
        ValueError, TypeError, LookupError: a field is missing, or no number.
    """
    shards = tuple(Shard(str(row["name"]), int(row["size"]), int(row["crc32c"])) for row in document["shards"])
    rows = document["pictures"]
    classes = tuple(sorted({_parts(row)[1] for row in rows}))
    numbers = {name: number for number, name in enumerate(classes)}
    found: dict[str, list[tuple[Example, int, int]]] = {split: [] for split in SPLITS}
    for row in rows:
        folder, label, _ = _parts(row)
        place = _place(row, shards) if shards else None
        example = Example(str(row["path"]), numbers[label], int(row["size"]), int(row["crc32c"]), place)
        found[split_of(folder)].append((example, int(row["width"]), int(row["height"])))
    if len({row["path"] for row in rows}) != len(rows):
        raise BadIndex("it lists a picture twice")
    parts = {split: _part(split, pictures) for split, pictures in found.items()}
    return Index(str(document["fingerprint"]), classes, parts, shards, trusted=False)


def _parts(row: Mapping[str, Any]) -> list[str]:
    parts = str(row["path"]).split("/", 2)
    if len(parts) < 3 or split_of(parts[0]) not in SPLITS:
        raise BadIndex(f"it names {row['path']!r}, which is in no class and split")
    return parts


def _place(row: Mapping[str, Any], shards: tuple[Shard, ...]) -> Place:
    shard, offset = shards[row["shard"]], int(row["offset"])
    if not 0 <= offset <= offset + int(row["size"]) <= shard.size:
        raise BadIndex(f"it places {row['path']!r} outside {shard.name}")
    return Place(shard.name, offset)


def _part(split: str, pictures: list[tuple[Example, int, int]]) -> Part:
    pictures.sort(key=lambda row: (row[0].within.encode(), row[0].name))
    return Part(
        pictures[0][0].name.partition("/")[0] if pictures else split,
        Examples.of(example for example, _, _ in pictures),
        np.fromiter((width for _, width, _ in pictures), np.uint32, len(pictures)),
        np.fromiter((height for _, _, height in pictures), np.uint32, len(pictures)),
    )
