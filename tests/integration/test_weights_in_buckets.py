"""Pre-trained weights and pictures in buckets: who reads what, and what is said without the right to read."""

import dataclasses
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests import runs
from tests.servers import FaultProxy, Faults
from tests.transfer import tuned
from trainer.backbones import stored
from trainer.exits import Exit
from trainer.storage.opening import open_storage

pytestmark = pytest.mark.timeout(300)

ARCHITECTURE = "efficientnet-lite0"


@pytest.fixture
def weights(bucket: str, proxy: FaultProxy) -> str:
    uri = f"{bucket}/weights"
    stored.write(open_storage(uri), stored.packaged(ARCHITECTURE))
    return uri


def test_without_the_right_to_read_the_weights_one_line_says_so_before_pictures_are_read(
    bucket: str, weights: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    proxy.faults = Faults(status=1.0, statuses=(403,), of="weights")
    said = runs.train(tuned(tmp_path / "no pictures", tmp_path / "run", weights=weights), Exit.NO_PERMISSION)
    [line] = said.splitlines()
    assert f"bucket {bucket[5:]} needs the role roles/storage.objectViewer" in line
    assert weights in line
    assert not (tmp_path / "run").exists()


def test_two_workers_read_each_picture_once_between_them_and_the_weights_once_each(
    bucket: str, weights: str, proxy: FaultProxy, tmp_path: Path
) -> None:
    data = open_storage(f"{bucket}/data")
    folder = runs.drawn(tmp_path / "drawn", 70, 20, 20)
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.*")) if path.is_file()]
    for name in names:
        data.write(name, folder / name)
    proxy.paths.clear()
    plain = {"flip": False, "rotation": 0.0, "unfreeze": "", "head_epochs": 0, "dropout": 0.0}
    asked = tuned(Path("x"), tmp_path / "run", **plain, epochs=2, weights=weights, workers=2)
    runs.train(dataclasses.replace(asked, data=data.uri))
    read = _contents(proxy.paths)
    pictures = {name: count for name, count in read.items() if name.startswith("data/") and name.endswith(".jpg")}
    assert len(pictures) == 220
    assert set(pictures.values()) == {1}, {name: count for name, count in pictures.items() if count != 1}
    assert read["weights/weights.safetensors"] == 2


def _contents(paths: Counter[str]) -> Counter[str]:
    """How often the content of each object was read, by name."""
    found: Counter[str] = Counter()
    for path, count in paths.items():
        method, _, rest = path.partition(" ")
        if method == "GET" and "/download/" in rest:
            found[unquote(rest.rpartition("/o/")[2])] += count
    return found
