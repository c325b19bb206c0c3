"""Converting while importing, what cannot be used, and where a target may be."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.indexes import index_in
from tests.pictures import archive, jpeg, write_split
from trainer.data.index import is_index
from trainer.data.split import list_data_set
from trainer.data_verbs import import_data
from trainer.exits import Exit, ExitError
from trainer.requests import DataImportRequest
from trainer.storage.opening import open_storage


def as_kind(number: int, written: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(jpeg(number))).save(file, written, **options)
    return file.getvalue()


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def classes(count: int = 10) -> dict[str, bytes]:
    """So many JPEG of each of two classes."""
    return {f"{kind}/{i:03}.jpg": jpeg(1000 * (kind == "dogs") + i) for kind in ("cats", "dogs") for i in range(count)}


def files_of(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def ask(source: Path, target: Path, **options: Any) -> dict[str, Any]:
        assert import_data(DataImportRequest(str(source), str(target), output="json", **options)) == Exit.DONE
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return ask


# --- labels in a table ---------------------------------------------------------------------------------------------


def labelled(count: int = 12) -> dict[str, bytes]:
    """Pictures of two breeds in one folder, some of them WebP, and the table as Kaggle's contests have it."""
    names = [f"images/{i:03}{'.webp' if i % 4 == 0 else '.jpg'}" for i in range(count)]
    pictures = {name: as_kind(i, "WEBP") if i % 4 == 0 else jpeg(i) for i, name in enumerate(names)}
    rows = [f"{Path(name).stem},{('pug', 'tabby')[i % 2]}" for i, name in enumerate(names)]
    return pictures | {"labels.csv": "\n".join(["id,breed", *rows, "lost,pug"]).encode()}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_a_table_in_the_source_tells_the_classes(
    packed: bool, tmp_path: Path, answer: Callable[..., dict[str, Any]]
) -> None:
    source = tmp_path / "set.zip"
    if packed:
        source.write_bytes(archive(labelled()))
    else:
        source = folder(tmp_path / "set", labelled())
    told = answer(source, tmp_path / "to", labels="labels.csv", labels_columns="path=id,label=breed")
    assert told["classes"] == ["pug", "tabby"]
    assert told["converted"] == {"webp": 3}
    assert sum(told["splits"].values()) == 12
    stored = list_data_set(open_storage(str(tmp_path / "to")))
    assert stored.classes == ("pug", "tabby")
    assert all("tabby" in one.name for one in stored.splits["train"] if one.label == 1)


def test_a_table_beside_the_source_does_too_and_the_next_command_repeats_it(
    tmp_path: Path, answer: Callable[..., dict[str, Any]]
) -> None:
    files = labelled()
    table = tmp_path / "table.csv"
    table.write_bytes(files.pop("labels.csv").replace(b"id,breed", b"path,label"))
    source = folder(tmp_path / "set", files | {"images/003.jpg": b"no picture"})
    told = answer(source, tmp_path / "to", labels=str(table), max_rejected=0.1)
    assert [one["name"] for one in told["rejected"]] == ["images/003.jpg"]
    with pytest.raises(ExitError, match=f"--labels {table}") as caught:
        import_data(DataImportRequest(str(source), str(tmp_path / "other"), labels=str(table)))
    assert caught.value.code == Exit.BAD_DATA


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    source = folder(tmp_path / "set", labelled())
    with pytest.raises(ExitError, match=r"--labels none\.csv: there is no such file") as caught:
        import_data(DataImportRequest(str(source), str(tmp_path / "to"), labels="none.csv"))
    assert caught.value.code == Exit.INPUT_MISSING
    assert not (tmp_path / "to").exists()


# --- conversion ------------------------------------------------------------------------------------------------------


def test_other_formats_become_png_counted_and_jpeg_and_png_keep_their_bytes(
    tmp_path: Path, answer: Callable[..., dict[str, Any]]
) -> None:
    files = classes() | {
        "cats/100.webp": as_kind(100, "WEBP"),
        "cats/101.webp": as_kind(101, "WEBP"),
        "cats/102.bmp": as_kind(102, "BMP"),
        "dogs/103.jpg": as_kind(103, "GIF"),  # one that only says that it is a JPEG
        "dogs/104.webp": jpeg(104),  # and one that is
        "dogs/105.tif": as_kind(105, "PNG"),
        "dogs/106.jpg": as_kind(106, "PNG"),
        "dogs/107.webp": as_kind(107, "WEBP"),
    }
    target = tmp_path / "data"
    told = answer(folder(tmp_path / "source", files), target)
    assert told["converted"] == {"bmp": 1, "gif": 1, "webp": 3}
    assert (told["stored"], told["rejected"], told["odd"]) == (28, [], 0)
    stored = {name.split("/", 1)[1]: data for name, data in files_of(target).items() if not is_index(name)}
    changed = {"cats/100.png", "cats/101.png", "cats/102.png", "dogs/103.png", "dogs/107.png"}
    renamed = {"dogs/104.jpg": "dogs/104.webp", "dogs/105.png": "dogs/105.tif"}
    assert {name: data for name, data in stored.items() if name not in changed} == {
        **classes(),
        **{new: files[old] for new, old in renamed.items()},
        "dogs/106.jpg": files["dogs/106.jpg"],
    }
    assert all(stored[name].startswith(b"\x89PNG") for name in changed)
    listed = list_data_set(open_storage(str(target)))
    assert listed.fingerprint == told["fingerprint"] == index_in(target).fingerprint
    assert listed.ignored == 0


def test_a_repeated_import_converts_to_the_same_bytes_and_stores_nothing_twice(
    tmp_path: Path, answer: Callable[..., dict[str, Any]]
) -> None:
    files = classes() | {f"cats/{i}.webp": as_kind(i, "WEBP") for i in range(100, 110)}
    (tmp_path / "x.zip").write_bytes(archive(files))
    first = answer(tmp_path / "x.zip", tmp_path / "data")
    before = files_of(tmp_path / "data")
    again = answer(tmp_path / "x.zip", tmp_path / "data")
    assert (again["stored"], again["already_there"]) == (0, 30)
    assert files_of(tmp_path / "data") == before
    (tmp_path / "data/index.json").unlink()  # as an interrupted one leaves it
    next((tmp_path / "data").rglob("10*.png")).unlink()
    assert answer(tmp_path / "x.zip", tmp_path / "data")["stored"] == 1
    assert files_of(tmp_path / "data") == before
    assert first["converted"] == again["converted"] == {"webp": 10}


def test_an_import_of_more_pictures_replaces_the_index_and_what_a_stopped_one_left(
    tmp_path: Path, answer: Callable[..., dict[str, Any]]
) -> None:
    names = [f"{split}/{name}" for split in ("train", "valid", "test") for name in classes(3)]
    files = {name: jpeg(100 + number) for number, name in enumerate(names)}
    target = tmp_path / "data"
    first = answer(folder(tmp_path / "source", files), target)
    [columns] = target.glob("index-*.bin")
    stopped = target / "index-0123456789abcdef.bin"
    stopped.write_bytes(b"half of what")
    assert list_data_set(open_storage(str(target))).ignored == 0
    folder(tmp_path / "source", {"train/cats/more.jpg": jpeg(999)})
    second = answer(tmp_path / "source", target)
    assert second["fingerprint"] != first["fingerprint"]
    assert not columns.exists()
    assert not stopped.exists()
    listed = list_data_set(open_storage(str(target)))
    assert (listed.fingerprint, listed.stale_index, listed.ignored) == (second["fingerprint"], "", 0)


def test_the_answer_for_people_counts_what_was_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = classes() | {"cats/100.webp": as_kind(100, "WEBP"), "dogs/101.bmp": as_kind(101, "BMP")}
    source = folder(tmp_path / "source", files)
    assert import_data(DataImportRequest(str(source), str(tmp_path / "data"))) == Exit.DONE
    assert "converted to PNG: 1 bmp, 1 webp" in capsys.readouterr().out.splitlines()


# --- what cannot be used ---------------------------------------------------------------------------------------------


def scraped(root: Path, bad: int, good: int = 30) -> Path:
    files = classes(good) | {f"cats/bad {i:02}.jpg": b"<html>404" + bytes([i]) for i in range(bad - 1)}
    return folder(root, files | {"dogs/empty.jpg": b""})


def test_too_many_unusable_pictures_are_all_listed_with_the_command_that_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = scraped(tmp_path / "my source", 25), tmp_path / "data"
    request = DataImportRequest(str(source), str(target), order="random", seed=3)
    command = f"catdog data import '{source}' {target} --order random --seed 3 --max-rejected 0.3"
    with pytest.raises(ExitError, match=r"25 of 85 pictures cannot be used, more than 1 %; the first is") as raised:
        import_data(request)
    assert raised.value.code == Exit.BAD_DATA
    assert raised.value.message.endswith(f"; to import the others: {command}")
    told = capsys.readouterr().out.splitlines()
    names = [f"cats/bad {i:02}.jpg" for i in range(24)]
    assert sorted(line for line in told if "bad" in line) == [
        f"left out: {name}: neither a JPEG nor a PNG, but a web page" for name in names
    ]
    assert "left out: dogs/empty.jpg: neither a JPEG nor a PNG, but an empty file" in told
    assert not (target / "index.json").exists()
    with pytest.raises(ExitError):
        import_data(DataImportRequest(str(source), str(target), order="random", seed=3, output="json"))
    found = json.loads(capsys.readouterr().out)
    assert sorted(one["name"] for one in found["rejected"]) == [*names, "dogs/empty.jpg"]
    assert set(found["rejected"][0]) == {"name", "path", "reason"}
    assert found["problems"][0].startswith(f"{source}: 25 of 85")
    assert (
        import_data(DataImportRequest(str(source), str(target), order="random", seed=3, max_rejected=0.3)) == Exit.DONE
    )
    told = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("left out: ") for line in told) == 20
    assert "… and 5 more pictures that cannot be used; -o json lists all" in told


def test_few_unusable_pictures_are_left_out(tmp_path: Path, answer: Callable[..., dict[str, Any]]) -> None:
    told = answer(scraped(tmp_path / "source", 1, 50), tmp_path / "data")
    assert [one["name"] for one in told["rejected"]] == ["dogs/empty.jpg"]
    with pytest.raises(ExitError, match="more than 0 %"):
        answer(tmp_path / "source", tmp_path / "other", max_rejected=0.0)


def test_a_class_that_is_left_without_a_picture_says_why(tmp_path: Path) -> None:
    files = classes(10) | {"dogs/009.jpg": b"", "dogs/008.jpg": jpeg(1000)}
    with pytest.raises(
        ExitError,
        match=r"class 'dogs' is empty in valid once pictures that an earlier split has \(1, such as valid/dogs/008.jpg",
    ):
        import_data(
            DataImportRequest(str(folder(tmp_path / "source", files)), str(tmp_path / "data"), max_rejected=0.5)
        )


# --- where a target may be -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("pics", "pics/split", "is inside the source"),
        ("pics", "pics", "is the source itself"),
        ("pics", "link/split", "is inside the source"),
        ("pics", "pics/../pics/deep/er", "is inside the source"),
        ("pics", ".", "contains the source"),
    ],
)
def test_a_target_in_its_source_or_around_it_is_refused_before_anything_is_written(
    tmp_path: Path, source: str, target: str, words: str
) -> None:
    folder(tmp_path / "pics", classes(5))
    (tmp_path / "link").symlink_to(tmp_path / "pics")
    before = files_of(tmp_path)
    for place in (str(tmp_path / target), f"file://{tmp_path / target}"):
        with pytest.raises(ExitError, match=words) as raised:
            import_data(DataImportRequest(str(tmp_path / source), place))
        assert raised.value.code == Exit.BAD_OPTION
    assert files_of(tmp_path) == before
    assert import_data(DataImportRequest(str(tmp_path / source), str(tmp_path / "pics-split"))) == Exit.DONE


def test_an_archive_may_lie_where_its_pictures_go(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(archive(classes(5)))
    assert import_data(DataImportRequest(str(tmp_path / "x.zip"), str(tmp_path))) == Exit.DONE


def test_a_data_set_gets_its_index_in_place_and_nothing_is_converted_there(tmp_path: Path) -> None:
    data = write_split(tmp_path / "data", 40)
    before = files_of(data)
    assert import_data(DataImportRequest(str(data), str(data))) == Exit.DONE
    assert {name: content for name, content in files_of(data).items() if not is_index(name)} == before
    (data / "train/cats/0.jpg").write_bytes(as_kind(0, "WEBP"))
    with pytest.raises(ExitError, match="WEBP, which only an import into another location converts"):
        import_data(DataImportRequest(str(data), str(data)))


def test_a_warning_of_a_series_goes_beside_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name.replace("/", "/IMG_"): data for name, data in classes(6).items()}
    source = folder(tmp_path / "source", files)
    assert import_data(DataImportRequest(str(source), str(tmp_path / "data"), output="json")) == Exit.DONE
    out, err = capsys.readouterr()
    assert "--order random" in json.loads(out)["warnings"][0]
    assert err.startswith("warning: IMG_000.jpg looks like")
