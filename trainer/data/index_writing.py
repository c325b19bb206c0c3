"""Writes an index: the columns first, under a name that says what is in them, and the head last."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from trainer.data.data_set import SPLITS
from trainer.data.examples import Examples, Texts
from trainer.data.index import ALIGNMENT, INDEX, SCHEMA, TYPES, Index, Shard, is_index
from trainer.data.index_reading import CHECKSUM, NO_CHECKSUM, head_checksum
from trainer.data.prepare import is_stored
from trainer.storage.base import Stat, Storage


@dataclass(frozen=True)
class Encoded:
    """An index as it is stored: the head, and the columns as pieces of one object."""

    head: bytes
    columns: Shard
    pieces: tuple[npt.NDArray[np.uint8], ...]


def write_index(target: Storage, there: Mapping[str, Stat], index: Index) -> None:
    """Store the index of what is stored already; what is there stays. `there` is what the target held before.

    A writer that is stopped leaves the head that was there, whose columns are untouched: they have other names. What
    such a writer has left is removed by the next one.
    """
    made = encode(index)
    if not is_stored(target, there.get(made.columns.name), made.columns.size, made.columns.crc32c):
        target.write(made.columns.name, made.pieces)
    if INDEX not in there or target.read(INDEX) != made.head:
        target.write(INDEX, made.head)
    for name in there:
        if is_index(name) and name not in (INDEX, made.columns.name):
            target.delete(name)


def encode(index: Index) -> Encoded:
    """The head and the columns; equal indexes give equal bytes."""
    table, pieces = _laid_out(_columns(index))
    digest, checksum = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece.data)
        checksum = google_crc32c.extend(checksum, piece)
    columns = Shard(f"index-{digest.hexdigest()[:16]}.bin", sum(len(piece) for piece in pieces), checksum)
    return Encoded(_head(index, columns, table), columns, pieces)


def _columns(index: Index) -> dict[str, npt.NDArray[Any]]:
    parts = [index.parts[split] for split in SPLITS]
    names = [_rests(part.folder, index.classes, part.examples) for part in parts]
    lengths = np.concatenate([one.ends - one.starts for one in names])
    columns: dict[str, list[npt.NDArray[Any]]] = {
        "label": [part.examples.labels for part in parts],
        "size": [part.examples.sizes for part in parts],
        "crc32c": [part.examples.crc32c for part in parts],
        "width": [part.widths for part in parts],
        "height": [part.heights for part in parts],
        "name_offset": [np.zeros(1, np.int64), np.cumsum(lengths)],
        "name": [_joined(one) for one in names],
    }
    if index.shards:
        numbers = {shard.name: number for number, shard in enumerate(index.shards)}
        columns["shard"] = [_numbered(part.examples, numbers) for part in parts]
        columns["offset"] = [part.examples.offset for part in parts]
    return {name: np.concatenate(columns[name]).astype(dtype) for name, dtype in TYPES.items() if name in columns}


def _rests(folder: str, classes: tuple[str, ...], examples: Examples) -> Texts:
    """NAME of each picture, which is FOLDER/CLASS/NAME."""
    if examples.prefixes == tuple(f"{folder}/{name}/" for name in classes) and examples.inner is None:
        return examples.texts
    skipped = [len(name) + 1 for name in classes]
    labels = examples.labels.tolist()
    return Texts.of(within[skipped[label] :] for within, label in zip(examples.withins, labels, strict=True))


def _joined(texts: Texts) -> npt.NDArray[np.uint8]:
    if len(texts) and not (texts.starts[1:] == texts.ends[:-1]).all():
        return Texts.of(texts).blob
    return texts.blob[texts.starts[0] : texts.ends[-1]] if len(texts) else texts.blob[:0]


def _numbered(examples: Examples, numbers: Mapping[str, int]) -> npt.NDArray[np.int32]:
    """The column `shard` by the numbers that shards have in the index."""
    own = np.array([numbers.get(name, -1) for name in examples.shards], np.int32)
    return own[examples.shard] if len(own) else examples.shard


def _laid_out(
    columns: Mapping[str, npt.NDArray[Any]],
) -> tuple[list[dict[str, Any]], tuple[npt.NDArray[np.uint8], ...]]:
    table, pieces, at = [], list[npt.NDArray[np.uint8]](), 0
    for name, column in columns.items():
        table.append({"name": name, "dtype": TYPES[name], "count": len(column), "offset": at})
        padding = np.zeros(-column.nbytes % ALIGNMENT, np.uint8)
        pieces += [piece for piece in (column.view(np.uint8), padding) if len(piece)]
        at += column.nbytes + len(padding)
    return table, tuple(pieces)


def _head(index: Index, columns: Shard, table: Iterable[Mapping[str, Any]]) -> bytes:
    """JSON, a line for each column and shard; the checksum is of the whole document, with zeros in its place."""
    parts = index.parts
    members = {
        "schema": SCHEMA,
        "checksum": NO_CHECKSUM.decode(),
        "fingerprint": index.fingerprint,
        "columns": _row(columns),
        "splits": [
            {"name": split, "folder": parts[split].folder, "pictures": len(parts[split].examples)} for split in SPLITS
        ],
        "classes": list(index.classes),
        "table": list(table),
        "shards": [_row(shard) for shard in index.shards],
    }
    lines = ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in members.items())
    document = f"{{{lines}}}\n".encode()
    found = CHECKSUM.search(document)
    assert found is not None
    digits = f"{head_checksum(document, found):08x}".encode()
    return document[: found.start(1)] + digits + document[found.end(1) :]


def _row(shard: Shard) -> dict[str, Any]:
    return {"name": shard.name, "size": shard.size, "crc32c": shard.crc32c}


def _lines(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)
