"""The demo data set on disk: drawn cats and dogs, for runs without data."""

import errno
import json
import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from trainer.data.drawing.dice import Dice
from trainer.data.drawing.draw import DEMO_VERSION, LABELS, SPLITS, draw
from trainer.exits import Exit, ExitError
from trainer.process.container import processors

MARKER = "demo.json"


@dataclass(frozen=True)
class DemoSize:
    """Pictures per class in each split."""

    train: int
    valid: int
    test: int


DEFAULT_SIZE = DemoSize(train=700, valid=200, test=200)


def _save_share(folder: Path, seed: int, size: DemoSize, worker: int, workers: int) -> None:
    """Draws every workers-th picture, starting at worker, into the existing class folders."""
    jobs = [(split, label, i) for split in SPLITS for label in LABELS for i in range(getattr(size, split))]
    for split, label, index in jobs[worker::workers]:
        quality = Dice("quality", DEMO_VERSION, label, seed, index, split).integer(60, 95)
        path = folder / split / label / f"{label}-{index:05d}.jpg"
        draw(label, seed, index, split).save(path, "JPEG", quality=quality)


def _draw_all(folder: Path, seed: int, size: DemoSize, workers: int) -> None:
    """Draws the set into an empty folder.

    Each worker except the first draws its share in a separate process: a fresh interpreter, because a process that has
    started TensorFlow must not fork, and multiprocessing's spawn would run the caller's main module again.
    """
    for split in SPLITS:
        for label in LABELS:
            (folder / split / label).mkdir(parents=True)
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    numbers = [str(number) for number in (seed, size.train, size.valid, size.test)]
    others = [
        subprocess.Popen(
            [sys.executable, "-m", "trainer.data.demo", str(folder), *numbers, str(worker), str(workers)],
            env=environment,
        )
        for worker in range(1, workers)
    ]
    try:
        _save_share(folder, seed, size, 0, workers)
        failed = sum(process.wait() != 0 for process in others)
    finally:
        for process in others:
            process.kill()  # does nothing to one that has exited
            process.wait()
    if failed:
        raise RuntimeError(f"drawing the demo set failed in {failed} of {workers} processes; the error is above")


def _marker(seed: int, size: DemoSize) -> dict[str, object]:
    return {"version": DEMO_VERSION, "seed": seed, "size": asdict(size)}


def _is_complete(folder: Path, seed: int, size: DemoSize) -> bool:
    """Whether the folder holds this set with every picture."""
    try:
        found = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return False
    if found != _marker(seed, size):
        return False
    folders = ((split, folder / split / label) for split in SPLITS for label in LABELS)
    return all(len(list(pictures.glob("*.jpg"))) == getattr(size, split) for split, pictures in folders)


def _make_way(dst: Path) -> None:
    """Removes another or a damaged demo set at dst; refuses if dst holds anything that is not part of one."""
    try:
        names = {entry.name for entry in dst.iterdir()}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise ExitError(Exit.USAGE, f"the demo set cannot go into {dst}: it is a file; name a folder") from None
    if names and (MARKER not in names or names - {MARKER, *SPLITS}):
        raise ExitError(Exit.USAGE, f"the demo set cannot go into {dst}: it contains other files; name a new folder")
    aside = _sibling(dst)
    try:
        dst.rename(aside)
    except FileNotFoundError:
        return  # another process was faster
    shutil.rmtree(aside)


def _sibling(dst: Path) -> Path:
    """A new name in the same folder, so that a rename between the two is atomic."""
    return dst.with_name(f".{dst.name}.{uuid.uuid4().hex}")


def _put(staging: Path, dst: Path) -> bool:
    """Renames staging to dst; False if another process has put a set there meanwhile."""
    try:
        staging.rename(dst)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def write_demo(dst: Path, seed: int = 0, size: DemoSize = DEFAULT_SIZE) -> Path:
    """Makes dst hold the demo set of this version, seed and size, as dst/{train,valid,test}/{cats,dogs}/*.jpg.

    Does nothing if it is already there. Otherwise draws into a sibling folder and renames it, so that dst is never
    incomplete; of several processes at once, one puts its set in place and the others find it. An older demo set at dst
    is replaced. Returns dst. Raises ExitError (USAGE) if dst is a file or a folder with anything else in it, OSError if
    it cannot be written.
    """
    if _is_complete(dst, seed, size):
        return dst
    _make_way(dst)
    staging = _sibling(dst)
    staging.mkdir(parents=True)
    try:
        pictures = 2 * (size.train + size.valid + size.test)
        _draw_all(staging, seed, size, workers=max(1, min(processors(), pictures // 100)))
        (staging / MARKER).write_text(json.dumps(_marker(seed, size)) + "\n")
        while not _put(staging, dst) and not _is_complete(dst, seed, size):
            _make_way(dst)
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # already gone if it was renamed
    return dst


if __name__ == "__main__":  # one worker of _draw_all
    _seed, *_sizes, _worker, _workers = (int(argument) for argument in sys.argv[2:])
    _save_share(Path(sys.argv[1]), _seed, DemoSize(*_sizes), _worker, _workers)
