"""A temporary folder without room ends a command with 74 and one line, wherever a temporary file is made."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests import pictures, runs
from tests.unit.typed import CATDOG, QUICK

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root to mount a small file system"
    ),
]


def with_little_room(folder: Path, *words: object) -> str:
    """The one line on standard error of a command whose temporary files are on 64 KiB."""
    folder.mkdir()
    script = 'mount -t tmpfs -o size=64k none "$0" && TMPDIR="$0" exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(folder), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 74, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if "the default" not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("catdog: ")
    assert str(folder) in lines[0]
    assert "No space left on device" in lines[0]
    return lines[0]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.drawn(tmp_path_factory.mktemp("data") / "drawn", 12, 4, 4)


@pytest.fixture(scope="module")
def finished(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run") / "run"
    runs.command("train", *QUICK, "--data", good, "--run", run, "--epochs", 1)
    return run


def test_export_at_the_end_of_training(good: Path, tmp_path: Path) -> None:
    run, small = tmp_path / "run", tmp_path / "small"
    words = [*CATDOG, "train", *QUICK, "--data", good, "--run", run, "--epochs", 1]
    assert "TMPDIR" in with_little_room(small, *words)
    runs.command("train", *QUICK, "--data", good, "--run", run, "--epochs", 1)  # nothing was lost


def test_decoded_pictures_beyond_the_memory(good: Path, tmp_path: Path) -> None:
    words = [
        "train",
        *QUICK,
        "--image-size",
        512,
        "--input",
        "decoded",
        "--cache-memory",
        1,
        "--data",
        good,
        "--run",
        tmp_path / "run",
    ]
    assert "--cache-dir" in with_little_room(tmp_path / "small", *CATDOG, *words)


@pytest.mark.parametrize("words", [["predict", "RUN", "DATA"], ["export", "RUN", "--format", "litert"]])
def test_a_model_that_is_loaded_or_converted(words: list[str], good: Path, finished: Path, tmp_path: Path) -> None:
    given = [{"RUN": finished, "DATA": good}.get(word, word) for word in words]
    assert "TMPDIR" in with_little_room(tmp_path / "small", *CATDOG, *given)


def test_archives_that_are_unpacked(tmp_path: Path) -> None:
    files = {
        f"{kind}/{i}.jpg": pictures.jpeg(10 * i + len(kind), 200, 200) for kind in ("cat", "mouse") for i in range(9)
    }
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as made:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(tar.getvalue()))
    (tmp_path / "b.zip").write_bytes(pictures.archive({"train.zip": pictures.archive(files)}))
    for name in ("a.tar.gz", "b.zip"):
        line = with_little_room(tmp_path / f"small-{name}", *CATDOG, "data", "import", tmp_path / name, tmp_path / "to")
        assert "cannot be unpacked" in line
        assert "TMPDIR" in line
