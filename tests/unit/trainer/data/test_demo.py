import hashlib
import io
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from trainer.data import demo
from trainer.data.demo import DEMO_VERSION, LABELS, SPLITS, DemoSize, draw, write_demo
from trainer.exits import Exit, ExitError

ROOT = Path(__file__).resolve().parents[4]
SMALL = DemoSize(train=3, valid=2, test=1)
PER_CLASS = 200

Floats = NDArray[np.float64]


def digest(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stale_siblings(folder: Path) -> list[str]:
    return [entry.name for entry in folder.parent.iterdir() if entry.name.startswith(".")]


# --- draw ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("index", range(12))
def test_a_picture_is_rgb_of_the_stated_size_and_not_flat(label: str, index: int) -> None:
    image = draw(label, 3, index, "train")
    assert image.mode == "RGB"
    assert 120 <= min(image.size) <= max(image.size) <= 260
    assert np.asarray(image).std() > 8


def test_a_picture_depends_on_its_arguments_alone() -> None:
    first = digest(draw("cats", 0, 5, "train"))
    draw("dogs", 1, 6, "valid")
    np.random.default_rng(0).random(10)
    assert digest(draw("cats", 0, 5, "train")) == first


def test_every_argument_changes_the_picture() -> None:
    calls = [("cats", 0, 5, "train"), ("dogs", 0, 5, "train"), ("cats", 1, 5, "train")]
    calls += [("cats", 0, 6, "train"), ("cats", 0, 5, "valid"), ("cats", 0, 5, "test")]
    assert len({digest(draw(*call)) for call in calls}) == len(calls)


def test_a_picture_is_the_same_in_a_process_with_another_hash_seed() -> None:
    script = (
        "import hashlib; from trainer.data.demo import draw; image = draw('dogs', 7, 1, 'test');"
        "print(hashlib.sha256(f'{image.size}'.encode() + image.tobytes()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(draw("dogs", 7, 1, "test"))


def test_no_picture_of_one_split_is_in_another() -> None:
    seen = [digest(draw(label, 0, index, split)) for label in LABELS for split in SPLITS for index in range(5)]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    ("label", "split", "named"), [("cat", "train", "'cat'"), ("cats", "validation", "'validation'")]
)
def test_an_unknown_label_or_split_is_named(label: str, split: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        draw(label, 0, 0, split)


def test_the_random_stream_is_pinned() -> None:
    """The pictures may change only with DEMO_VERSION, so the stream under them must not change unseen."""
    dice = demo._Dice("stream", 1)
    assert [dice.integer(0, 999_999) for _ in range(3)] == [169_026, 841_003, 632_584]


def test_importing_the_module_does_not_import_tensorflow() -> None:
    script = "import sys, trainer.data.demo; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)


# --- only shape tells the classes apart ------------------------------------------------------------------------------


@cache
def sample() -> tuple[list[Image.Image], Floats]:
    """Pictures of both classes in turn, with targets -1 (cats) and 1 (dogs); the last 40 % are for testing."""
    images = [draw(label, 11, index, "train") for index in range(PER_CLASS) for label in LABELS]
    return images, np.tile([-1.0, 1.0], PER_CLASS)


def linear_accuracy(features: Floats, target: Floats, penalty: float) -> float:
    """Test accuracy of ridge regression on the signs, in its dual form: (n, d) features with d >> n stay cheap."""
    cut = round(0.6 * len(features))
    scaled = (features - features[:cut].mean(0)) / (features[:cut].std(0) + 1e-9)
    kernel = scaled @ scaled[:cut].T / features.shape[1]
    weights = np.linalg.solve(kernel[:cut] + penalty * np.eye(cut), target[:cut])
    return float(np.mean(np.sign(kernel[cut:] @ weights) == target[cut:]))


@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_a_linear_model_on_pixels_stays_below_70_percent(penalty: float) -> None:
    images, target = sample()
    pixels = np.stack([np.asarray(image.resize((64, 64)), np.float64).ravel() for image in images])
    assert linear_accuracy(pixels, target, penalty) < 0.7


@pytest.mark.parametrize("penalty", [0.1, 10.0])
def test_a_linear_model_on_colours_sizes_and_bytes_is_near_chance(penalty: float) -> None:
    images, target = sample()
    rows = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG")
        histogram = np.array(image.histogram(), np.float64).reshape(24, 32).sum(1) / (image.width * image.height)
        width, height = image.size
        rows.append([*histogram, width, height, width / height, buffer.tell() / (width * height)])
    assert linear_accuracy(np.array(rows), target, penalty) < 0.64


def test_the_linear_model_would_notice_a_tell_tale() -> None:
    """A check on the two tests above: one class 12 grey levels brighter is found out."""
    images, target = sample()
    pixels = np.stack([np.asarray(image.resize((64, 64)), np.float64).ravel() for image in images])
    flattened = pixels * 0.2  # the scenes alone vary far more than 12 levels
    assert linear_accuracy(flattened + 12 * (target[:, None] > 0), target, 0.1) > 0.8


# --- write_demo ------------------------------------------------------------------------------------------------------


def test_the_set_has_the_folders_and_counts_asked_for(tmp_path: Path) -> None:
    dst = write_demo(tmp_path / "new" / "demo", seed=4, size=SMALL)
    assert dst == tmp_path / "new" / "demo"
    assert sorted(entry.name for entry in dst.iterdir()) == ["demo.json", "test", "train", "valid"]
    for split, count in (("train", 3), ("valid", 2), ("test", 1)):
        for label in LABELS:
            files = sorted((dst / split / label).iterdir())
            assert len(files) == count
            for path in files:
                with Image.open(path) as image:
                    assert image.format == "JPEG"
                    image.load()
    assert json.loads((dst / "demo.json").read_text()) == {
        "version": DEMO_VERSION,
        "seed": 4,
        "size": {"train": 3, "valid": 2, "test": 1},
    }
    assert stale_siblings(dst) == []


def test_the_files_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        demo._draw_all(folder, 0, SMALL, workers)
    assert snapshot(tmp_path / "1") == snapshot(tmp_path / "3")
    assert len(snapshot(tmp_path / "3")) == 12


def test_a_complete_set_is_left_alone(tmp_path: Path) -> None:
    dst = write_demo(tmp_path / "demo", size=SMALL)
    before = {path: path.stat().st_mtime_ns for path in dst.rglob("*")}
    write_demo(dst, size=SMALL)
    assert {path: path.stat().st_mtime_ns for path in dst.rglob("*")} == before


def test_a_set_with_a_missing_picture_is_drawn_again(tmp_path: Path) -> None:
    dst = write_demo(tmp_path / "demo", size=SMALL)
    before = snapshot(dst)
    next((dst / "valid" / "dogs").iterdir()).unlink()
    write_demo(dst, size=SMALL)
    assert snapshot(dst) == before
    assert stale_siblings(dst) == []


def test_a_set_with_another_seed_is_replaced(tmp_path: Path) -> None:
    dst = write_demo(tmp_path / "demo", seed=0, size=SMALL)
    before = snapshot(dst)
    write_demo(dst, seed=1, size=SMALL)
    after = snapshot(dst)
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in after)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    assert len(snapshot(write_demo(tmp_path / "demo", size=SMALL))) == 13


@pytest.mark.parametrize("marked", [False, True])
def test_a_folder_with_other_files_is_refused_and_kept(tmp_path: Path, marked: bool) -> None:
    dst = tmp_path / "demo"
    if marked:
        write_demo(dst, size=SMALL)
    (dst / "mine").mkdir(parents=True)
    (dst / "mine" / "notes.txt").write_text("keep")
    before = snapshot(dst)
    with pytest.raises(ExitError, match="other files") as caught:
        write_demo(dst, seed=9, size=SMALL)
    assert caught.value.code == Exit.USAGE
    assert snapshot(dst) == before


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("a file")
    with pytest.raises(ExitError, match="it is a file"):
        write_demo(tmp_path / "demo", size=SMALL)


def test_nothing_is_left_when_drawing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(demo, "_save_share", fail)
    with pytest.raises(OSError, match="disk full"):
        write_demo(tmp_path / "demo", size=SMALL)
    assert list(tmp_path.iterdir()) == []


def test_several_processes_at_once_all_find_the_set(tmp_path: Path) -> None:
    dst = tmp_path / "demo"
    script = (
        "import sys; from pathlib import Path; from trainer.data.demo import DemoSize, write_demo;"
        "folder = write_demo(Path(sys.argv[1]), 0, DemoSize(3, 2, 1));"
        "print(sum(1 for _ in folder.rglob('*.jpg')))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, str(dst)]
    started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in started] == ["12"] * 3
    assert [process.returncode for process in started] == [0] * 3
    assert len(snapshot(dst)) == 13
    assert stale_siblings(dst) == []


def test_a_set_that_appears_while_drawing_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dst = tmp_path / "demo"
    plain = demo._draw_all

    def slow(folder: Path, seed: int, size: DemoSize, workers: int) -> None:
        plain(folder, seed, size, workers)
        monkeypatch.setattr(demo, "_draw_all", plain)
        write_demo(dst, seed, size)  # another process, done first
        inodes.append((dst / "demo.json").stat().st_ino)

    inodes: list[int] = []
    monkeypatch.setattr(demo, "_draw_all", slow)
    write_demo(dst, size=SMALL)
    assert inodes == [(dst / "demo.json").stat().st_ino]
    assert stale_siblings(dst) == []
