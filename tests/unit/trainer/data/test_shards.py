from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.indexes import as_rows, dimensions, index_in
from tests.pictures import jpeg, write_split
from trainer.data.blocks import blocks_of, is_sorted_by_class
from trainer.data.data_set import SPLITS, DataSet
from trainer.data.examples import Example
from trainer.data.reading import reader
from trainer.data.rules import Rules
from trainer.data.shards import cut_split, framed, pack
from trainer.data.split import list_data_set
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage


def packed(source: Path, target: Path, shard_bytes: int = 5000) -> DataSet:
    storage = open_storage(str(source))
    pack(list_data_set(storage), reader(storage), open_storage(str(target)), shard_bytes, lambda: None)
    return list_data_set(open_storage(str(target)))


def test_framing_is_that_of_tfrecord(tmp_path: Path) -> None:
    records = [b"", b"x", bytes(range(256)) * 40]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in records:
            writer.write(record)
    assert b"".join(part for record in records for part in framed(record)) == (tmp_path / "theirs").read_bytes()


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60), st.integers(1, 200))
def test_every_picture_is_in_one_shard_and_shards_have_about_the_size(sizes: list[int], limit: int) -> None:
    examples = [Example(f"train/a/{i:03d}.jpg", 0, size, 0) for i, size in enumerate(sizes)]
    cuts = cut_split("train", examples, limit)
    assert [i for cut in cuts for i in range(cut.first, cut.last)] == list(range(len(sizes)))
    assert all(sum(sizes[cut.first : cut.last - 1]) < limit for cut in cuts)
    assert all(sum(sizes[cut.first : cut.last]) >= limit for cut in cuts[:-1])
    assert [cut.name for cut in cuts] == [f"shards/train-{i:05d}-of-{len(cuts):05d}.tfrecord" for i in range(len(cuts))]


def test_a_packed_data_set_has_the_names_ids_fingerprint_and_bytes_of_the_loose_one(tmp_path: Path) -> None:
    loose = list_data_set(open_storage(str(write_split(tmp_path / "loose", 9))))
    data = packed(tmp_path / "loose", tmp_path / "packed")
    assert (data.fingerprint, data.classes) == (loose.fingerprint, loose.classes)
    assert len(list((tmp_path / "packed/shards").iterdir())) > 6
    assert not list((tmp_path / "packed").rglob("*.jpg"))
    for split in SPLITS:
        plain = [(one.name, one.label, one.size, one.crc32c) for one in loose.splits[split]]
        assert [(one.name, one.label, one.size, one.crc32c) for one in data.splits[split]] == plain
        read = dict(reader(open_storage(str(tmp_path / "packed")))(data.splits[split]))
        assert [read[i] for i in range(len(plain))] == [(tmp_path / "loose" / one[0]).read_bytes() for one in plain]


def test_any_tfrecord_tool_reads_the_shards(tmp_path: Path) -> None:
    write_split(tmp_path / "loose", 4)
    data = packed(tmp_path / "loose", tmp_path / "packed")
    files = sorted(str(path) for path in (tmp_path / "packed/shards").glob("train-*"))
    schema = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/filename": tf.io.FixedLenFeature([], tf.string),
        "image/class/text": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
        "image/format": tf.io.FixedLenFeature([], tf.string),
        "image/width": tf.io.FixedLenFeature([], tf.int64),
        "image/height": tf.io.FixedLenFeature([], tf.int64),
    }
    records = [tf.io.parse_single_example(record, schema) for record in tf.data.TFRecordDataset(files)]
    assert len(records) == 8
    by_place = sorted(
        data.splits["train"], key=lambda one: (one.place.shard, one.place.offset) if one.place else ("", 0)
    )
    for record, example in zip(records, by_place, strict=True):
        assert record["image/encoded"].numpy() == (tmp_path / "loose" / example.name).read_bytes()
        assert record["image/filename"].numpy().decode() == example.name
        assert record["image/class/label"].numpy() == example.label
        assert record["image/class/text"].numpy().decode() == data.classes[example.label]
        assert record["image/format"].numpy() == b"jpeg"
        assert (record["image/width"].numpy(), record["image/height"].numpy()) == (40, 30)


def test_pictures_of_train_are_mixed_and_those_that_are_evaluated_are_in_order(tmp_path: Path) -> None:
    write_split(tmp_path / "loose", 40)
    data = packed(tmp_path / "loose", tmp_path / "packed", 1 << 20)
    for split in SPLITS:
        places = [one.place.offset for one in data.splits[split] if one.place]
        assert (places == sorted(places)) == (split != "train")
    blocks = blocks_of(data.splits["train"])
    assert blocks is not None
    assert not is_sorted_by_class(blocks, np.array([one.label for one in data.splits["train"]], np.int32))


def test_a_picture_that_cannot_be_decoded_keeps_its_id(tmp_path: Path) -> None:
    write_split(tmp_path / "loose")
    (tmp_path / "loose/train/cats/1.jpg").write_bytes(b"")
    (tmp_path / "loose/train/cats/2.jpg").write_bytes(b"\xff\xd8\xff no picture")
    loose = list_data_set(open_storage(str(tmp_path / "loose")))
    data = packed(tmp_path / "loose", tmp_path / "packed")
    assert data.fingerprint == loose.fingerprint
    found = dimensions(index_in(tmp_path / "packed"))
    assert [found[f"train/cats/{i}.jpg"] for i in range(3)] == [(40, 30), (0, 0), (0, 0)]


def test_packing_packed_data_again_gives_the_same_shards(tmp_path: Path) -> None:
    write_split(tmp_path / "loose")
    packed(tmp_path / "loose", tmp_path / "one")
    packed(tmp_path / "one", tmp_path / "two")
    assert {path.name: path.read_bytes() for path in (tmp_path / "one/shards").iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "two/shards").iterdir()
    }
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "two/shards").iterdir()}
    packed(tmp_path / "loose", tmp_path / "two")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_target_with_other_data_is_refused(tmp_path: Path) -> None:
    write_split(tmp_path / "loose", 6)
    with pytest.raises(ExitError, match="choose an empty location") as raised:
        packed(tmp_path / "loose", tmp_path / "loose")
    assert raised.value.code == Exit.BAD_OPTION
    packed(tmp_path / "loose", tmp_path / "packed")
    with pytest.raises(ExitError, match="not shards of this data set"):
        packed(tmp_path / "loose", tmp_path / "packed", 1 << 20)


def test_shards_that_are_not_those_of_the_index_are_told(tmp_path: Path) -> None:
    write_split(tmp_path / "loose")
    packed(tmp_path / "loose", tmp_path / "packed", 1 << 20)
    index = (tmp_path / "packed/index.json").read_bytes()
    shard = tmp_path / "packed/shards/valid-00000-of-00001.tfrecord"
    content = shard.read_bytes()
    storage = open_storage(str(tmp_path / "packed"))
    shard.write_bytes(content[:-1])
    with pytest.raises(ExitError, match=r"valid-00000-of-00001\.tfrecord: this shard does not match index\.json"):
        list_data_set(storage)
    shard.unlink()
    with pytest.raises(ExitError, match="this shard is missing"):
        list_data_set(storage)
    shard.write_bytes(content)
    (tmp_path / "packed/index.json").write_bytes(index[:100])
    with pytest.raises(ExitError, match="pack the data set again") as raised:
        list_data_set(storage)
    assert raised.value.code == Exit.BAD_DATA


def test_rows_of_json_that_do_not_match_their_fingerprint_are_told(tmp_path: Path) -> None:
    write_split(tmp_path / "loose")
    packed(tmp_path / "loose", tmp_path / "packed", 1 << 20)
    as_rows(tmp_path / "packed")
    index = tmp_path / "packed/index.json"
    index.write_bytes(index.read_bytes().replace(b"train/cats/0.jpg", b"train/cats/7.jpg"))
    with pytest.raises(ExitError, match="do not match its fingerprint"):
        list_data_set(open_storage(str(tmp_path / "packed")))


def test_a_set_without_splits_is_packed_as_it_was_cut(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        for i in range(6):
            path = tmp_path / "loose" / name / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(i * 2 + (name == "dogs")))
    loose, storage = list_data_set(open_storage(str(tmp_path / "loose"))), open_storage(str(tmp_path / "loose"))
    pack(loose, reader(storage), open_storage(str(tmp_path / "packed")), 1 << 20, lambda: None)
    data = list_data_set(open_storage(str(tmp_path / "packed")))
    assert data.fingerprint == loose.fingerprint
    for split in SPLITS:
        assert [one.within for one in data.splits[split]] == [one.within for one in loose.splits[split]]
        assert [one.crc32c for one in data.splits[split]] == [one.crc32c for one in loose.splits[split]]
    assert [len(data.splits[split]) for split in SPLITS] == [8, 2, 2]


def test_an_absent_test_split_makes_no_shard(tmp_path: Path) -> None:
    write_split(tmp_path / "loose", 4, ("train", "valid"))
    storage = open_storage(str(tmp_path / "loose"))
    loose = list_data_set(storage, Rules(split="0.9/0.1/0"))
    pack(loose, reader(storage), open_storage(str(tmp_path / "packed")), 1 << 20, lambda: None)
    assert [path.name[:5] for path in sorted((tmp_path / "packed/shards").iterdir())] == ["train", "valid"]
    data = list_data_set(open_storage(str(tmp_path / "packed")))
    assert (data.splits["test"], data.fingerprint) == ((), loose.fingerprint)
