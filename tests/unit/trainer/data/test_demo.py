import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from trainer.data import demo
from trainer.data.demo import DemoSize, write_demo
from trainer.data.drawing.draw import DEMO_VERSION, LABELS
from trainer.exits import Exit, ExitError

ROOT = Path(__file__).resolve().parents[4]
SMALL = DemoSize(train=3, valid=2, test=1)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stale_siblings(folder: Path) -> list[str]:
    return [entry.name for entry in folder.parent.iterdir() if entry.name.startswith(".")]


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


def test_importing_the_module_does_not_import_tensorflow() -> None:
    script = "import sys, trainer.data.demo; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)


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
