import dataclasses
import json
import struct
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import odd
from tests.indexes import as_rows, dimensions, document_of_rows, index_in
from tests.pictures import write_split
from trainer.data.data_set import SPLITS, DataSet, counts_of, describe, fingerprint_of, stored_path
from trainer.data.decode import PixelPath
from trainer.data.examples import Example, Examples, Place
from trainer.data.index import ALIGNMENT, TYPES, BadIndex, Index, Part, Shard, is_index
from trainer.data.index_reading import CHECKSUM, decode_columns, decode_head, head_checksum
from trainer.data.index_writing import encode, write_index
from trainer.data.order import epoch_order
from trainer.data.reading import reader
from trainer.data.shards import pack
from trainer.data.source import open_source
from trainer.data.split import list_data_set
from trainer.data.stream import Limits, PictureStream
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage

SHARDS = (Shard("shards/a", 2**40, 1), Shard("shards/ä b", 2**40, 2))

numbers = st.integers(0, 2**32 - 1)
letters = st.characters(codec="utf-8", exclude_characters="/")
labels = st.text(letters, min_size=1, max_size=4)
rests = st.text(letters, min_size=1, max_size=12) | st.sampled_from(["a b", "a\nb", "a\0", "a", "x/y.jpg", "ü", "😀"])
facts = st.tuples(st.sampled_from(SPLITS), labels, rests)
values = st.tuples(numbers, numbers, numbers, numbers, st.sampled_from(SHARDS), st.integers(0, 2**39))


def made(rows: Mapping[tuple[str, str, str], Any], packed: bool, folders: Mapping[str, str] | None = None) -> Index:
    """The index of these pictures: (split, class, name) → (size, crc32c, width, height, shard, offset)."""
    folders = {split: split for split in SPLITS} | dict(folders or {})
    classes = tuple(sorted({label for _, label, _ in rows}))
    parts = {}
    for split in SPLITS:
        own = sorted((one for one in rows if one[0] == split), key=lambda one: f"{one[1]}/{one[2]}".encode())
        found = [rows[one] for one in own]
        examples = Examples.of(
            Example(
                f"{folders[split]}/{label}/{rest}",
                classes.index(label),
                size,
                crc,
                Place(shard.name, offset) if packed else None,
            )
            for (_, label, rest), (size, crc, _, _, shard, offset) in zip(own, found, strict=True)
        )
        sides = np.array([one[2:4] for one in found], np.uint32).reshape(-1, 2)
        parts[split] = Part(folders[split], examples, sides[:, 0], sides[:, 1])
    return Index("0123456789abcdef", classes, parts, SHARDS if packed else ())


def read(head: bytes, columns: bytes) -> Index:
    found = decode_head(head)
    return found if isinstance(found, Index) else decode_columns(found, memoryview(columns))


def decoded(index: Index) -> Index:
    encoded = encode(index)
    return read(encoded.head, b"".join(piece.tobytes() for piece in encoded.pieces))


def told(index: Index) -> object:
    """All that an index says, to compare."""
    splits = {split: (part.folder, list(part.examples)) for split, part in index.parts.items()}
    return index.fingerprint, index.classes, index.shards, splits, dimensions(index)


@given(st.dictionaries(facts, values, max_size=12), st.booleans(), st.sampled_from(["valid", "validation"]))
def test_an_index_is_read_as_it_was_written(rows: dict[Any, Any], packed: bool, folder: str) -> None:
    index = made(rows, packed, {"valid": folder})
    assert told(decoded(index)) == told(index)
    assert encode(decoded(index)).head == encode(index).head


@given(st.dictionaries(facts, values, min_size=1, max_size=12), st.booleans())
def test_rows_of_json_give_the_same_columns(rows: dict[Any, Any], packed: bool) -> None:
    index = made(rows, packed)
    document = document_of_rows(index)
    document["pictures"].reverse()
    found = decode_head(json.dumps(document).encode())
    assert isinstance(found, Index)
    assert told(found) == told(index)
    assert not found.trusted


ONE = {
    ("train", "a", "1.jpg"): (5, 6, 7, 8, SHARDS[0], 10),
    ("train", "b", "2.jpg"): (50, 60, 7, 8, SHARDS[1], 100),
    ("valid", "b", "ü.jpg"): (51, 61, 7, 8, SHARDS[1], 10),
}
WHOLE = encode(made(ONE, True))
HEAD, COLUMNS = WHOLE.head, b"".join(piece.tobytes() for piece in WHOLE.pieces)


def test_other_tools_need_json_and_a_table_of_columns() -> None:
    document = json.loads(HEAD)
    assert {row["name"]: row["dtype"] for row in document["table"]} == TYPES
    assert all(row["offset"] % ALIGNMENT == 0 for row in document["table"])
    found = {
        row["name"]: np.frombuffer(COLUMNS, row["dtype"], row["count"], row["offset"]) for row in document["table"]
    }
    assert (found["label"].tolist(), found["size"].tolist()) == ([0, 1, 1], [5, 50, 51])
    assert (found["shard"].tolist(), found["offset"].tolist()) == ([0, 1, 1], [10, 100, 10])
    names, ends = found["name"].tobytes(), found["name_offset"].tolist()
    assert [names[start:end].decode() for start, end in pairwise(ends)] == [
        "1.jpg",
        "2.jpg",
        "ü.jpg",
    ]
    assert document["splits"][1] == {"name": "valid", "folder": "valid", "pictures": 1}
    assert document["classes"] == ["a", "b"]
    assert document["columns"]["crc32c"] == google_crc32c.value(COLUMNS)
    digits = document["checksum"]
    zeros = HEAD.replace(digits.encode(), b"00000000", 1)
    assert google_crc32c.value(zeros) == int(digits, 16)


def refused(head: bytes, columns: bytes = COLUMNS) -> str:
    with pytest.raises(BadIndex) as caught:
        read(head, columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_any_byte_of_the_head_that_is_changed_or_cut_off_is_noticed() -> None:
    for at in range(len(HEAD)):
        refused(HEAD[:at])
        for bit in range(8):
            refused(HEAD[:at] + bytes([HEAD[at] ^ 1 << bit]) + HEAD[at + 1 :])


def test_any_byte_of_the_columns_that_is_changed_or_cut_off_is_noticed() -> None:
    for at in range(len(COLUMNS)):
        refused(HEAD, COLUMNS[:at])
        refused(HEAD, COLUMNS[:at] + bytes([COLUMNS[at] ^ 0x10]) + COLUMNS[at + 1 :])


@given(st.data())
@settings(max_examples=200)
def test_a_damaged_document_is_refused_in_a_line(chance: st.DataObject) -> None:
    data = bytearray(chance.draw(st.sampled_from([HEAD, json.dumps(document_of_rows(made(ONE, True))).encode()])))
    for _ in range(chance.draw(st.integers(1, 4))):
        data[chance.draw(st.integers(0, len(data) - 1))] = chance.draw(st.integers(0, 255))
    assert "\n" not in str(odd.refusal(lambda: decode_head(bytes(data)), BadIndex))


def signed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The head with a change, and the checksum that goes with it."""
    document = json.loads(HEAD)
    change(document)
    data = json.dumps(document).encode()
    found = CHECKSUM.search(data)
    assert found
    return data[: found.start(1)] + f"{head_checksum(data, found):08x}".encode() + data[found.end(1) :]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda head: head.update(schema=3), "schema 3, this catdog reads 1 and 2"),
        (lambda head: head.pop("classes"), "KeyError"),
        (lambda head: head.update(classes=["b", "a"]), "not names in order"),
        (lambda head: head.update(classes=["a"]), "a label that is no class"),
        (lambda head: head.update(classes="ab"), "TypeError"),
        (lambda head: head["columns"].update(name="../index.bin"), "cannot be in '../index.bin'"),
        (lambda head: head["splits"].pop(), "splits are not train, valid, test"),
        (lambda head: head["splits"][0].update(folder="pets"), "splits are not"),
        (lambda head: head["splits"][0].update(pictures=9), "has 3 rows, for 10 pictures"),
        (lambda head: head["splits"][0].update(pictures=True), "TypeError"),
        (lambda head: head["table"].pop(), "no column 'name'"),
        (lambda head: head["table"][0].update(count=2), "has 2 rows, for 3 pictures"),
        (lambda head: head["table"][0].update(dtype=">i4"), "cannot be 3 of '>i4'"),
        (lambda head: head["table"][0].update(offset=1), "from byte 1"),
        (lambda head: head["table"][0].update(offset=2**40), "from byte 1,099,511,627,776"),
        (lambda head: head["shards"].pop(), "a shard that it does not name"),
        (lambda head: head["shards"][0].update(size=14), "outside shards/a"),
    ],
)
def test_a_head_that_cannot_be_is_refused(change: Callable[[dict[str, Any]], object], words: str) -> None:
    assert words in refused(signed(change))


@pytest.mark.parametrize(
    ("column", "row", "value", "words"),
    [
        ("label", 0, -1, "a label that is no class"),
        ("label", 0, 1, None),
        ("label", 1, 0, None),
        ("size", 0, -1, "negative size"),
        ("shard", 2, 2, "a shard that it does not name"),
        ("offset", 1, -1, "outside shards/ä b"),
        ("offset", 1, 2**63 - 1, "outside shards/ä b"),
        ("name_offset", 0, 1, "do not follow each other"),
        ("name_offset", 1, 10, "do not follow each other"),
        ("name_offset", 3, 15, "do not follow each other"),
        ("name_offset", 2, 11, "within a character"),
        ("name", 5, 0xFF, "not UTF-8"),
    ],
)
def test_columns_that_cannot_be_are_refused(column: str, row: int, value: int, words: str | None) -> None:
    """As of a tool that writes a checksum to go with them."""
    table = {one["name"]: one for one in json.loads(HEAD)["table"]}
    width = np.dtype(TYPES[column]).itemsize
    data = bytearray(COLUMNS)
    at = table[column]["offset"] + row * width
    data[at : at + width] = np.array([value]).astype(TYPES[column]).tobytes()
    head = signed(lambda head: head["columns"].update(crc32c=google_crc32c.value(bytes(data))))
    if words is None:
        assert len(read(head, bytes(data)).parts["train"].examples) == 2
    else:
        assert words in refused(head, bytes(data))


@pytest.mark.parametrize(
    ("names", "fine"),
    [
        (["a", "b"], True),
        (["a", "a\0"], True),
        (["a", "ab"], True),
        (["é", "ü"], True),
        (["b", "a"], False),
        (["a", "a"], False),
        (["a\0", "a"], False),
        (["ab", "a"], False),
    ],
)
def test_pictures_are_in_the_order_of_their_names_each_once(names: list[str], fine: bool) -> None:
    examples = Examples.of(Example(f"train/a b/{name}", 1, 5, 6) for name in names)
    plain = made({("train", label, "x"): ONE["train", "a", "1.jpg"] for label in ("a", "a b")}, False)
    sides = np.zeros(len(names), np.uint32)
    index = dataclasses.replace(plain, parts={**plain.parts, "train": Part("train", examples, sides, sides)})
    if fine:
        assert list(decoded(index).parts["train"].examples) == list(examples)
    else:
        with pytest.raises(BadIndex, match="not in the order of their names"):
            decoded(index)


OLD = json.dumps(
    {
        "schema": 1,
        "fingerprint": "f",
        "shards": [{"name": "shards/x", "size": 15, "crc32c": 1}],
        "pictures": [
            {"path": "train/a/1.jpg", "size": 5, "crc32c": 6, "width": 7, "height": 8, "shard": 0, "offset": 10}
        ],
    }
).encode()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"offset": 10', b'"offset": 11', "places 'train/a/1.jpg' outside shards/x"),
        (b'"offset": 10', b'"offset": -1', "outside"),
        (b'"size": 5', b'"size": -5', "outside"),
        (b'"shard": 0', b'"shard": 1', "IndexError"),
        (b'"width": 7, ', b"", "KeyError"),
        (b'"width": 7, ', b'"width": -7, ', "OverflowError"),
        (b"train/a/1.jpg", b"pets/a/1.jpg", "in no class and split"),
        (b"}]}", b"", "not a catdog index"),
    ],
)
def test_damaged_rows_are_refused(old: bytes, new: bytes, words: str) -> None:
    assert read(OLD, b"").parts["train"].examples[0].place == Place("shards/x", 10)
    with pytest.raises(BadIndex, match=words):
        decode_head(OLD.replace(old, new))


# --- its use in a listing --------------------------------------------------------------------------------------------


def with_index(folder: Path) -> DataSet:
    storage = open_storage(str(write_split(folder)))
    data = list_data_set(storage)
    sides = {split: np.full(len(data.splits[split]), 40, np.uint32) for split in SPLITS}
    parts = {split: Part(split, data.splits[split], sides[split], sides[split]) for split in SPLITS}
    write_index(storage, {}, Index(data.fingerprint, data.classes, parts))
    return data


@pytest.mark.parametrize("rows", [False, True])
def test_an_index_that_fits_spares_reading_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: bool
) -> None:
    data = with_index(tmp_path)
    if rows:
        as_rows(tmp_path)
    storage = open_storage(str(tmp_path))
    calls: list[str] = []
    for name in ("read", "list"):
        original = getattr(storage, name)
        monkeypatch.setattr(storage, name, lambda *a, name=name, call=original: calls.append(name) or call(*a))
    listed = list_data_set(storage)
    assert calls == ["list", "read"]
    assert (listed.splits, listed.fingerprint, listed.ignored, listed.stale_index) == (
        data.splits,
        data.fingerprint,
        0,
        "",
    )
    assert not listed.told


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "train/cats/0.jpg").unlink(), "names 'train/cats/0.jpg', which is not there"),
        (lambda root: (root / "train/cats/0.jpg").write_bytes(b"x"), "'train/cats/0.jpg' has 1 bytes, not"),
        (lambda root: (root / "train/cats/9.jpg").write_bytes(b"x"), "does not name 'train/cats/9.jpg'"),
        (lambda root: (root / "index.json").write_bytes(b"{}"), "not a catdog index"),
        (lambda root: next(root.glob("index-*.bin")).unlink(), "are missing"),
        (lambda root: next(root.glob("index-*.bin")).write_bytes(b""), "do not match it"),
    ],
)
def test_an_index_that_does_not_fit_is_told_in_one_line_and_the_files_are_read(
    tmp_path: Path, change: Callable[[Path], object], words: str
) -> None:
    with_index(tmp_path)
    change(tmp_path)
    listed = list_data_set(open_storage(str(tmp_path)))
    (tmp_path / "index.json").unlink()
    plain = list_data_set(open_storage(str(tmp_path)))
    assert (listed.splits, listed.ignored) == (plain.splits, plain.ignored)
    assert words in listed.stale_index
    assert describe(listed) == [listed.stale_index, *describe(plain)]
    assert "\n" not in listed.stale_index


def packed(folder: Path, valid: str = "valid") -> Path:
    write_split(folder / "loose")
    (folder / "loose/valid").rename(folder / "loose" / valid)
    storage = open_storage(str(folder / "loose"))
    pack(list_data_set(storage), reader(storage), open_storage(str(folder / "packed")), 3000, lambda: None)
    return folder / "packed"


@pytest.mark.parametrize("valid", ["valid", "validation", "dev"])
def test_loose_pictures_rows_and_columns_are_the_same_data_set(tmp_path: Path, valid: str) -> None:
    columns = list_data_set(open_storage(str(packed(tmp_path, valid))))
    loose = list_data_set(open_storage(str(tmp_path / "loose")))
    as_rows(tmp_path / "packed")
    rows = list_data_set(open_storage(str(tmp_path / "packed")))
    assert (rows.splits, rows.classes, rows.ignored) == (columns.splits, columns.classes, 0)
    assert {loose.fingerprint, rows.fingerprint, columns.fingerprint} == {fingerprint_of(loose.classes, loose.splits)}
    for split in SPLITS:
        plain = [dataclasses.replace(one, name=stored_path(split, one), inner="") for one in loose.splits[split]]
        assert [dataclasses.replace(one, place=None) for one in columns.splits[split]] == plain
    assert columns.splits["valid"][0].name.startswith("valid/" if valid == "dev" else f"{valid}/")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "do not match it"),
        (lambda data: data[:-1], "do not match it"),
        (lambda data: data[:100] + b"x" + data[101:], "are damaged"),
    ],
)
def test_damaged_columns_of_shards_are_65_in_a_line(
    tmp_path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    [columns] = packed(tmp_path).glob("index-*.bin")
    columns.write_bytes(damage(columns.read_bytes()))
    with pytest.raises(ExitError, match=words) as caught:
        list_data_set(open_storage(str(tmp_path / "packed")))
    assert caught.value.code == Exit.BAD_DATA
    assert caught.value.message.startswith(f"{tmp_path}/packed/index.json: its columns, {columns.name}, ")
    assert caught.value.message.endswith("; pack the data set again")


class Stopped(BaseException):
    """Instead of a signal."""


@pytest.mark.parametrize("stopped_at", range(4))
def test_a_writer_that_is_stopped_leaves_an_index_whose_columns_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    """Columns, head, then what is no longer needed: before each step, and after the last, the data set is whole."""
    with_index(tmp_path)
    storage = open_storage(str(tmp_path))
    index = index_in(tmp_path)
    wider = {split: dataclasses.replace(part, widths=part.widths + np.uint32(1)) for split, part in index.parts.items()}
    later = dataclasses.replace(index, parts=wider)
    done = 0
    for name in ("write", "delete"):
        original = getattr(storage, name)

        def call(*given: Any, original: Callable[..., object] = original) -> object:
            nonlocal done
            if done == stopped_at:
                raise Stopped
            done += 1
            return original(*given)

        monkeypatch.setattr(storage, name, call)
    there = {stat.name: stat for stat in storage.list()}
    if stopped_at < 3:
        with pytest.raises(Stopped):
            write_index(storage, there, later)
    else:
        write_index(storage, there, later)
    assert told(index_in(tmp_path)) == told(later if stopped_at > 1 else index)
    assert list_data_set(open_storage(str(tmp_path))).ignored == 0
    again = open_storage(str(tmp_path))
    write_index(again, {stat.name: stat for stat in again.list()}, later)
    assert told(index_in(tmp_path)) == told(later)
    assert len(list(tmp_path.glob("index-*.bin"))) == 1


def test_writing_the_same_index_again_stores_nothing(tmp_path: Path) -> None:
    with_index(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("index*")}
    storage = open_storage(str(tmp_path))
    write_index(storage, {stat.name: stat for stat in storage.list()}, index_in(tmp_path))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("index*")} == before


def test_only_names_of_an_index_are_taken_for_one() -> None:
    assert is_index("index.json")
    assert is_index(WHOLE.columns.name)
    assert not any(map(is_index, ["index-1.bin", "a/index.json", f"x/{WHOLE.columns.name}", f"{WHOLE.columns.name}\n"]))


def test_columns_of_a_local_index_are_a_map_of_the_file(tmp_path: Path) -> None:
    labels = list_data_set(open_storage(str(packed(tmp_path)))).splits["train"].labels
    assert not labels.flags.writeable
    assert not labels.flags.owndata
    assert struct.calcsize("i") == labels.itemsize


def test_no_picture_is_made_an_object_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = packed(tmp_path)
    monkeypatch.setattr("trainer.data.examples.Example", lambda *_: pytest.fail("an Example was made"))
    source = open_source(str(place))
    train = source.data.splits["train"]
    assert len(describe(source.data)) == 3
    assert counts_of(train, source.data.classes) == [len(train) // 2] * 2
    stream = PictureStream(train, source.read, PixelPath(2, 16), Limits(1, 1))
    assert sorted(epoch_order(0, 0, len(stream))) == list(range(len(train)))
