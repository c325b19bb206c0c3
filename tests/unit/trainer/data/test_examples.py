from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.examples import LOOSE, Example, Examples, Place, Texts

places = st.none() | st.builds(Place, st.sampled_from(["shards/a", "shards/b"]), st.integers(0, 2**40))
text = st.text(st.characters(codec="utf-8"), max_size=8)
examples = st.builds(
    Example,
    st.builds(lambda split, rest: f"{split}/{rest}", st.sampled_from(["train", "validation"]), text),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**50),
    st.integers(0, 2**32 - 1),
    places,
    text,
)
lists = st.lists(examples, max_size=20)


@given(lists)
def test_columns_are_a_sequence_of_the_same_examples(rows: list[Example]) -> None:
    columns = Examples.of(rows)
    assert list(columns) == rows
    assert [columns[i] for i in range(-len(rows), len(rows))] == rows + rows
    assert list(columns.names) == [one.name for one in rows]
    assert list(columns.withins) == [one.within for one in rows]
    assert columns == Examples.of(rows) == tuple(rows)
    assert Examples.of(columns) is columns


@given(lists, st.data())
def test_slices_and_chosen_rows_are_those_of_the_list(rows: list[Example], chance: st.DataObject) -> None:
    columns = Examples.of(rows)
    part = chance.draw(st.slices(len(rows)))
    assert list(columns[part]) == rows[part]
    ids = chance.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)) if rows else []
    assert list(columns.take(np.array(ids, np.int64))) == [rows[i] for i in ids]


def test_a_slice_shares_the_columns() -> None:
    columns = Examples.of(Example(f"train/a/{i}", i, 5, 6) for i in range(9))
    part = columns[2:5]
    assert all(
        np.shares_memory(getattr(part, name), getattr(columns, name))
        for name in ("labels", "sizes", "crc32c", "shard", "offset")
    )
    assert part.texts.blob is columns.texts.blob


def test_columns_have_their_types_and_say_where_pictures_are() -> None:
    packed = Example("train/a/1", 0, 5, 2**32 - 1, Place("shards/x", 2**33))
    columns = Examples.of([packed, replace(packed, place=None)])
    assert [str(one.dtype) for one in (columns.labels, columns.sizes, columns.crc32c)] == ["int32", "int64", "uint32"]
    assert (columns.shard.tolist(), columns.offset.tolist(), columns.shards) == ([0, LOOSE], [2**33, 0], ("shards/x",))
    assert (columns.packed, columns[1:].packed) == (True, False)


def test_beyond_the_end_is_an_index_error() -> None:
    columns = Examples.of([Example("train/a/1", 0, 5, 6)])
    for row in (1, -2):
        with pytest.raises(IndexError):
            columns[row]


def test_names_begin_with_the_prefix_of_their_label_and_keep_it_when_labels_change() -> None:
    plain = Examples.of([Example("1", 1, 5, 6), Example("2", 0, 5, 6)])
    columns = replace(plain, prefixes=("train/a/", "train/b/"))
    assert list(columns.names) == ["train/b/1", "train/a/2"]
    moved = columns.relabelled([4, 2])
    assert [(one.name, one.label) for one in moved] == [("train/b/1", 2), ("train/a/2", 4)]
    assert moved[0].within == "b/1"
    assert [one.label for one in plain.relabelled([4, 2])] == [2, 4]


def test_no_strings_are_no_rows() -> None:
    assert list(Texts.of([])) == []
    assert (len(Examples.of([])), Examples.of([]) == ()) == (0, True)
