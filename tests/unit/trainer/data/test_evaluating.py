"""Which pictures `catdog evaluate` takes."""

from pathlib import Path

import pytest

from trainer.data.evaluating import pictures_to_evaluate
from trainer.data.examples import Examples
from trainer.data.rules import AS_IT_IS, Rules
from trainer.data.split import list_data_set
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage

CLASSES = ("ant", "cat", "dog")


def write(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def per_class(*folders: str) -> list[str]:
    return [f"{folder}{name}/{i}.jpg" for folder in folders for name in ("cat", "dog") for i in range(10)]


def taken(
    root: Path, classes: tuple[str, ...] = CLASSES, trained_on: str = "", rules: Rules = AS_IT_IS
) -> tuple[Examples, list[str]]:
    said: list[str] = []
    return pictures_to_evaluate(open_storage(str(root)), classes, trained_on, rules, said.append), said


def test_all_of_a_folder_per_class_with_the_models_labels(tmp_path: Path) -> None:
    found, said = taken(write(tmp_path, "cat/0.jpg", "cat/1.jpg", "dog/0.jpg"))
    assert [(one.name, one.label) for one in found] == [("cat/0.jpg", 1), ("cat/1.jpg", 1), ("dog/0.jpg", 2)]
    assert said == []


@pytest.mark.parametrize("names", [["dog/0.jpg"], ["new/dog/0.jpg"], ["test/dog/0.jpg"], ["dog.7.jpg"]])
def test_one_class_is_enough(tmp_path: Path, names: list[str]) -> None:
    classes = ("cats", "dogs") if names == ["dog.7.jpg"] else ("cat", "dog")
    found, _ = taken(write(tmp_path, *names), classes)
    assert {one.label for one in found} == {1}


def test_a_class_that_the_model_does_not_know_is_65(tmp_path: Path) -> None:
    with pytest.raises(ExitError, match="class 'dog' is not one of the model's: cat, horse") as caught:
        taken(write(tmp_path, "cat/0.jpg", "dog/0.jpg"), ("cat", "horse"))
    assert caught.value.code == Exit.BAD_DATA


def test_no_classes_are_66(tmp_path: Path) -> None:
    with pytest.raises(ExitError, match="give a folder per class") as caught:
        taken(write(tmp_path, "a.jpg"))
    assert caught.value.code == Exit.INPUT_MISSING


@pytest.mark.parametrize(
    ("there", "split", "said"),
    [
        (["train/", "val/", "test/"], "test", []),
        (["train/", "testing/"], "testing", []),
        (["test/"], "test", []),
        (["train/", "validation/"], "validation", ["no test split here: valid is taken"]),
        (["dev/"], "dev", ["no test split here: valid is taken"]),
    ],
)
def test_of_a_split_data_set_the_test_split_or_what_it_says(
    tmp_path: Path, there: list[str], split: str, said: list[str]
) -> None:
    found, told = taken(write(tmp_path, *per_class(*there)))
    assert {one.name.partition("/")[0] for one in found} == {split}
    assert len(found) == 20
    assert told == said


@pytest.mark.parametrize("folder", ["", "train/", "pets/"])
def test_of_the_pictures_it_was_trained_on_the_same_test_split(tmp_path: Path, folder: str) -> None:
    write(tmp_path, *per_class(folder))
    rules = Rules(seed=5, split="0.6/0.2/0.2")
    data = list_data_set(open_storage(str(tmp_path)), rules)
    found, said = taken(tmp_path, ("cat", "dog"), data.fingerprint, rules)
    assert found == data.splits["test"]
    assert len(found) == 4
    assert said == ["the run was trained on these pictures: its test split is taken, as it was cut"]
    write(tmp_path, f"{folder}cat/more.jpg")
    assert len(taken(tmp_path, ("cat", "dog"), data.fingerprint, rules)[0]) == 21


def test_a_model_may_have_a_class_of_the_name_test(tmp_path: Path) -> None:
    found, _ = taken(write(tmp_path, "test/0.jpg", "control/0.jpg"), ("control", "test"))
    assert [one.label for one in found] == [0, 1]
