import shutil
from pathlib import Path

import google_crc32c
import pytest

from trainer.data.data_set import MOST_LISTED, DataSet, describe
from trainer.data.rules import Rules
from trainer.data.split import list_data_set
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three pictures a class and split; their content does not matter for listing."""
    root = tmp_path / "pets"
    for split in ("train", "valid", "test"):
        for name in ("cat", "dog"):
            for i in range(3):
                path = root / split / name / f"{i}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{split} {name} {i}".encode())
    return root


def listed(root: Path) -> DataSet:
    return list_data_set(open_storage(str(root)))


def refused(root: Path, code: Exit) -> str:
    with pytest.raises(ExitError) as caught:
        listed(root)
    assert caught.value.code == code
    assert caught.value.message.startswith(str(root))
    assert "\n" not in caught.value.message
    return caught.value.message.removeprefix(str(root))


def test_a_tree_is_listed_in_order_of_name(tree: Path) -> None:
    data = listed(tree)
    assert data.uri == str(tree)
    assert data.classes == ("cat", "dog")
    assert {split: len(examples) for split, examples in data.splits.items()} == {"train": 6, "valid": 6, "test": 6}
    assert [one.name for one in data.splits["train"]] == [
        *(f"train/cat/{i}.jpg" for i in range(3)),
        *(f"train/dog/{i}.jpg" for i in range(3)),
    ]
    assert [one.label for one in data.splits["test"]] == [0, 0, 0, 1, 1, 1]
    first = data.splits["valid"][0]
    assert (first.size, first.crc32c) == (11, google_crc32c.value(b"valid cat 0"))


def test_everything_is_listed_once(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(str(tree))
    asked: list[str] = []
    original = storage.list
    monkeypatch.setattr(storage, "list", lambda prefix="": asked.append(prefix) or original(prefix))
    list_data_set(storage)
    assert asked == [""]


def test_names_are_ordered_by_their_bytes(tree: Path) -> None:
    for name in ("10.jpg", "9.jpg", "é.jpg", "Z.jpg", "a.jpg"):
        (tree / "train/cat" / name).write_bytes(b"x")
    names = [one.name.rsplit("/", 1)[1] for one in listed(tree).splits["train"] if one.label == 0]
    assert names == ["0.jpg", "1.jpg", "10.jpg", "2.jpg", "9.jpg", "Z.jpg", "a.jpg", "é.jpg"]


def test_files_are_counted_as_image_dataset_from_directory_does(tree: Path) -> None:
    (tree / "train/dog/more.jpg").write_bytes(b"x")
    assert describe(listed(tree)) == [
        "train: Found 7 files belonging to 2 classes. (cat 3, dog 4)",
        "valid: Found 6 files belonging to 2 classes. (cat 3, dog 3)",
        "test: Found 6 files belonging to 2 classes. (cat 3, dog 3)",
    ]


def test_many_classes_are_counted_by_the_smallest_and_the_largest(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for number in range(MOST_LISTED + 1):
            for picture in range(3 if (split, number) == ("train", 7) else 2):
                file = tmp_path / split / f"class {number:02}" / f"{picture}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(f"{split} {number} {picture}".encode())
    assert describe(listed(tmp_path))[-3:-1] == [
        "train: Found 43 files belonging to 21 classes. (2 of class 00 to 3 of class 07)",
        "valid: Found 42 files belonging to 21 classes. (2 each)",
    ]


@pytest.mark.parametrize("name", ["a.jpg", "a.JPG", "a.jpeg", "a.JPEG", "a.png", "a.Png"])
def test_suffixes_of_pictures(tree: Path, name: str) -> None:
    (tree / "test/dog" / name).write_bytes(b"x")
    assert len(listed(tree).splits["test"]) == 7


def test_pictures_may_lie_deeper_in_their_class(tree: Path) -> None:
    (tree / "train/cat/2023/may").mkdir(parents=True)
    (tree / "train/cat/2023/may/a.jpg").write_bytes(b"x")
    assert "train/cat/2023/may/a.jpg" in [one.name for one in listed(tree).splits["train"]]


def test_other_files_are_ignored_and_counted(tree: Path) -> None:
    before = listed(tree)
    (tree / "README.txt").write_bytes(b"x")
    (tree / "train/notes.jpg").write_bytes(b"x")
    (tree / "train/cat/Thumbs.db").write_bytes(b"x")
    (tree / "extra/cat").mkdir(parents=True)
    (tree / "extra/cat/a.jpg").write_bytes(b"x")
    after = listed(tree)
    assert (before.ignored, after.ignored) == (0, 4)
    assert after.splits == before.splits
    assert after.fingerprint == before.fingerprint


def test_validation_stands_for_valid(tree: Path) -> None:
    before = listed(tree)
    (tree / "valid").rename(tree / "validation")
    after = listed(tree)
    assert after.splits["valid"][0].name == "validation/cat/0.jpg"
    assert after.fingerprint == before.fingerprint


def test_more_than_two_classes(tree: Path) -> None:
    for split in ("train", "valid", "test"):
        (tree / split / "bird").mkdir()
        (tree / split / "bird/a.png").write_bytes(b"x")
    data = listed(tree)
    assert data.classes == ("bird", "cat", "dog")
    assert [one.label for one in data.splits["test"]] == [0, 1, 1, 1, 2, 2, 2]


def test_a_missing_folder_is_66(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing", Exit.INPUT_MISSING) == ": no such folder; is the path right?"


def test_a_file_in_place_of_a_folder_is_66(tmp_path: Path) -> None:
    (tmp_path / "pets.zip").write_bytes(b"PK")
    assert "a file, not a folder" in refused(tmp_path / "pets.zip", Exit.INPUT_MISSING)


def test_a_folder_without_pictures_is_66(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"x")
    assert refused(tmp_path, Exit.INPUT_MISSING).startswith(": no pictures here among 1 files; a data set is")


def test_an_empty_folder_is_66(tmp_path: Path) -> None:
    assert "no pictures here" in refused(tmp_path, Exit.INPUT_MISSING)


def test_a_missing_train_split_is_66_and_named(tree: Path) -> None:
    shutil.rmtree(tree / "train")
    assert refused(tree, Exit.INPUT_MISSING) == ": the train split is missing; expected train/CLASS/*.jpg"


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_missing_split_is_cut_off_train(tree: Path, split: str) -> None:
    before = listed(tree)
    shutil.rmtree(tree / split)
    data = listed(tree)
    assert data.cut == (split,)
    assert {name: len(those) for name, those in data.splits.items()} == {"train": 4, "valid": 6, "test": 6} | {split: 2}
    assert sorted((*data.splits["train"], *data.splits[split]), key=lambda one: one.name) == list(
        before.splits["train"]
    )
    assert [line for line in describe(data) if "cut off train" in line] == [
        f"{split}: not there, cut off train by --split 0.8/0.1/0.1 and --seed 0, the same on every machine"
    ]


def test_pictures_without_splits_are_cut_and_the_seed_tells_how(tree: Path) -> None:
    for split in ("valid", "test"):
        shutil.rmtree(tree / split)
    (tree / "train").rename(tree / "pictures")
    storage = open_storage(str(tree))
    made = [list_data_set(storage, Rules(seed=seed)) for seed in range(8)]
    assert {len(one.splits[split]) for one in made for split in ("train", "valid", "test")} == {2}
    assert len({one.fingerprint for one in made}) > 1
    assert list_data_set(storage, Rules(seed=3)).splits == made[3].splits


def test_a_test_split_of_share_0_is_absent(tree: Path) -> None:
    shutil.rmtree(tree / "test")
    data = list_data_set(open_storage(str(tree)), Rules(split="0.8/0.2/0"))
    assert (data.splits["test"], data.cut) == ((), ())
    assert describe(data)[-1] == "test: none"


def test_the_layout_does_not_change_the_fingerprint(tree: Path, tmp_path: Path) -> None:
    plain = listed(tree)
    turned = tmp_path / "turned"
    for split, word in (("train", "Training_Set"), ("valid", "dev"), ("test", "holdout")):
        for name in ("cat", "dog"):
            (turned / "all" / name).mkdir(parents=True, exist_ok=True)
            shutil.copytree(tree / split / name, turned / "all" / name / word)
    assert listed(turned).fingerprint == plain.fingerprint
    assert "recognised CLASS/SPLIT/FILE in all/: 18 pictures" in describe(listed(turned))


def test_pictures_that_are_mostly_of_other_kinds_name_the_command(tree: Path) -> None:
    for path in tree.rglob("*.jpg"):
        if path.stem != "0":
            path.rename(path.with_suffix(".webp"))
    assert refused(tree, Exit.BAD_DATA) == (
        f": 12 of 18 pictures are .webp, which training does not read; convert them with `catdog data import {tree} "
        "TARGET` and train on TARGET"
    )


# Of the revision before layouts were recognised.
def test_fingerprints_of_split_data_sets_are_what_they_were(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for name in ("Kätzchen & co", "dog"):
            for file in ("1.jpg", "10.JPEG", "2.png", "deep/er/é.jpg"):
                path = tmp_path / split / name / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(f"{split} {name} {file}".encode())
    assert listed(tmp_path).fingerprint == "e91ce2c9e9b8b81a"
    (tmp_path / "train/dog/.DS_Store").write_bytes(b"")
    (tmp_path / "extra/x").mkdir(parents=True)
    (tmp_path / "extra/x/a.jpg").write_bytes(b"1")
    (tmp_path / "valid").rename(tmp_path / "validation")
    assert listed(tmp_path).fingerprint == "e91ce2c9e9b8b81a"


def test_one_class_is_65(tree: Path) -> None:
    for split in ("train", "valid", "test"):
        shutil.rmtree(tree / split / "dog")
    assert refused(tree, Exit.BAD_DATA) == "/train: only one class, 'cat'; at least two are needed"


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_class_with_no_picture_is_65_and_named(tree: Path, split: str) -> None:
    for path in (tree / split / "dog").iterdir():
        path.rename(path.with_suffix(".txt"))
    assert refused(tree, Exit.BAD_DATA) == f"/{split}/dog: no .jpg, .jpeg or .png in this class"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("valid/dog", "valid/dogs", "class 'dog' is not in valid"),
        ("test/cat", "test/Cat", "class 'Cat' is not in train"),
        ("train/cat", "train/puma", "class 'cat' is not in train"),
    ],
)
def test_classes_that_differ_between_splits_are_65(tree: Path, old: str, new: str, message: str) -> None:
    (tree / old).rename(tree / new)
    assert refused(tree, Exit.BAD_DATA) == f": {message}; every split must have the same classes"


def test_a_class_folder_that_is_empty_differs_from_train(tree: Path) -> None:
    for path in (tree / "valid/dog").iterdir():
        path.unlink()  # object storage has no empty folders: the class is simply not there
    assert "class 'dog' is not in valid" in refused(tree, Exit.BAD_DATA)


def test_a_copy_elsewhere_has_the_same_fingerprint(tree: Path, tmp_path: Path) -> None:
    shutil.copytree(tree, tmp_path / "copy")
    assert listed(tmp_path / "copy").fingerprint == listed(tree).fingerprint


def test_a_fingerprint_is_16_hex_digits(tree: Path) -> None:
    fingerprint = listed(tree).fingerprint
    assert len(fingerprint) == 16
    int(fingerprint, 16)


def test_what_changes_the_fingerprint(tree: Path, tmp_path: Path) -> None:
    seen = {listed(tree).fingerprint}

    def change(what: str, *paths: tuple[str, str]) -> None:
        copy = tmp_path / what
        shutil.copytree(tree, copy)
        for old, new in paths:
            (copy / old).rename(copy / new)
        if what == "byte":
            (copy / "train/cat/0.jpg").write_bytes(b"train cat 9")
        if what == "added":
            (copy / "train/cat/9.jpg").write_bytes(b"")
        fingerprint = listed(copy).fingerprint
        assert fingerprint not in seen, what
        seen.add(fingerprint)

    change("byte")
    change("added")
    change("file renamed", ("train/cat/0.jpg", "train/cat/7.jpg"))
    change("class renamed", *((f"{split}/cat", f"{split}/ant") for split in ("train", "valid", "test")))
    change("moved to another class", ("train/cat/0.jpg", "train/dog/9.jpg"))
    change("moved to another split", ("train/cat/0.jpg", "valid/cat/9.jpg"))
