"""Indexes of data sets for tests: read from a folder, or written as earlier versions wrote them."""

import json
from pathlib import Path
from typing import Any

from trainer.data.data_set import SPLITS
from trainer.data.index import INDEX, Index
from trainer.data.index_reading import read_index
from trainer.storage.opening import open_storage


def index_in(folder: Path) -> Index:
    """The index of a data set."""
    storage = open_storage(str(folder))
    return read_index(storage, {stat.name: stat for stat in storage.list()})


def dimensions(index: Index) -> dict[str, tuple[int, int]]:
    """Width and height by name."""
    parts = [index.parts[split] for split in SPLITS]
    sizes = [zip(part.widths.tolist(), part.heights.tolist(), strict=True) for part in parts]
    return {
        name: size
        for part, own in zip(parts, sizes, strict=True)
        for name, size in zip(part.examples.names, own, strict=True)
    }


def document_of_rows(index: Index) -> dict[str, Any]:
    """What schema 1 said of it."""
    numbers = {shard.name: number for number, shard in enumerate(index.shards)}
    rows = []
    for part in index.parts.values():
        for example, width, height in zip(part.examples, part.widths.tolist(), part.heights.tolist(), strict=True):
            row = {"path": example.name, "class": index.classes[example.label], "size": example.size}
            row |= {"crc32c": example.crc32c, "width": width, "height": height}
            if example.place is not None:
                row |= {"shard": numbers[example.place.shard], "offset": example.place.offset}
            rows.append(row)
    rows.sort(key=lambda row: row["path"].encode())
    shards = [{"name": shard.name, "size": shard.size, "crc32c": shard.crc32c} for shard in index.shards]
    return {"schema": 1, "fingerprint": index.fingerprint, "shards": shards, "pictures": rows}


def as_rows(folder: Path) -> None:
    """Replace the index of a data set by one of schema 1."""
    index = index_in(folder)
    for path in folder.glob("index-*.bin"):
        path.unlink()
    (folder / INDEX).write_text(json.dumps(document_of_rows(index), ensure_ascii=False), "utf-8")
