"""Blocks of features: how a split is cut, what a file holds, and how blocks become a cache again."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.examples import Rejected
from trainer.data.features import (
    BLOCK,
    CHUNK,
    Block,
    BlockName,
    blocks_of,
    chunks_of,
    decode,
    encode,
    find,
    joined,
    key_of,
    make_room,
)
from trainer.data.order import PADDING
from trainer.storage.opening import open_storage

WIDTH = 3


def block(pictures: int, variants: int = 1, start: int = 0, bad: int | None = None) -> Block:
    """Row i of variant v is [i, i, i] + v / 2."""
    rows = np.repeat(np.arange(start, start + pictures, dtype=np.float32)[:, None], WIDTH, axis=1)
    usable = np.arange(pictures) != bad
    rejected = {} if bad is None else {bad: Rejected(f"cats/{start + bad}.jpg", "damaged: ü")}
    return Block(np.stack([rows + v / 2 for v in range(variants)]), usable, rejected)


@given(st.dictionaries(st.sampled_from(["train", "valid", "test"]), st.integers(0, 3 * BLOCK)))
def test_blocks_cover_each_picture_once_and_in_order(counts: dict[str, int]) -> None:
    names = blocks_of(counts)
    for split, count in counts.items():
        covered = [i for name in names if name.split == split for i in range(name.first, name.last)]
        assert covered == list(range(count))
    assert len({name.file for name in names}) == len(names)


@given(st.integers(1, BLOCK))
def test_chunks_cover_a_block_and_only_the_last_is_short(pictures: int) -> None:
    chunks = list(chunks_of(pictures))
    assert [i for first, last in chunks for i in range(first, last)] == list(range(pictures))
    assert all(last - first == CHUNK for first, last in chunks[:-1])


def test_a_block_survives_its_file() -> None:
    before = block(5, 2, bad=3)
    after = decode(encode(before), 2, 5, WIDTH)
    assert after is not None
    np.testing.assert_array_equal(after.features, before.features)
    np.testing.assert_array_equal(after.usable, before.usable)
    assert after.rejected == before.rejected


@pytest.mark.parametrize("shape", [(1, 5, WIDTH), (2, 4, WIDTH), (2, 5, WIDTH + 1)])
def test_a_block_of_another_shape_is_none(shape: tuple[int, int, int]) -> None:
    assert decode(encode(block(5, 2)), *shape) is None


@given(st.data())
def test_a_damaged_file_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(encode(block(5, 2, bad=1)))
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        assert decode(bytes(whole[:at]), 2, 5, WIDTH) is None
        return
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    found = decode(bytes(whole), 2, 5, WIDTH)
    # A flipped bit in the header may change nothing that is read, such as a space.
    assert found is None or found.features.tobytes() == block(5, 2, bad=1).features.tobytes()


def test_a_damaged_block_is_looked_for_elsewhere(tmp_path: Path) -> None:
    first, second = (open_storage(str(tmp_path / name)) for name in ("first", "second"))
    name = BlockName("valid", 0, 0, 5)
    assert find((first, second), name, 1, WIDTH) is None
    first.write(name.file, encode(block(5))[:-1])
    second.write(name.file, encode(block(5)))
    found = find((first, second), name, 1, WIDTH)
    assert found is not None
    np.testing.assert_array_equal(found.features, block(5).features)


@pytest.mark.parametrize("budget", [0, 1 << 20])
def test_mirrored_rows_come_after_all_others(budget: int, tmp_path: Path) -> None:
    cache = joined([block(3, 2), block(2, 2, start=3, bad=1)], [0, 1, 0, 1, 1], budget, tmp_path)
    assert isinstance(cache.features, np.memmap) is (budget == 0)
    assert cache.features[:, 0].tolist() == [0, 1, 2, 3, 4, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert cache.labels.tolist() == [0, 1, 0, 1, 1] * 2
    assert cache.usable.tolist() == [True, True, True, True, False] * 2
    assert (cache.pictures, len(cache), cache.rejected[0].path) == (5, 10, "cats/4.jpg")
    rows, labels, weights = cache.rows(np.array([6, PADDING, 9], np.int64))
    assert (rows[:, 0].tolist(), labels.tolist(), weights.tolist()) == ([1.5, 0, 0], [1, 0, 1], [1, 0, 0])


def test_the_hash_is_of_all_features_in_order(tmp_path: Path) -> None:
    def digest(*blocks: Block) -> str:
        return joined(blocks, [0] * sum(len(one.usable) for one in blocks), 1 << 20, tmp_path).sha256

    one, other = block(3), block(2, start=3)
    assert digest(one, other) == digest(one, other)
    assert len({digest(one, other), digest(other, one), digest(one, block(2, start=3, bad=0)), digest(one)}) == 4


def test_a_key_depends_on_every_fact_and_not_on_their_order() -> None:
    assert key_of({"a": 1, "b": "x"}) == key_of({"b": "x", "a": 1})
    assert len({key_of({"a": 1}), key_of({"a": 2}), key_of({"b": 1})}) == 3


def test_room_is_made_from_what_was_used_longest_ago(tmp_path: Path) -> None:
    for age, name in enumerate(["newest", "mine", "older", "oldest"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "block").write_bytes(bytes(100))
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))
    make_room(tmp_path, "mine", limit=400)
    assert len(list(tmp_path.iterdir())) == 4
    make_room(tmp_path, "mine", limit=200)
    assert {one.name for one in tmp_path.iterdir()} == {"mine", "newest"}
    make_room(tmp_path, "mine", limit=10)
    assert {one.name for one in tmp_path.iterdir()} == {"mine"}
