import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pictures import jpeg, write_split
from tests.unit.trainer.data.odd_pictures import exif, with_segments
from trainer.data.split import list_data_set
from trainer.data_verbs import check_data, import_data, pack_data
from trainer.exits import Exit, ExitError
from trainer.requests import DataCheckRequest, DataImportRequest, DataPackRequest
from trainer.storage.opening import open_storage
from trainer.storage.retry import RetryPolicy


@pytest.fixture(autouse=True)
def _soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.data.reading.DAMAGED", RetryPolicy(total=0.2, first_wait=0.01, longest_wait=0.05))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_split(tmp_path / "data", 20)


@pytest.fixture
def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, object]]:
    def check(code: Exit = Exit.DONE) -> dict[str, object]:
        if code is Exit.DONE:
            assert check_data(DataCheckRequest(str(folder), "json")) == Exit.DONE
        else:
            with pytest.raises(ExitError) as raised:
                check_data(DataCheckRequest(str(folder), "json"))
            assert raised.value.code == code
        answer: dict[str, object] = json.loads(capsys.readouterr().out)
        assert answer["usable"] == (code is Exit.DONE)
        return answer

    return check


def test_a_sound_data_set(checked: Callable[[], dict[str, object]]) -> None:
    answer = checked()
    assert answer["splits"] == {split: {"cats": 20, "dogs": 20} for split in ("train", "valid", "test")}
    assert answer["balance"] == 1
    assert [answer[key] for key in ("corrupt", "damaged", "odd", "problems", "packed")] == [[], [], [], [], False]


def test_one_corrupt_picture_in_a_hundred_is_told_and_two_are_too_many(
    folder: Path, checked: Callable[..., dict[str, object]]
) -> None:
    (folder / "train/cats/3.jpg").write_bytes(b"no picture")
    assert checked()["corrupt"] == [{"path": "train/cats/3.jpg", "reason": "neither a JPEG nor a PNG"}]
    (folder / "test/dogs/3.jpg").write_bytes(jpeg(5)[:-400])
    answer = checked(Exit.BAD_DATA)
    assert answer["problems"] == ["2 of 120 pictures cannot be used, more than 1%"]
    assert [one["path"] for one in answer["corrupt"]] == ["test/dogs/3.jpg", "train/cats/3.jpg"]  # type: ignore[attr-defined]


def test_a_picture_in_two_splits_makes_it_unusable_and_one_twice_in_a_split_does_not(
    folder: Path, checked: Callable[..., dict[str, object]]
) -> None:
    (folder / "train/cats/copy.jpg").write_bytes((folder / "train/cats/0.jpg").read_bytes())
    answer = checked()
    assert answer["duplicates"] == {"within": [["train/cats/0.jpg", "train/cats/copy.jpg"]], "across": []}
    assert answer["contradicting"] == []
    (folder / "test/cats/leak.jpg").write_bytes((folder / "valid/cats/0.jpg").read_bytes())
    answer = checked(Exit.BAD_DATA)
    assert answer["duplicates"]["across"] == [["valid/cats/0.jpg", "test/cats/leak.jpg"]]  # type: ignore[index]
    assert answer["contradicting"] == []


@pytest.mark.parametrize("other", ["train/cats/copy.jpg", "valid/cats/copy.jpg"])
def test_a_picture_under_two_labels_makes_it_unusable(
    folder: Path, checked: Callable[..., dict[str, object]], other: str
) -> None:
    (folder / other).write_bytes((folder / "train/dogs/0.jpg").read_bytes())
    answer = checked(Exit.BAD_DATA)
    assert answer["contradicting"] == [sorted(["train/dogs/0.jpg", other])]
    assert any("have more than one label, such as " in str(one) for one in answer["problems"])  # type: ignore[attr-defined]


def test_a_class_that_has_nothing_of_its_own_is_named(folder: Path, checked: Callable[..., dict[str, object]]) -> None:
    for i, path in enumerate(sorted((folder / "test/dogs").iterdir())):
        path.write_bytes((folder / f"train/dogs/{i}.jpg").read_bytes())
    problems = checked(Exit.BAD_DATA)["problems"]
    assert "of class 'dogs' nothing is left without the pictures that other classes or splits have" in problems  # type: ignore[operator]


def test_rotated_pictures_are_counted(
    folder: Path, checked: Callable[..., dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked()["rotated"] == 0
    for i, orientation in enumerate((6, 3, 1, 2)):
        path = folder / f"train/cats/{i}.jpg"
        path.write_bytes(with_segments(path.read_bytes(), exif(orientation)))
    assert checked()["rotated"] == 3
    assert check_data(DataCheckRequest(str(folder))) == Exit.DONE
    assert (
        "3 pictures are rotated or mirrored by their Exif, and are turned upright when read" in capsys.readouterr().out
    )


def test_odd_files_are_named(folder: Path, checked: Callable[..., dict[str, object]]) -> None:
    (folder / "train/cats/notes.txt").write_bytes(b"")
    (folder / "README").write_bytes(b"")
    (folder / "index-0123456789abcdef.bin").write_bytes(b"")  # a stopped writer's columns
    (folder / "train/stray.jpg").write_bytes(b"")
    assert checked()["odd"] == ["README", "train/cats/notes.txt", "train/stray.jpg"]


def test_a_missing_class_is_one_line(folder: Path) -> None:
    for path in (folder / "valid/dogs").iterdir():
        path.unlink()
    with pytest.raises(ExitError, match="class 'dogs' is not in valid") as raised:
        check_data(DataCheckRequest(str(folder)))
    assert raised.value.code == Exit.BAD_DATA


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_changed_under_its_index_is_found(
    folder: Path, tmp_path: Path, packed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_data(DataImportRequest(str(folder), str(folder))) == Exit.DONE  # adds the index
    place, path, name = folder, folder / "train/dogs/7.jpg", "train/dogs/7.jpg"
    if packed:
        place = tmp_path / "packed"
        assert pack_data(DataPackRequest(str(folder), str(place))) == Exit.DONE
        path = place / "shards/train-00000-of-00001.tfrecord"
        train = list_data_set(open_storage(str(place))).splits["train"]
        name = train[int(train.offset.argmax())].name
    content = bytearray(path.read_bytes())
    content[len(content) - 300] ^= 1
    path.write_bytes(bytes(content))
    capsys.readouterr()
    with pytest.raises(ExitError, match="1 pictures differ from the listing or the index"):
        check_data(DataCheckRequest(str(place), "json"))
    answer = json.loads(capsys.readouterr().out)
    assert answer["packed"] == packed
    assert [one["path"] for one in answer["damaged"]] == [name]


def test_the_answer_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(15):
        (folder / f"train/cats/more {i}.jpg").write_bytes(jpeg(5000 + i))
        (folder / f"extra-{i:02d}.txt").write_bytes(b"")
    assert check_data(DataCheckRequest(str(folder))) == Exit.DONE
    captured = capsys.readouterr()
    told = captured.out.splitlines()
    assert told[:5] == [
        "left aside: 15 .txt files, such as extra-00.txt",
        "train: 55 pictures (cats 35, dogs 20)",
        "valid: 40 pictures (cats 20, dogs 20)",
        "test: 40 pictures (cats 20, dogs 20)",
        "the largest class of train is 1.8 times the smallest",
    ]
    assert told[5] == "not a picture of the data set: extra-00.txt"
    assert told[-2] == "… and 5 more, not a picture of the data set"
    assert told[-1].startswith("fingerprint ")
    assert captured.err.splitlines()[-1] == "checking: 135 of 135 pictures"


def test_pictures_that_libjpeg_decodes_in_spite_of_damage_are_listed_by_name(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number, cut in ((3, b"\xff\xd9"), (7, b"\xff\xd0")):  # an end, or a restart, in the middle
        damaged = bytearray(jpeg(900 + number, 300, 200))
        middle = len(damaged) // 2
        damaged[middle : middle + 2] = cut
        (folder / f"train/cats/{number}.jpg").write_bytes(damaged)
    odd = jpeg(999, 300, 200)
    odd = odd[:11] + b"\0\0" + odd[13:]  # revision 0.00 of JFIF: no damage, but libjpeg warns of that too
    (folder / "train/dogs/5.jpg").write_bytes(odd)
    assert check_data(DataCheckRequest(str(folder), "json")) == Exit.DONE
    answer = json.loads(capfd.readouterr().out)
    assert answer["doubtful"] == [
        {"path": f"train/cats/{number}.jpg", "reason": "Corrupt JPEG data: premature end of data segment"}
        for number in (3, 7)
    ]
    assert answer["corrupt"] == []
    assert check_data(DataCheckRequest(str(folder))) == Exit.DONE
    told = capfd.readouterr()
    assert "decoded in spite of damage: train/cats/3.jpg: Corrupt JPEG data: premature end" in told.out
    assert "Corrupt" not in told.err
