"""Pictures and archives for tests: real ones from CATDOG_TEST_DATA if it is set, else generated ones."""

import io
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def jpeg(number: int, width: int = 40, height: int = 30) -> bytes:
    """A picture that is different for each number."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return file.getvalue()


def kaggle_pictures(count: int) -> dict[str, bytes]:
    """`count` cats and as many dogs, named as in Kaggle's train.zip, numbered from 0, not in order."""
    folder = os.environ.get("CATDOG_TEST_DATA")
    found = {}
    for kind in ("cat", "dog"):
        real = sorted(Path(folder, "train", f"{kind}s").iterdir())[:count] if folder else []
        for number in reversed(range(count)):
            seed = number * 2 + (kind == "dog")
            found[f"train/{kind}.{number}.jpg"] = real[number].read_bytes() if real else jpeg(seed)
    return found


def real_split(folder: Path, train: int, valid: int, test: int) -> bool:
    """Copies that many real pictures per class; returns False, copying nothing, without CATDOG_TEST_DATA."""
    source = os.environ.get("CATDOG_TEST_DATA")
    if not source:
        return False
    for split, count in (("train", train), ("valid", valid), ("test", test)):
        for kind in ("cats", "dogs"):
            (folder / split / kind).mkdir(parents=True)
            for path in sorted(Path(source, split, kind).iterdir())[:count]:
                shutil.copy(path, folder / split / kind)
    return True


def archive(files: dict[str, bytes]) -> bytes:
    """The same bytes at any time, since test names may be made of them: a ZipInfo has no clock."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, data in files.items():
            made.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def kaggle_archive(path: Path, count: int) -> Path:
    """dogs-vs-cats.zip as Kaggle provides it."""
    train = archive(kaggle_pictures(count))
    path.write_bytes(archive({"sampleSubmission.csv": b"id,label\n", "test1.zip": archive({}), "train.zip": train}))
    return path


def write_split(folder: Path, per_class: int = 3, split: tuple[str, ...] = ("train", "valid", "test")) -> Path:
    """A data set of generated pictures, all different."""
    number = 0
    for part in split:
        for name in ("cats", "dogs"):
            (folder / part / name).mkdir(parents=True)
            for i in range(per_class):
                (folder / part / name / f"{i}.jpg").write_bytes(jpeg(number))
                number += 1
    return folder
