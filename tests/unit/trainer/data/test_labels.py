"""Labels from a table."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.data_set import DataSet, describe
from trainer.data.labels import Row, columns_of, parse, place
from trainer.data.layout import Layout, sentences
from trainer.data.rules import Rules
from trainer.data.split import list_data_set
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage

TABLE = b"path,label\na/0.jpg,cat\na/1.jpg,dog\n"


def rows(text: str, columns: str = "") -> tuple[Row, ...]:
    return parse("labels.csv", text.encode(), columns_of(columns))


def placed(text: str, *names: str, columns: str = "") -> Layout:
    return place("pets", "labels.csv", rows(text, columns), names)


def labels(layout: Layout) -> dict[str, tuple[str, str]]:
    return {one.name: (one.label, one.split) for one in layout.placed}


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.jpg,cat\nb.jpg,dog\n",
        "\ufeffpath,label\r\na.jpg,cat\r\nb.jpg,dog\r\n",
        "path;label\na.jpg;cat\nb.jpg;dog",
        "label\tother\tpath\ncat\t1\ta.jpg\ndog\t2\tb.jpg\n",
        'path, label\n"a.jpg", cat\nb.jpg,dog\n\n',
        "path,label\n./a.jpg,cat\nb,dog\n",
    ],
)
def test_tables_as_programs_write_them(text: str) -> None:
    assert labels(placed(text, "a.jpg", "b.jpg")) == {"a.jpg": ("cat", ""), "b.jpg": ("dog", "")}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("train/a.jpg", "train/a.jpg"),
        ("a.jpg", "train/a.jpg"),
        ("a", "train/a.jpg"),
        ("train/a", "train/a.jpg"),
        ("train\\a.jpg", "train/a.jpg"),
        ("a.b", "train/a.b.png"),
    ],
)
def test_a_path_may_be_the_end_of_a_name_without_its_suffix(path: str, name: str) -> None:
    assert labels(placed(f"path,label\n{path},cat\nz,dog\n", name, "train/z.jpg"))[name] == ("cat", "")


def test_a_path_that_may_be_two_files_is_65() -> None:
    with pytest.raises(ExitError, match=r"'a' may be 'x/a\.jpg' or 'y/a\.jpg'; give longer paths") as caught:
        placed("path,label\na,cat\nb,dog\n", "x/a.jpg", "y/a.jpg", "b.jpg")
    assert caught.value.code == Exit.BAD_DATA
    whole = placed("path,label\na.jpg,cat\nx/a.jpg,dog\n", "a.jpg", "x/a.jpg")
    assert labels(whole) == {"a.jpg": ("cat", ""), "x/a.jpg": ("dog", "")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,breed\na,b\n", r"labels\.csv: no column 'path'; there are id, breed; name them with --labels-columns"),
        ("", "no column 'path'"),
        (
            "path,label\nz.jpg,cat\n",
            r"none of its rows is a picture of pets; the first is 'z\.jpg', a picture is 'a\.jpg'",
        ),
        ("path,label\na.jpg,cat\nb.jpg,cat\n", "only one class, 'cat'"),
        ("path,label\na.jpg,cat\na,dog\n", r"'a\.jpg' has two labels, 'cat' and 'dog'"),
        ("path,label,split\na.jpg,cat,monday\n", "row 2: split 'monday'; it must be train, valid or test"),
        ("path,label\na.jpg,cat/tabby\nb.jpg,dog\n", "row 2: class 'cat/tabby'"),
    ],
)
def test_what_is_no_table_of_these_pictures_is_65(text: str, words: str) -> None:
    with pytest.raises(ExitError, match=words) as caught:
        placed(text, "a.jpg", "b.jpg")
    assert caught.value.code == Exit.BAD_DATA
    assert "\n" not in caught.value.message


def test_a_table_in_another_encoding_is_65() -> None:
    with pytest.raises(ExitError, match="not UTF-8 text"):
        parse("labels.csv", b"path,label\ncaf\xe9.jpg,cat\n", columns_of(""))


def test_columns_are_named_and_a_split_column_is_taken() -> None:
    made = placed(
        "id,breed,fold\na,cat,Training\nb,dog,train\nc,cat,val\nd,dog,eval\n",
        "a.jpg",
        "b.jpg",
        "c.jpg",
        "d.jpg",
        columns="path=id,label=breed,split=fold",
    )
    assert [split for _, split in labels(made).values()] == ["train", "train", "valid", "valid"]


@pytest.mark.parametrize("text", ["id", "file=id", "path=", "path=a,b"])
def test_columns_that_cannot_be_name_their_flag(text: str) -> None:
    with pytest.raises(ExitError, match="--labels-columns is") as caught:
        columns_of(text)
    assert caught.value.code == Exit.BAD_OPTION


def test_splits_of_the_folders_are_kept_where_all_pictures_lie_in_some() -> None:
    text = "path,label\n0,cat\n1,dog\n2,cat\n3,dog\n"
    made = placed(text, "train/0.jpg", "train/1.jpg", "val/2.jpg", "val/3.jpg")
    assert [split for _, split in labels(made).values()] == ["train", "train", "valid", "valid"]
    assert {split for _, split in labels(placed(text, *(f"train/{i}.jpg" for i in range(4)))).values()} == {""}


def test_rows_without_a_picture_and_pictures_without_a_row_are_counted_and_named() -> None:
    made = placed("path,label\na,cat\nb,dog\ny,cat\nz,\n", "a.jpg", "b.jpg", "c.jpg", "z.jpg", "labels.csv")
    assert sentences(made) == [
        "recognised a table of labels: 2 pictures",
        "left aside: 2 pictures whose class nothing tells, such as c.jpg",
        "left aside: 1 .csv file, such as labels.csv",
        "left aside: 1 row of the table without a picture, such as y",
    ]


@given(st.text(alphabet="path,label\n\r\"';\t0ab.jpg", max_size=80))
def test_any_text_is_a_table_or_refused_in_a_line(text: str) -> None:
    refused = None
    try:
        placed("path,label\n" + text, "a.jpg", "b.jpg", "0.jpg")
    except ExitError as error:
        refused = error
    if refused is not None:
        assert refused.code == Exit.BAD_DATA
        assert "\n" not in refused.message


# --- its use in a listing --------------------------------------------------------------------------------------------


def listed(root: Path, labels: str, columns: str = "path=path,label=label") -> DataSet:
    return list_data_set(open_storage(str(root)), Rules(labels=labels, labels_columns=columns))


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    for i in range(20):
        path = root / "train" / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(i).encode())
    (root / "labels.csv").write_text("id,breed\n" + "".join(f"{i},{('tabby', 'boxer')[i % 2]}\n" for i in range(20)))
    return root


def test_pictures_are_listed_by_the_table_and_cut(flat: Path, tmp_path: Path) -> None:
    columns = "path=id,label=breed"
    data = listed(flat, "labels.csv", columns)
    assert data.classes == ("boxer", "tabby")
    assert {split: len(those) for split, those in data.splits.items()} == {"train": 16, "valid": 2, "test": 2}
    assert {(int(Path(one.name).stem) + one.label) % 2 for those in data.splits.values() for one in those} == {1}
    assert describe(data)[0] == "recognised a table of labels: 20 pictures"
    (flat / "labels.csv").rename(tmp_path / "elsewhere.csv")
    assert listed(flat, str(tmp_path / "elsewhere.csv"), columns).fingerprint == data.fingerprint


def test_a_table_that_is_not_there_is_66(flat: Path) -> None:
    with pytest.raises(ExitError, match=r"--labels other\.csv: there is no such file, neither here nor in ") as caught:
        listed(flat, "other.csv")
    assert caught.value.code == Exit.INPUT_MISSING
