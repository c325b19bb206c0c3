import os
from pathlib import Path

import pytest

from tests.pictures import jpeg
from trainer.exits import Exit, ExitError
from trainer.predict.pictures import Unreadable, pictures


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pictures and with what systems leave beside them."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "pics/b.jpg",
        "pics/a.PNG",
        "pics/in/deep/c.jpeg",
        "pics/notes.txt",
        "pics/._a.jpg",
        "pics/.ipynb_checkpoints/a-checkpoint.jpg",
        "pics/__MACOSX/b.jpg",
        "odd/x[1].jpg",
        "odd/x1.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(1))
    (tmp_path / "empty").mkdir()
    return tmp_path


def shown(*given: str) -> list[str]:
    return [one.shown for one in pictures(given)]


def missing(name: str) -> str:
    (only,) = pictures([name])
    assert not only.there
    with pytest.raises(Unreadable) as caught:
        only.read()
    return str(caught.value)


PICS = ["pics/a.PNG", "pics/b.jpg", "pics/in/deep/c.jpeg"]


def test_a_picture_is_what_it_is_called_whatever_it_is_called(folder: Path) -> None:
    (one,) = pictures(["pics/notes.txt"])
    assert (one.shown, one.there, one.read()) == ("pics/notes.txt", True, jpeg(1))
    assert shown("pics/._a.jpg") == ["pics/._a.jpg"]
    (absolute,) = pictures([(folder / "pics/b.jpg").as_uri()])
    assert (absolute.shown, absolute.read()) == (str(folder / "pics/b.jpg"), jpeg(1))


@pytest.mark.parametrize("name", ["pics", "pics/", "./pics"])
def test_a_folder_is_the_pictures_below_it_by_name_without_litter(folder: Path, name: str) -> None:
    assert [os.path.normpath(one) for one in shown(name)] == PICS


def test_a_pattern_is_what_a_shell_makes_of_it(folder: Path) -> None:
    assert shown("pics/*.jpg") == ["pics/b.jpg"]
    assert shown("pics/**/*.jpeg") == ["pics/in/deep/c.jpeg"]
    assert shown("pi*") == PICS  # a folder that matches is a folder
    assert shown("pics/*.*") == ["pics/a.PNG", "pics/b.jpg", "pics/notes.txt"]
    assert shown(str(folder / "pics" / "?.jpg")) == [str(folder / "pics/b.jpg")]
    assert shown("pics/**") == ["pics/a.PNG", "pics/b.jpg", "pics/in/deep/c.jpeg", "pics/notes.txt"]


def test_a_file_that_has_the_name_of_a_pattern_is_that_file(folder: Path) -> None:
    assert shown("odd/x[1].jpg") == ["odd/x[1].jpg"]
    assert shown("odd/x[12].jpg") == ["odd/x1.jpg"]


def test_order_is_that_of_what_was_given(folder: Path) -> None:
    assert shown("pics/in", "odd/x1.jpg", "pics/b.jpg", "pics/b.jpg") == [
        "pics/in/deep/c.jpeg",
        "odd/x1.jpg",
        "pics/b.jpg",
        "pics/b.jpg",
    ]


def test_what_is_not_there_keeps_its_place_and_says_so(folder: Path) -> None:
    assert [(one.shown, one.there) for one in pictures(["no.jpg", "odd/x1.jpg", "no/*.jpg", "empty"])] == [
        ("no.jpg", False),
        ("odd/x1.jpg", True),
        ("no/*.jpg", False),
        ("empty", False),
    ]
    assert missing("no.jpg") == missing("pics/b.jpg/no.jpg") == "no such picture"
    assert missing("no/*.jpg") == "nothing matches"
    assert missing("empty") == "no pictures in this folder"


def test_links_are_followed_and_not_in_a_circle(folder: Path) -> None:
    (folder / "empty/loop").symlink_to(folder / "empty")
    (folder / "empty/pics").symlink_to(folder / "pics")
    assert shown("empty") == [f"empty/{name}" for name in PICS]
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    (dangling,) = pictures(["gone.jpg"])
    with pytest.raises(Unreadable, match="no such picture"):
        dangling.read()


def test_another_kind_of_address_is_64() -> None:
    with pytest.raises(ExitError, match="unknown kind of storage") as caught:
        list(pictures(["s3://bucket/a.jpg"]))
    assert caught.value.code == Exit.BAD_OPTION
