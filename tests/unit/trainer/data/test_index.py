import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pictures import write_split
from trainer.data.examples import Place
from trainer.data.index import BadIndex, Index, Picture, Shard, decode, encode
from trainer.data.split import SPLITS, DataSet, describe, list_data_set
from trainer.storage.opening import open_storage

numbers = st.integers(0, 2**32 - 1)
rest = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=12)


@given(st.dictionaries(rest, st.tuples(numbers, numbers, numbers, numbers)), st.booleans())
def test_an_index_is_read_as_it_was_written(facts: dict[str, tuple[int, int, int, int]], packed: bool) -> None:
    shards = (Shard("shards/a", 2**34, 1), Shard("shards/b", 2**34, 2)) if packed else ()
    pictures = tuple(
        Picture(
            f"train/cats/{name}", size, crc, width, height, Place(shards[width % 2].name, width) if packed else None
        )
        for name, (size, crc, width, height) in sorted(facts.items(), key=lambda item: item[0].encode())
    )
    index = Index("0123456789abcdef", pictures, shards)
    assert decode(encode(index)) == index


def test_the_document_is_json_with_the_class_of_each_picture() -> None:
    document = json.loads(encode(Index("f", (Picture("valid/dogs/ä.png", 5, 6, 7, 8),))))
    assert document["pictures"] == [
        {"path": "valid/dogs/ä.png", "class": "dogs", "size": 5, "crc32c": 6, "width": 7, "height": 8}
    ]
    assert (document["schema"], document["fingerprint"], document["shards"]) == (1, "f", [])


GOOD = encode(Index("f", (Picture("train/a/1.jpg", 5, 6, 7, 8, Place("shards/x", 10)),), (Shard("shards/x", 15, 1),)))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"schema": 1', b'"schema": 2', "schema 2, this catdog reads 1"),
        (b'"offset": 10', b'"offset": 11', "places 'train/a/1.jpg' outside shards/x"),
        (b'"offset": 10', b'"offset": -1', "outside"),
        (b'"size": 5', b'"size": -5', "outside"),
        (b'"shard": 0', b'"shard": 1', "IndexError"),
        (b'"width": 7, ', b"", "KeyError"),
        (b"}\n", b"", "not a catdog index"),
    ],
)
def test_a_damaged_index_is_refused(old: bytes, new: bytes, words: str) -> None:
    assert decode(GOOD).pictures[0].place == Place("shards/x", 10)
    with pytest.raises(BadIndex, match=words):
        decode(GOOD.replace(old, new))


# --- its use in a listing --------------------------------------------------------------------------------------------


def with_index(folder: Path) -> DataSet:
    data = list_data_set(open_storage(str(write_split(folder))))
    pictures = (Picture(one.name, one.size, one.crc32c, 40, 30) for split in SPLITS for one in data.splits[split])
    (folder / "index.json").write_bytes(encode(Index(data.fingerprint, tuple(pictures))))
    return data


def test_an_index_that_fits_spares_reading_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = with_index(tmp_path)
    storage = open_storage(str(tmp_path))
    read: list[str] = []
    original = storage.read
    monkeypatch.setattr(storage, "read", lambda name: read.append(name) or original(name))
    listed = list_data_set(storage)
    assert read == ["index.json"]
    assert (listed.splits, listed.fingerprint, listed.ignored, listed.stale_index) == (
        data.splits,
        data.fingerprint,
        0,
        "",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda root: (root / "train/cats/0.jpg").unlink(), "names 'train/cats/0.jpg', which is not there"),
        (lambda root: (root / "train/cats/0.jpg").write_bytes(b"x"), "'train/cats/0.jpg' has 1 bytes, not"),
        (lambda root: (root / "train/cats/9.jpg").write_bytes(b"x"), "does not name 'train/cats/9.jpg'"),
        (lambda root: (root / "index.json").write_bytes(b"{}"), "not a catdog index"),
    ],
)
def test_an_index_that_does_not_fit_is_told_in_one_line_and_the_files_are_read(
    tmp_path: Path, change: "object", words: str
) -> None:
    with_index(tmp_path)
    change(tmp_path)  # type: ignore[operator]
    listed = list_data_set(open_storage(str(tmp_path)))
    (tmp_path / "index.json").unlink()
    plain = list_data_set(open_storage(str(tmp_path)))
    assert listed.splits == plain.splits
    assert words in listed.stale_index
    assert describe(listed) == [listed.stale_index, *describe(plain)]
    assert "\n" not in listed.stale_index
