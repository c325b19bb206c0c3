"""What each layout is recognised as: docs/data.md has the table that these tests hold."""

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.formats import CONVERTED_SUFFIXES
from trainer.data.kinds import LITTER, PICTURE, kind_of
from trainer.data.layout import Layout, recognise, sentences
from trainer.data.readings import split_word
from trainer.exits import Exit, ExitError

Seen = tuple[str, str, dict[str, set[str]]]


def files(*folders: str, count: int = 3, suffix: str = ".jpg") -> list[str]:
    return [f"{folder}/{i}{suffix}".removeprefix("/") for folder in folders for i in range(count)]


def numbered(folder: str, count: int = 3) -> list[str]:
    return [f"{folder}{kind}.{i}.jpg" for kind in ("cat", "dog") for i in range(count)]


def seen(layout: Layout) -> Seen:
    """Kind, wrapper, and the classes by split."""
    found: dict[str, set[str]] = {}
    for one in layout.placed:
        found.setdefault(one.split, set()).add(one.label)
    return layout.kind, layout.wrapper, found


def refused(names: list[str], code: Exit = Exit.BAD_DATA, layout: str = "auto") -> str:
    with pytest.raises(ExitError) as caught:
        recognise("gs://b/pets", names, layout=layout)
    assert caught.value.code == code
    assert caught.value.message.startswith("gs://b/pets")
    assert "\n" not in caught.value.message
    return caught.value.message


AB = {"a", "b"}
PETS = {"cats", "dogs"}
WHOLE = {"train": AB, "valid": AB, "test": AB}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # splits
        (files("train/a", "train/b", "valid/a", "valid/b", "test/a", "test/b"), ("splits", "", WHOLE)),
        (files("train/a", "train/b", "val/a", "val/b", "test/a", "test/b"), ("splits", "", WHOLE)),
        (files("Train/a", "Train/b", "VALIDATION/a", "VALIDATION/b", "Testing/a", "Testing/b"), ("splits", "", WHOLE)),
        (files("train/a", "train/b", "dev/a", "dev/b", "eval/a", "eval/b"), ("splits", "", WHOLE)),
        (files("train/a", "train/b", "val/a", "val/b", "hold-out/a", "hold-out/b"), ("splits", "", WHOLE)),
        (files("train/a", "train/b", "eval/a", "eval/b"), ("splits", "", {"train": AB, "valid": AB})),
        (
            files("train/a", "train/b", "eval/a", "eval/b", "test/a", "test/b"),
            ("splits", "", WHOLE),
        ),
        (files("train/a", "train/b", "validation/a", "validation/b"), ("splits", "", {"train": AB, "valid": AB})),
        (files("train/a", "train/b", "test/a", "test/b"), ("splits", "", {"train": AB, "test": AB})),
        (files("train/a", "train/b"), ("splits", "", {"": AB})),
        (files("x/train/a", "x/train/b", "x/val/a", "x/val/b"), ("splits", "x/", {"train": AB, "valid": AB})),
        (files("x/y/train/a", "x/y/train/b"), ("splits", "x/y/", {"": AB})),
        (
            files(
                "training_set/training_set/a",
                "training_set/training_set/b",
                "test_set/test_set/a",
                "test_set/test_set/b",
            ),
            ("splits", "", {"train": AB, "test": AB}),
        ),
        (
            files("train/images/a", "train/images/b", "val/images/a", "val/images/b"),
            ("splits", "", {"train": AB, "valid": AB}),
        ),
        (
            [*files("train/a", "train/b", "validation/a", "validation/b"), *files("test")],
            ("splits", "", {"train": AB, "valid": AB}),
        ),
        (
            [*files("train/a", "train/b", "val/a", "val/b"), *files("test/unknown")],
            ("splits", "", {"train": AB, "valid": AB}),
        ),
        (files("train/a/2023/may", "train/a", "train/b"), ("splits", "", {"": AB})),
        # folders beside a whole split data set that have nothing of it
        (
            files("train/a", "train/b", "valid/a", "valid/b", "test/a", "test/b", "samples", "docs"),
            ("splits", "", WHOLE),
        ),
        # classes
        (files("a", "b"), ("classes", "", {"": AB})),
        (files("PetImages/a", "PetImages/b"), ("classes", "PetImages/", {"": AB})),
        ([*files("PetImages/a", "PetImages/b"), "sample.jpg"], ("classes", "PetImages/", {"": AB})),
        (files("a/x", "a/y", "b"), ("classes", "", {"": AB})),
        ([*numbered("x/"), *files("a", "b", count=30)], ("classes", "", {"": {"a", "b", "x"}})),
        # classes and names agree: folders win, with their names
        (
            [f"tabby/cat.{i}.jpg" for i in range(9)] + [f"pug/dog.{i}.jpg" for i in range(9)],
            ("classes", "", {"": {"tabby", "pug"}}),
        ),
        (
            [f"tabby/cat.{i}.jpg" for i in range(9)]
            + [f"manx/cat.{i}.jpg" for i in range(9)]
            + [f"pug/dog.{i}.jpg" for i in range(9)],
            ("classes", "", {"": {"tabby", "manx", "pug"}}),
        ),
        # classes, then splits
        (files("a/train", "b/train", "a/test", "b/test"), ("classes-splits", "", {"train": AB, "test": AB})),
        # names
        (numbered(""), ("names", "", {"": PETS})),
        (numbered("train/"), ("names", "", {"": PETS})),
        (numbered("train/train/"), ("names", "", {"": PETS})),
        (numbered("dogs-vs-cats/train/"), ("names", "dogs-vs-cats/", {"": PETS})),
        ([*numbered("train/"), *files("test1")], ("names", "", {"": PETS})),
        ([*numbered("train/"), *files("test/test")], ("names", "", {"": PETS})),
        ([*numbered("train/"), *numbered("valid/")], ("names", "", {"train": PETS, "valid": PETS})),
        ([*numbered("x/train/"), *numbered("x/test/")], ("names", "x/", {"train": PETS, "test": PETS})),
        ([f"{kind}.{i}.png" for kind in ("Elk", "Owl") for i in range(3)], ("names", "", {"": {"Elk", "Owl"}})),
    ],
)
def test_layouts(names: list[str], expected: Seen) -> None:
    assert seen(recognise("x", names)) == expected
    assert seen(recognise("x", [*names, "README.md", ".git/a.jpg", "__MACOSX/train/a/._0.jpg"])) == expected


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (files("cat", "dog", "train/cat", "train/dog"), ["ambiguous", "--layout splits or --layout classes"]),
        (
            files("a", "b", "train/a", "train/b", "valid/a", "valid/b", "test/a", "test/b"),
            ["SPLIT/CLASS/FILE (classes a, b; 18 pictures)", "CLASS/FILE (classes a, b; 6 pictures)"],
        ),
        (
            [*numbered("batch1/"), *numbered("batch2/")],
            ["CLASS/FILE (classes batch1, batch2; 12 pictures)", "CLASS.NUMBER.jpg (classes cats, dogs; 12 pictures)"],
        ),
        ([f"cats/dog.{i}.jpg" for i in range(3)] + [f"dogs/cat.{i}.jpg" for i in range(3)], ["ambiguous"]),
        ([*numbered("train/", 9), *files("figures", "docs")], ["ambiguous", "--layout classes or --layout names"]),
        (files("fold1/a", "fold1/b", "fold2/a", "fold2/b"), ["'fold1' and 'fold2'", "'a' and 'b'", "--layout classes"]),
        (files("x/train/a", "x/train/b", "extra"), ["'x' may be a class, or hold the split 'train'"]),
        (
            files("val/a", "val/b", "valid/a", "valid/b", "train/a", "train/b"),
            ["'val' and 'valid' both stand for the valid split"],
        ),
        (
            files("train1/a", "train1/b", "train2/a", "train2/b"),
            ["'train1' and 'train2' both stand for the train split"],
        ),
        (files("test", "control"), ["'test' beside the class 'control' has the name of a split", "--layout classes"]),
        (files("valid", "invalid"), ["'valid' beside the class 'invalid'"]),
        (files("a", "b", "test"), ["'test' beside the class 'a'"]),
        (files("train/a", "train/dev"), ["the class 'dev' has the name of a split", "--layout splits"]),
        (files("train/a", "valid/a", "test/a"), ["/train: only one class, 'a'"]),
        (files("a"), ["only one class, 'a'"]),
        (
            files("a", suffix=".webp") + files("b", suffix=".heic"),
            ["6 of 6 pictures are .heic, .webp", "catdog data import gs://b/pets"],
        ),
        (
            [f"{word}.{i}.jpg" for word in ("dev", "ops") for i in range(3)],
            ["the class 'dev' has the name of a split", "--layout names"],
        ),
    ],
)
def test_what_stays_ambiguous_is_refused(names: list[str], words: list[str]) -> None:
    message = refused(names)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no pictures here; a data set is"),
        (["a.txt", "b/c.csv"], "no pictures here among 2 files"),
        ([".git/a.jpg", "Thumbs.db"], "no pictures here"),
        (files("train", "test"), "nothing tells their classes; give a folder per class"),
        (files(""), "nothing tells their classes"),
    ],
)
def test_what_has_no_classes_is_66(names: list[str], words: str) -> None:
    assert words in refused(names, Exit.INPUT_MISSING)


@pytest.mark.parametrize(
    ("names", "layout", "expected"),
    [
        (files("test", "control"), "classes", ("classes", "", {"": {"test", "control"}})),
        (files("x/valid", "x/invalid"), "classes", ("classes", "x/", {"": {"valid", "invalid"}})),
        (files("cat", "dog", "train/cat", "train/dog"), "classes", ("classes", "", {"": {"cat", "dog"}})),
        (files("cat", "dog", "train/cat", "train/dog"), "splits", ("splits", "", {"": {"cat", "dog"}})),
        (files("train/a", "train/dev"), "splits", ("splits", "", {"": {"a", "dev"}})),
        ([*numbered("batch1/"), *numbered("batch2/")], "names", ("names", "", {"": PETS})),
        ([*numbered("batch1/"), *numbered("batch2/")], "classes", ("classes", "", {"": {"batch1", "batch2"}})),
        (files("fold1/a", "fold1/b", "fold2/a", "fold2/b"), "classes", ("classes", "", {"": {"fold1", "fold2"}})),
    ],
)
def test_a_layout_that_is_said_is_taken(names: list[str], layout: str, expected: Seen) -> None:
    assert seen(recognise("x", names, layout=layout)) == expected


def test_a_layout_that_is_said_and_does_not_fit_is_named() -> None:
    assert "nothing tells their classes by --layout names" in refused(files("a", "b"), Exit.INPUT_MISSING, "names")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jpg", PICTURE),
        ("a.JPEG", PICTURE),
        ("a.jpe", PICTURE),
        ("a.jfif", PICTURE),
        ("a.jpg_large", PICTURE),
        ("a.jpg:large", PICTURE),
        ("a.jpg?w=300", PICTURE),
        ("a.Png", PICTURE),
        ("a", PICTURE),
        ("cat.12", PICTURE),
        ("..jpg", PICTURE),
        ("README", "no suffix"),
        ("a.webp", ".webp"),
        ("a.HEIC", ".heic"),
        ("notes.txt", ".txt"),
        ("a.jpg.part", ".part"),
        ("a.jpg~", LITTER),
        ("._a.jpg", LITTER),
        (".DS_Store", LITTER),
        ("train/_DS_Store", LITTER),
        ("x/.ipynb_checkpoints/a-checkpoint.jpg", LITTER),
        (".git/objects/a.jpg", LITTER),
        ("__MACOSX/a.jpg", LITTER),
        ("x/Thumbs.db", LITTER),
        ("desktop.ini", LITTER),
        ("@eaDir/a.jpg", LITTER),
        ("$RECYCLE.BIN/a.jpg", LITTER),
        ("System Volume Information/a.jpg", LITTER),
        ("lost+found/a.jpg", LITTER),
    ],
)
def test_kinds_of_files(name: str, kind: str) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        *[
            (word, "train")
            for word in ("train", "Training", "TRAINING_SET", "train_set", "trainset", "train1", "train_01")
        ],
        *[(word, "valid") for word in ("val", "valid", "Validation", "validation_set", "dev", "devset", "val_images")],
        *[(word, "test") for word in ("test", "testing", "test_set", "test1", "Test Set", "holdout", "hold-out")],
        *[(word, "eval") for word in ("eval", "evaluation", "eval_set")],
        *[
            (word, "")
            for word in ("cats", "trainers", "testament", "device", "value", "set", "data", "images", "1", "_")
        ],
    ],
)
def test_words_for_splits(folder: str, split: str) -> None:
    assert split_word(folder) == split


def test_import_takes_what_it_converts() -> None:
    names = [*files("a", suffix=".webp"), *files("b", suffix=".tiff"), "a/x.jpg"]
    assert len(recognise("x", names, accepts=CONVERTED_SUFFIXES).placed) == 7


def test_what_is_left_aside_is_counted_by_kind_with_an_example() -> None:
    names = [*numbered("x/train/"), *files("x/test1"), "x/list.csv", "x/.DS_Store", "x/train/a.webp", "x/train/b.webp"]
    assert sentences(recognise("u", names)) == [
        "recognised CLASS.NUMBER.jpg in x/: 6 pictures",
        "left aside: 3 pictures whose class nothing tells, such as x/test1/0.jpg",
        "left aside: 2 .webp files, which `catdog data import` converts, such as x/train/a.webp",
        "left aside: 1 .csv file, such as x/list.csv",
        "left aside: 1 hidden or system file, such as x/.DS_Store",
    ]


def test_of_a_plain_split_data_set_there_is_nothing_to_say() -> None:
    assert sentences(recognise("u", files("train/a", "train/b", "test/a", "test/b"))) == []


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        (("Training/a", "Training/b", "test/a", "test/b"), "; Training/ is train"),
        (("train/a", "train/b", "validation/a", "validation/b"), "; validation/ is valid"),
        (
            tuple(f"{s}/{s}/{c}" for s in ("training_set", "test_set") for c in "ab"),
            "; test_set/ is test, training_set/ is train",
        ),
        (("train/images/a", "train/images/b", "test/images/a", "test/images/b"), ""),
    ],
)
def test_folders_that_are_read_as_splits_by_another_name_are_told(folders: tuple[str, ...], told: str) -> None:
    names = files(*folders)
    assert sentences(recognise("u", names)) == [f"recognised SPLIT/CLASS/FILE: {len(names)} pictures{told}"]


def test_a_model_s_classes_make_one_of_them_enough() -> None:
    assert seen(recognise("x", files("a"), known=("a", "b"))) == ("classes", "", {"": {"a"}})
    assert seen(recognise("x", files("new/b"), known=("a", "b"))) == ("classes", "new/", {"": {"b"}})


_parts = st.sampled_from(
    [
        "train",
        "Train",
        "val",
        "valid",
        "test",
        "test1",
        "eval",
        "holdout",
        "cat",
        "dog",
        "a",
        "..",
        "",
        ".git",
        "é",
        "x y",
    ]
)
_leaves = st.sampled_from(
    ["1.jpg", "2.png", "cat.1.jpg", "dog.2.jpg", "dog.2", "x", "a.webp", "b.txt", "._1.jpg", "", "."]
)
_names = st.lists(st.tuples(st.lists(_parts, max_size=4), _leaves).map(lambda n: "/".join([*n[0], n[1]])), max_size=30)


def answer(names: Collection[str], layout: str) -> Layout | tuple[Exit, str]:
    try:
        return recognise("u", names, layout=layout)
    except ExitError as error:
        return error.code, error.message


@given(_names, st.sampled_from(["auto", "splits", "classes", "names"]), st.randoms())
def test_any_names_are_recognised_or_refused_in_a_line(names: list[str], layout: str, shuffle: "object") -> None:
    shuffled = list(names)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (answer(set(listed), layout) for listed in (names, shuffled))
    assert first == second
    if isinstance(first, tuple):
        assert first[0] in (Exit.BAD_DATA, Exit.INPUT_MISSING)
        assert "\n" not in first[1]
        return
    assert len(first.placed) + first.ignored == len(set(names))
    assert len({one.label for one in first.placed}) >= 2
    assert len({(one.split, one.label, one.rest) for one in first.placed}) == len(first.placed)
    if layout == "auto":
        assert not any(split_word(one.label) for one in first.placed)
