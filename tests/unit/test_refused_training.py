"""What `catdog train` refuses: one line, the right exit code, and nothing half-made."""

import json
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import runs
from tests.unit.typed import CATDOG, QUICK, catdog, complaint

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set of 24 + 8 + 8 pictures."""
    return runs.drawn(tmp_path_factory.mktemp("data") / "drawn", 12, 4, 4)


@pytest.fixture
def data(good: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(good, tmp_path / "data"))


def pictures(data: Path, place: str) -> list[Path]:
    return sorted((data / place).iterdir())


def png_bomb(side: int) -> bytes:
    """A valid PNG of side x side black pixels in a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" * (1 + side // 8)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_another_configuration_or_data_set_is_refused_and_nothing_is_touched(
    good: Path, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    catdog("train", *QUICK, "--data", good, "--run", run, "--epochs", 1)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused = catdog("train", *QUICK, "--data", good, "--run", run, "--learning-rate", "0.5", code=73)
    assert "--learning-rate 0.002 there, 0.5 here" in complaint(refused)
    pictures(data, "train/cats")[0].write_bytes(pictures(data, "train/dogs")[0].read_bytes())
    assert "another data set" in complaint(
        catdog("train", *QUICK, "--data", data, "--run", run, "--epochs", 1, code=73)
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    forced = catdog("train", *QUICK, "--data", data, "--run", run, "--epochs", 2, "--force-resume", code=73)
    assert f"--init-from {run}" in complaint(forced)
    late = ("--epochs", 1, "--learning-rate", "0.001", "--force-resume")
    forced = catdog("train", *QUICK, "--data", good, "--run", run, *late, code=73)
    assert "this run has finished, with another configuration (--learning-rate 0.002 there" in complaint(forced)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    other = ("--epochs", 2, "--optimizer", "sgd", "--force-resume")
    forced = catdog("train", *QUICK, "--data", good, "--run", run, *other, code=73)
    assert "its checkpoint is for another network or optimizer" in complaint(forced)
    assert (run / "config.json").read_bytes() == before[run / "config.json"]
    forced = catdog(
        "train", *QUICK, "--data", good, "--run", run, "--epochs", 2, "--learning-rate", "0.001", "--force-resume"
    )
    assert "from step 3" in forced.stdout


def test_a_folder_held_by_a_live_run_is_refused(good: Path, tmp_path: Path) -> None:
    command = ["train", *QUICK, "--data", good, "--run", tmp_path / "run", "--epochs", 100_000]
    process = subprocess.Popen([*CATDOG, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        runs.await_step(process, 1)
        assert "held by a live run" in complaint(catdog(*command, code=73))
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=60)


def spoil_nothing(data: Path) -> None:
    shutil.rmtree(data)


def one_class(data: Path) -> None:
    for split in ("train", "valid", "test"):
        shutil.rmtree(data / split / "dogs")


def empty_class(data: Path) -> None:
    for picture in pictures(data, "valid/dogs"):
        picture.rename(picture.with_suffix(".txt"))


def other_classes(data: Path) -> None:
    (data / "test/dogs").rename(data / "test/wolves")


def no_train(data: Path) -> None:
    shutil.rmtree(data / "train")


def both(data: Path) -> None:
    for name in ("cats", "dogs"):
        shutil.copytree(data / "train" / name, data / name)


def web_pictures(data: Path) -> None:
    for picture in [path for path in data.rglob("*") if path.is_file()]:
        picture.rename(picture.with_suffix(".webp"))


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (spoil_nothing, 66, "no such folder; is the path right?"),
        (one_class, 65, "only one class"),
        (empty_class, 65, "valid/dogs"),
        (other_classes, 65, "'dogs' is not in test"),
        (no_train, 66, "the train split is missing"),
        (both, 65, "say --layout splits or --layout classes"),
        (web_pictures, 65, "convert them with `catdog data import"),
    ],
)
def test_a_data_set_that_is_none_is_refused_before_anything_is_written(
    spoil: Callable[[Path], None], code: int, words: str, data: Path, tmp_path: Path
) -> None:
    spoil(data)
    assert words in complaint(catdog("train", *QUICK, "--data", data, "--run", tmp_path / "run", code=code))
    assert not (tmp_path / "run").exists()


def text_as_jpg(picture: Path) -> None:
    picture.write_text("these are not pixels\n" * 100)


def cut_short(picture: Path) -> None:
    picture.write_bytes(picture.read_bytes()[:-200])


def bomb(picture: Path) -> None:
    picture.write_bytes(png_bomb(20_000))


UNREADABLE = [(text_as_jpg, "neither a JPEG nor a PNG"), (cut_short, "damaged"), (bomb, "refused before decoding")]


@pytest.mark.parametrize(("spoil", "words"), UNREADABLE)
def test_an_unreadable_picture_stops_the_run(
    spoil: Callable[[Path], None], words: str, data: Path, tmp_path: Path
) -> None:
    spoil(pictures(data, "train/cats")[3])
    refused = complaint(catdog("train", *QUICK, "--data", data, "--run", tmp_path / "run", "--epochs", 1, code=65))
    assert "1 of 24 pictures of train cannot be used, more than 1.0%" in refused
    assert words in refused
    state = json.loads((tmp_path / "run/state.json").read_text())
    assert (state["state"], state["exit_code"]) == ("failed", 65)


def test_unreadable_pictures_that_are_few_enough_are_counted_and_listed(data: Path, tmp_path: Path) -> None:
    """By the command that was refused before, which now allows for them."""
    command = ["train", *QUICK, "--data", data, "--run", tmp_path / "run", "--epochs", 1]
    spoiled = {picture.name: one for picture, one in zip(pictures(data, "train/cats")[3:], UNREADABLE, strict=False)}
    for name, (spoil, _) in spoiled.items():
        spoil(data / "train/cats" / name)
    assert "3 of 24 pictures of train cannot be used" in complaint(catdog(*command, code=65))
    catdog(*command, "--max-rejected", "0.2")
    listed = {one["path"]: one["reason"] for one in json.loads((tmp_path / "run/rejected.json").read_text())}
    assert set(listed) == {f"train/cats/{name}" for name in spoiled}
    for name, (_, words) in spoiled.items():
        assert words in listed[f"train/cats/{name}"]
    assert json.loads((tmp_path / "run/summary.json").read_text())["data"]["rejected"] == 3


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--recipe", "nonesuch"], 2, "--recipe is 'nonesuch'; it must be one of"),
        (["--dropout", "1.5"], 2, "--dropout is 1.5"),
        (["--epochs", "0"], 2, "--epochs is 0"),
        (["--accelerator", "gpu"], 78, "sees no GPU"),
        (["--deterministic", "--slices", "3", "--devices", "2"], 64, "needs a multiple of 2"),
        (["--data", "ftp://host/data"], 64, "unknown kind of storage"),
    ],
)
def test_a_bad_option_is_named(flags: list[str], code: int, words: str, good: Path, tmp_path: Path) -> None:
    given = ["train", *QUICK, "--data", good, "--run", tmp_path / "run", "--epochs", 1, *flags]
    assert words in complaint(catdog(*given, code=code))


@pytest.mark.parametrize(("flag", "value"), [("--epochs", "many"), ("--model", "nonesuch"), ("--precision", "float7")])
def test_a_flag_that_does_not_parse_is_usage(flag: str, value: str) -> None:
    done = catdog("train", flag, value, code=2)
    assert flag in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_folder_that_cannot_be_written_is_refused(good: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = catdog("train", *QUICK, "--data", good, "--run", tmp_path / "file/run", code=74)
    assert "a file, not a folder" in complaint(done)


def test_nothing_heavy_is_imported_before_bad_input_is_told(tmp_path: Path) -> None:
    began = time.process_time()
    code = (
        "import sys, trainer.main, trainer.start, trainer.__main__\n"
        "print([name for name in sys.modules if name in ('tensorflow', 'keras', 'google.cloud', 'matplotlib')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr
    assert time.process_time() >= began
