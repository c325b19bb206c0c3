"""Reads an index: its head, and its columns as they lie in memory, checked in whole columns instead of row by row."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt

from trainer import documents
from trainer.data.data_set import SPLITS, split_of
from trainer.data.examples import LOOSE, Examples, Texts
from trainer.data.index import COLUMNS, INDEX, SCHEMA, TYPES, BadIndex, Index, Part, Shard
from trainer.data.index_rows import SCHEMA_OF_ROWS, decode_rows
from trainer.storage.base import Stat, Storage
from trainer.storage.errors import StorageMissing
from trainer.storage.large import read_large
from trainer.storage.names import NAME_LIMIT

CHECKSUM = re.compile(rb'"checksum":\s*"([0-9a-f]{8})"')
NO_CHECKSUM = b"00000000"
"""What stands in place of the checksum when it is computed."""

_BLOCK = 1 << 16
"""Rows that are checked at a time: what is computed for them takes little memory."""

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Head:
    """What index.json says: the object with the columns, `table`: column → (dtype, count, offset in bytes), and
    `parts`: split → (folder, pictures)."""

    fingerprint: str
    classes: tuple[str, ...]
    shards: tuple[Shard, ...]
    columns: Shard
    table: Mapping[str, tuple[str, int, int]]
    parts: Mapping[str, tuple[str, int]]


def read_index(storage: Storage, there: Mapping[str, Stat]) -> Index:
    """The index of a data set, of which `there` is the listing. Columns of a local one are a map of the file.

    Raises:
        BadIndex: it is damaged, of a later schema, or not complete.
        ExitError: 74 and 77 from storage.
    """
    try:
        head = decode_head(storage.read(INDEX))
        if isinstance(head, Index):
            return head
        name, stat = head.columns.name, there.get(head.columns.name)
        if stat is None:
            raise BadIndex(f"its columns, {name}, are missing")
        if stat.size != head.columns.size or stat.crc32c not in (None, head.columns.crc32c):
            raise BadIndex(f"its columns, {name}, do not match it")
        return decode_columns(head, read_large(storage, stat))
    except StorageMissing as error:
        raise BadIndex("it disappeared") from error


def decode_head(data: bytes) -> Head | Index:
    """The head; of a document of schema 1, which has its pictures in it, the index.

    Raises:
        BadIndex: it is neither.
    """
    try:
        document = documents.parse(data)
        schema = document["schema"]
        if schema == SCHEMA_OF_ROWS:
            return decode_rows(document)
        if schema != SCHEMA:
            raise BadIndex(f"it has schema {schema}, this catdog reads {SCHEMA_OF_ROWS} and {SCHEMA}")
        _require_checksum(data)
        return _head(document)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise BadIndex(f"it is not a catdog index ({type(error).__name__}: {error})") from error


def _require_checksum(data: bytes) -> None:
    found = CHECKSUM.search(data)
    if found is None or int(found[1], 16) != head_checksum(data, found):
        raise BadIndex("it is damaged: its content does not match its checksum")


def head_checksum(data: bytes, found: re.Match[bytes]) -> int:
    """CRC-32C of a head, with zeros in place of the digits that were `found` in it."""
    return int(google_crc32c.value(data[: found.start(1)] + NO_CHECKSUM + data[found.end(1) :]))


def _head(document: Mapping[str, Any]) -> Head:
    classes, shards, table, parts = (_several(document[key]) for key in ("classes", "shards", "table", "splits"))
    head = Head(
        _text(document["fingerprint"]),
        tuple(_text(name) for name in classes),
        tuple(_object(one) for one in shards),
        _object(document["columns"]),
        {_text(one["name"]): (_text(one["dtype"]), _number(one["count"]), _number(one["offset"])) for one in table},
        {_text(one["name"]): (_text(one["folder"]), _number(one["pictures"])) for one in parts},
    )
    if COLUMNS.fullmatch(head.columns.name) is None:
        raise BadIndex(f"its columns cannot be in {head.columns.name!r}")
    if list(head.classes) != sorted(set(head.classes)) or any("/" in name or not name for name in head.classes):
        raise BadIndex("its classes are not names in order, each once")
    if set(head.parts) != set(SPLITS) or any(split_of(folder) != split for split, (folder, _) in head.parts.items()):
        raise BadIndex(f"its splits are not {', '.join(SPLITS)}")
    return head


def _several(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    value.encode()  # a lone surrogate is a ValueError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise TypeError(f"{value!r} is no number of things or bytes")
    return value


def _object(row: Mapping[str, Any]) -> Shard:
    return Shard(_text(row["name"]), _number(row["size"]), _number(row["crc32c"]))


def decode_columns(head: Head, buffer: memoryview) -> Index:
    """The index whose columns are views of the buffer, which is read once, for its checksum and what must hold.

    Raises:
        BadIndex: the checksum is another one, or the columns contradict each other or the head.
    """
    if len(buffer) != head.columns.size or _checksum(buffer) != head.columns.crc32c:
        raise BadIndex(f"its columns, {head.columns.name}, are damaged")
    total = sum(pictures for _, pictures in head.parts.values())
    columns = _columns(head, buffer, total)
    _require_possible(head, columns)
    parts, first = {}, 0
    for split in SPLITS:
        folder, pictures = head.parts[split]
        rows = slice(first, first + pictures)
        examples = _examples(head, columns, folder, rows)
        _require_order(split, head.classes, examples)
        parts[split] = Part(folder, examples, columns["width"][rows], columns["height"][rows])
        first += pictures
    return Index(head.fingerprint, head.classes, parts, head.shards)


def _checksum(buffer: memoryview) -> int:
    return int(google_crc32c.value(np.frombuffer(buffer, np.uint8)))  # it takes arrays, no views of memory


def _columns(head: Head, buffer: memoryview, total: int) -> Columns:
    found: Columns = {}
    for name, dtype in TYPES.items():
        if name in ("shard", "offset") and not head.shards:
            continue
        if name not in head.table:
            raise BadIndex(f"it has no column {name!r}")
        there, count, offset = head.table[name]
        width = np.dtype(dtype).itemsize
        if there != dtype or offset % width or offset + count * width > len(buffer):
            raise BadIndex(f"its column {name!r} cannot be {count:,} of {there!r} from byte {offset:,}")
        if name != "name" and count != total + (name == "name_offset"):
            raise BadIndex(f"its column {name!r} has {count:,} rows, for {total:,} pictures")
        found[name] = np.frombuffer(buffer, dtype, count, offset)
    return found


def _examples(head: Head, columns: Columns, folder: str, rows: slice) -> Examples:
    pictures = rows.stop - rows.start
    texts = Texts.between(columns["name"], columns["name_offset"][rows.start : rows.stop + 1])
    return Examples(
        columns["label"][rows],
        columns["size"][rows],
        columns["crc32c"][rows],
        columns["shard"][rows] if head.shards else np.full(pictures, LOOSE, np.int32),
        columns["offset"][rows] if head.shards else np.zeros(pictures, np.int64),
        tuple(shard.name for shard in head.shards),
        texts,
        tuple(f"{folder}/{name}/" for name in head.classes),
    )


def _require_possible(head: Head, columns: Columns) -> None:
    """Labels are those of classes, pictures lie inside their shards, names are UTF-8 and follow each other."""
    label, size, borders, name = (columns[key] for key in ("label", "size", "name_offset", "name"))
    if len(label) and not 0 <= label.min() <= label.max() < len(head.classes):
        raise BadIndex("it has a label that is no class")
    if len(size) and size.min() < 0:
        raise BadIndex("it has a picture of negative size")
    if borders[0] != 0 or borders[-1] != len(name) or not (borders[:-1] < borders[1:]).all():
        raise BadIndex("its names do not follow each other")
    sizes = np.array([shard.size for shard in head.shards], np.int64)
    for at in range(0, len(label), _BLOCK):
        rows = slice(at, at + _BLOCK)
        if head.shards:
            shard, offset = columns["shard"][rows], columns["offset"][rows]
            if not 0 <= shard.min() <= shard.max() < len(sizes):
                raise BadIndex("it places a picture in a shard that it does not name")
            outside = np.flatnonzero((offset < 0) | (offset > sizes[shard] - size[rows]))
            if len(outside):
                raise BadIndex(f"it places a picture outside {head.shards[shard[outside[0]]].name}")
        _require_text(name, borders[at : at + _BLOCK + 1])


def _require_text(name: npt.NDArray[np.uint8], borders: npt.NDArray[np.int64]) -> None:
    if (borders[1:] - borders[:-1]).max() > NAME_LIMIT:
        raise BadIndex("it has a name that no storage can hold")
    try:
        str(name[borders[0] : borders[-1]].data, "utf-8")
    except ValueError as error:
        raise BadIndex(f"its names are not UTF-8 ({error})") from error
    if (name[borders[:-1]] & 0xC0 == 0x80).any():
        raise BadIndex("it cuts a name within a character")


def _require_order(split: str, classes: tuple[str, ...], examples: Examples) -> None:
    """Ids are places in the order of CLASS/NAME, and no picture is there twice."""
    ranks = np.empty(len(classes), np.int64)
    ranks[sorted(range(len(classes)), key=lambda label: f"{classes[label]}/".encode())] = np.arange(len(classes))
    for at in range(0, len(examples) - 1, _BLOCK):
        part = examples[at : at + _BLOCK + 1]
        rank = ranks[part.labels]
        later = rank[1:] > rank[:-1]
        same = rank[1:] == rank[:-1]
        if not (later | (same & _ascending(part.texts))).all():
            raise BadIndex(f"its pictures of {split} are not in the order of their names, each once")


def _ascending(texts: Texts) -> npt.NDArray[np.bool_]:
    """Whether each comes before the next, by bytes: bool [n - 1]."""
    lengths = texts.ends - texts.starts
    width = int(lengths.max())
    padded = np.zeros((len(texts), width), np.uint8)
    padded[np.arange(width) < lengths[:, None]] = texts.blob[texts.starts[0] : texts.ends[-1]]
    # What numpy takes for bytes does not count zeros at the end: where two differ in nothing else, the longer is later.
    found = padded.view(f"S{width}")[:, 0]
    return (found[:-1] < found[1:]) | ((found[:-1] == found[1:]) & (lengths[:-1] < lengths[1:]))
