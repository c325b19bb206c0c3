"""Pictures of a folder or an archive become a data set, whole or not at all."""

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.indexes import dimensions, index_in
from tests.pictures import archive, jpeg, kaggle_archive, kaggle_pictures, write_split
from trainer.data.contents.opening import open_contents
from trainer.data.convert import to_png
from trainer.data.data_set import SPLITS
from trainer.data.importing import Imported, import_pictures
from trainer.data.picture import check
from trainer.data.prepare import plan_import, recognise
from trainer.data.split import list_data_set
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage

ASK = {"train": "3", "valid": "1", "test": "1"}


def imported(
    source: Path | str,
    target: Path | str,
    asked: dict[str, str] = ASK,
    order: str = "name",
    seed: int = 0,
    on_done: Callable[[], None] = lambda: None,
) -> Imported:
    with open_contents(str(source), 8) as contents:
        wanted = plan_import(contents.uri, recognise(contents.uri, contents.sizes), asked, order, seed)
        return import_pictures(contents, wanted, open_storage(str(target)), check, on_done, convert=to_png)


def names(result: Imported) -> dict[str, list[str]]:
    return {split: [example.name for example in result.data.splits[split]] for split in SPLITS}


# --- archives --------------------------------------------------------------------------------------------------------


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "name", ["../train/cat.0.jpg", "/train/cat.0.jpg", "train//cat.0.jpg", "a/../../b.jpg", "x" * 1025]
)
@pytest.mark.parametrize("nested", [True, False])
def test_names_that_would_leave_the_target_refuse_the_archive(tmp_path: Path, name: str, nested: bool) -> None:
    data = archive({**kaggle_pictures(5), name: jpeg(1)})
    source = write(tmp_path / "x.zip", archive({"train.zip": data}) if nested else data)
    with pytest.raises(ExitError, match="cannot hold an object named") as raised:
        imported(source, tmp_path / "target" / "deep")
    assert raised.value.code == Exit.BAD_DATA
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zip"]


def test_links_encrypted_and_double_entries_refuse_the_archive(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("train/cat.0.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as made:
        made.writestr(link, "/etc/passwd")
    with pytest.raises(ExitError, match="is a link"):
        imported(tmp_path / "link.zip", tmp_path / "target")
    plain = bytearray(archive({"train/cat.0.jpg": b"x"}))
    plain[plain.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ExitError, match="is encrypted"):
        imported(write(tmp_path / "secret.zip", bytes(plain)), tmp_path / "target")
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as made:
        made.writestr("train/cat.0.jpg", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("train/cat.0.jpg", b"y")
    with pytest.raises(ExitError, match="twice"):
        imported(tmp_path / "twice.zip", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    bomb = archive({"train.zip": bytes(64 << 20)})
    with pytest.raises(ExitError, match="claim to expand to 67,108,864"):
        imported(write(tmp_path / "bomb.zip", bomb), tmp_path / "target")


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    data = archive({"train/cat.0.jpg": b""})
    with pytest.raises(ExitError, match="not a zip archive"):
        imported(write(tmp_path / "a.zip", data[:-5]), tmp_path / "target")
    good = bytearray(archive(kaggle_pictures(5)))
    good[200] ^= 0xFF
    with pytest.raises(ExitError, match=r"the archive is damaged here") as raised:
        imported(write(tmp_path / "b.zip", bytes(good)), tmp_path / "target")
    assert raised.value.code == Exit.BAD_DATA
    assert not (tmp_path / "target" / "index.json").exists()


# --- importing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nested", [True, False])
def test_kaggles_archive_becomes_the_split(tmp_path: Path, nested: bool) -> None:
    pictures = kaggle_pictures(7)
    source = (
        kaggle_archive(tmp_path / "dogs-vs-cats.zip", 7) if nested else write(tmp_path / "train.zip", archive(pictures))
    )
    result = imported(source, tmp_path / "data")
    assert result.data.classes == ("cats", "dogs")
    assert names(result)["train"] == [f"train/{kind}s/{kind}.{i}.jpg" for kind in ("cat", "dog") for i in range(3)]
    assert (tmp_path / "data/test/dogs/dog.4.jpg").read_bytes() == pictures["train/dog.4.jpg"]
    index = index_in(tmp_path / "data")
    listed = list_data_set(open_storage(str(tmp_path / "data")))
    assert index.fingerprint == listed.fingerprint == result.data.fingerprint
    assert listed.splits == result.data.splits
    assert listed.stale_index == ""


def test_width_and_height_are_in_the_index(tmp_path: Path) -> None:
    files = {f"{name}/{i}.jpg": jpeg(i + 10 * (name == "b"), 50 + i, 20 + i) for name in "ab" for i in range(3)}
    imported(write(tmp_path / "x.zip", archive(files)), tmp_path / "data", dict.fromkeys(SPLITS, "1"))
    index = index_in(tmp_path / "data")
    assert {name: size for name, size in dimensions(index).items() if "/a/" in name} == {
        "test/a/2.jpg": (52, 22),
        "train/a/0.jpg": (50, 20),
        "valid/a/1.jpg": (51, 21),
    }


def test_a_folder_per_class_and_an_existing_split_give_the_same_data_set(tmp_path: Path) -> None:
    for kind in ("cats", "dogs"):
        (tmp_path / "source" / kind).mkdir(parents=True)
        for i in range(5):
            (tmp_path / "source" / kind / f"{i} ä.jpg").write_bytes(jpeg(i + 10 * (kind == "dogs")))
    first = imported(tmp_path / "source", tmp_path / "first")
    second = imported(tmp_path / "first", tmp_path / "second", {})
    assert first.data.fingerprint == second.data.fingerprint
    assert names(first)["valid"] == ["valid/cats/3 ä.jpg", "valid/dogs/3 ä.jpg"]
    with pytest.raises(ExitError, match="is split already"):
        imported(tmp_path / "first", tmp_path / "third", ASK)


def test_a_duplicate_is_dropped_from_the_later_split(tmp_path: Path) -> None:
    files = kaggle_pictures(5)
    files["train/cat.4.jpg"] = files["train/dog.0.jpg"]
    files["train/dog.3.jpg"] = files["train/dog.1.jpg"]
    with pytest.raises(ExitError, match=r"class 'dogs' is empty in valid once .* = train/dogs/dog\.1\.jpg"):
        imported(write(tmp_path / "x.zip", archive(files)), tmp_path / "none")
    result = imported(tmp_path / "x.zip", tmp_path / "data", {"train": "1", "valid": "2", "test": "2"})
    assert result.left_out.dropped == (
        ("test/cats/cat.4.jpg", "train/dogs/dog.0.jpg"),
        ("test/dogs/dog.3.jpg", "valid/dogs/dog.1.jpg"),
    )
    assert not (tmp_path / "data/test/cats/cat.4.jpg").exists()
    contents = [path.read_bytes() for path in (tmp_path / "data").rglob("*.jpg")]
    assert len(contents) == len(set(contents)) == 8


def test_what_cannot_be_decoded_is_left_out_and_too_much_of_it_fails(tmp_path: Path) -> None:
    files = kaggle_pictures(5) | {"train/cat.1.jpg": b"no picture"}
    with pytest.raises(ExitError, match=r"1 of 10 pictures cannot be used.*train/cat\.1\.jpg: neither") as raised:
        imported(write(tmp_path / "x.zip", archive(files)), tmp_path / "data")
    assert raised.value.code == Exit.BAD_DATA
    assert not (tmp_path / "data/index.json").exists()
    for number in range(5, 105):
        files[f"train/cat.{number}.jpg"] = jpeg(1000 + number)
        files[f"train/dog.{number}.jpg"] = jpeg(2000 + number)
    result = imported(
        write(tmp_path / "y.zip", archive(files)), tmp_path / "more", {"train": "90", "valid": "9", "test": "6"}
    )
    assert [(one.name, one.path, one.reason) for one in result.left_out.rejected] == [
        ("train/cat.1.jpg", "train/cats/cat.1.jpg", "neither a JPEG nor a PNG")
    ]
    assert len(result.data.splits["train"]) == 179


def test_a_picture_above_the_limit_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.data.importing.LARGEST_PICTURE", 1 << 20)
    files = kaggle_pictures(5) | {"train/dog.4.jpg": bytes(2 << 20)}
    with pytest.raises(ExitError, match=r"train/dog\.4\.jpg: larger than 1 MiB"):
        imported(write(tmp_path / "x.zip", archive(files)), tmp_path / "data")


def test_an_interrupted_import_goes_on_and_writes_the_index_last(tmp_path: Path) -> None:
    source = kaggle_archive(tmp_path / "x.zip", 5)
    done = 0

    def interrupt() -> None:
        nonlocal done
        done += 1
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(source, tmp_path / "data", on_done=interrupt)
    assert not (tmp_path / "data/index.json").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.jpg")}
    assert 4 <= len(before) <= 10
    result = imported(source, tmp_path / "data")
    assert (result.stored, result.already_there) == (10 - len(before), len(before))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = imported(source, tmp_path / "data")
    assert (again.stored, again.already_there) == (0, 10)


def test_a_spoiled_file_of_the_same_size_is_stored_again(tmp_path: Path) -> None:
    source = kaggle_archive(tmp_path / "x.zip", 5)
    imported(source, tmp_path / "data")
    path = tmp_path / "data/train/cats/cat.0.jpg"
    good = path.read_bytes()
    path.write_bytes(bytes(len(good)))
    assert imported(source, tmp_path / "data").stored == 1
    assert path.read_bytes() == good


def test_a_target_with_other_pictures_is_refused_and_left_alone(tmp_path: Path) -> None:
    source = kaggle_archive(tmp_path / "x.zip", 5)
    write_split(tmp_path / "data", 1)
    before = sorted((tmp_path / "data").rglob("*"))
    with pytest.raises(ExitError, match=r"not part of this import, such as 'test/cats/0\.jpg' \(6 in all\)") as raised:
        imported(source, tmp_path / "data")
    assert raised.value.code == Exit.BAD_OPTION
    assert sorted((tmp_path / "data").rglob("*")) == before


def test_a_name_that_the_target_cannot_hold_stops_before_anything_is_stored(tmp_path: Path) -> None:
    files = kaggle_pictures(5)
    source = {f"{name.split('/')[1][:3]}s/{name[6:]}": data for name, data in files.items()}
    source["cats/" + "9" * 256 + ".jpg"] = jpeg(1)
    archived = write(tmp_path / "x.zip", archive(source))
    with pytest.raises(ExitError, match="a part of the name has 260 bytes"):
        imported(archived, tmp_path / "data", {"train": "0.6", "valid": "0.2", "test": "0.2"})
    assert not (tmp_path / "data").exists()


def test_a_missing_source_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExitError, match="no files found") as raised:
        imported(tmp_path / "absent.zip", tmp_path / "data")
    assert raised.value.code == Exit.INPUT_MISSING
    with pytest.raises(ExitError, match="download it first"):
        imported("gs://bucket/dogs-vs-cats.zip", tmp_path / "data")


def test_a_split_without_test_is_kept_and_its_litter_is_not(tmp_path: Path) -> None:
    write_split(tmp_path / "pets" / "data", 6, ("train", "val"))
    (tmp_path / "pets/data/train/.ipynb_checkpoints").mkdir()
    (tmp_path / "pets/data/train/.ipynb_checkpoints/a.jpg").write_bytes(jpeg(77))
    made = imported(tmp_path / "pets", tmp_path / "target", {})
    assert made.data.classes == ("cats", "dogs")
    assert {split: len(those) for split, those in made.data.splits.items()} == {"train": 12, "valid": 12, "test": 0}
    listed = list_data_set(open_storage(str(tmp_path / "target")))
    assert (listed.cut, listed.stale_index) == (("test",), "")


def test_an_import_that_did_not_finish_is_no_data_set_until_it_is_repeated(tmp_path: Path) -> None:
    write_split(tmp_path / "pets", 6)
    done = 0

    def interrupt() -> None:
        nonlocal done
        done += 1
        if done == 13:  # all of train is stored, which alone would be a data set to be cut
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imported(tmp_path / "pets", tmp_path / "target", {}, on_done=interrupt)
    with pytest.raises(ExitError, match="interrupted or refused; repeat `catdog data import`") as raised:
        list_data_set(open_storage(str(tmp_path / "target")))
    assert raised.value.code == Exit.BAD_DATA
    assert len(imported(tmp_path / "pets", tmp_path / "target", {}).data.splits["test"]) == 12
    assert len(list_data_set(open_storage(str(tmp_path / "target"))).splits["train"]) == 12
