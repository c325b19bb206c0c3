import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import google_crc32c
import pytest

from trainer.data.downloads import Downloads, open_downloads
from trainer.data.examples import Example

FIRST, SECOND = "0" * 16, "1" * 16
DATA = [bytes([i]) * 1000 for i in range(20)]
EXAMPLES = [Example(f"train/a/{i}.jpg", 0, 1000, google_crc32c.value(data)) for i, data in enumerate(DATA)]


def opened(folder: Path, fingerprint: str = FIRST, limit: int = 1 << 20) -> Downloads:
    downloads = open_downloads(folder, fingerprint, limit)
    assert downloads is not None
    return downloads


def kept(downloads: Downloads) -> list[int]:
    return [i for i, example in enumerate(EXAMPLES) if downloads.get(example) is not None]


def root(folder: Path) -> Path:
    return folder / f"catdog-pictures-{os.geteuid()}"


def pictures(folder: Path) -> list[Path]:
    return [path for path in root(folder).rglob("*") if path.is_file() and path.parent != root(folder)]


def put(downloads: Downloads, which: range) -> None:
    for i in which:
        downloads.put(EXAMPLES[i], DATA[i])


def test_what_was_put_is_there_in_the_next_run_and_not_in_another_data_set(tmp_path: Path) -> None:
    put(opened(tmp_path), range(5))
    again = opened(tmp_path)
    assert kept(again) == [0, 1, 2, 3, 4]
    assert again.get(EXAMPLES[3]) == DATA[3]
    assert kept(opened(tmp_path, SECOND)) == []


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: b"", lambda data: data[:-1] + b"\xff"])
def test_a_damaged_file_is_never_served_and_is_mended(tmp_path: Path, spoil: "object") -> None:
    downloads = opened(tmp_path)
    put(downloads, range(1))
    (path,) = pictures(tmp_path)
    path.write_bytes(spoil(DATA[0]))  # type: ignore[operator]
    assert downloads.get(EXAMPLES[0]) is None
    put(downloads, range(1))
    assert downloads.get(EXAMPLES[0]) == DATA[0]


def test_the_limit_holds(tmp_path: Path) -> None:
    downloads = opened(tmp_path, limit=5500)
    put(downloads, range(20))
    assert kept(downloads) == [0, 1, 2, 3, 4]
    again = opened(tmp_path, limit=5500)
    put(again, range(20))
    assert kept(again) == [0, 1, 2, 3, 4]


def test_the_longest_unused_data_set_makes_room(tmp_path: Path) -> None:
    for number, fingerprint in enumerate("abc"):
        put(opened(tmp_path, fingerprint * 16, 9500), range(3))
        os.utime(root(tmp_path) / (fingerprint * 16), (number, number))
    (root(tmp_path) / "not-ours").mkdir()
    downloads = opened(tmp_path, "d" * 16, 9500)
    put(downloads, range(3))
    assert kept(downloads) == [0, 1, 2]
    assert sorted(path.name for path in root(tmp_path).iterdir() if path.is_dir()) == [
        "b" * 16,
        "c" * 16,
        "d" * 16,
        "not-ours",
    ]


PREAMBLE = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import google_crc32c
from trainer.data.downloads import open_downloads
from trainer.data.examples import Example
"""
REPOSITORY = str(Path(__file__).parents[4])


def test_several_processes_share_one_limit(tmp_path: Path) -> None:
    # All open the folder before any writes: one that opens later counts anew, without what others took and did not use.
    code = f"""{PREAMBLE}
downloads = open_downloads(Path(sys.argv[2]), "0" * 16, 30_500)
print("open", flush=True)
sys.stdin.read()
for i in range(20):
    downloads.put(Example(f"{{sys.argv[3]}}/{{i}}", 0, 1000, 0), bytes(1000))
"""
    words = [sys.executable, "-c", code, REPOSITORY, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as running:
        many = [running.enter_context(subprocess.Popen([*words, str(n)], **pipes)) for n in range(3)]
        assert [one.stdout.readline() for one in many if one.stdout] == ["open\n"] * 3
        for one in many:
            assert one.stdin is not None
            one.stdin.close()
        assert [one.wait(60) for one in many] == [0, 0, 0]
    assert 20 <= len(pictures(tmp_path)) <= 30  # one takes all that is left, and may not need it


def test_a_process_adds_nothing_twice(tmp_path: Path) -> None:
    first, second = opened(tmp_path, limit=30_500), opened(tmp_path, limit=30_500)
    put(first, range(20))
    before = {path: path.stat().st_mtime_ns for path in pictures(tmp_path)}
    put(second, range(20))
    assert {path: path.stat().st_mtime_ns for path in pictures(tmp_path)} == before
    assert second._adding


def test_another_process_may_evict_what_is_in_use(tmp_path: Path) -> None:
    downloads = opened(tmp_path)
    put(downloads, range(3))
    shutil.rmtree(root(tmp_path) / FIRST)
    assert kept(downloads) == []
    put(downloads, range(3))
    assert kept(downloads) == [0, 1, 2]


def test_what_a_kill_leaves_is_not_served_and_is_mended(tmp_path: Path) -> None:
    code = f"""{PREAMBLE}
downloads = open_downloads(Path(sys.argv[2]), "0" * 16, 1 << 30)
for i in range(500):
    data = bytes([i % 256]) * (1 << 20)
    downloads.put(Example(str(i), 0, len(data), google_crc32c.value(data)), data)
"""
    process = subprocess.Popen([sys.executable, "-c", code, REPOSITORY, str(tmp_path)])
    deadline = time.monotonic() + 60
    while not (root(tmp_path).exists() and len(pictures(tmp_path)) > 3):
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    there = pictures(tmp_path)
    there[0].write_bytes(there[0].read_bytes()[:1000])  # a kill in the middle of a write, whether or not it was one
    downloads = opened(tmp_path, limit=1 << 30)
    contents = [bytes([i]) * (1 << 20) for i in range(len(there))]
    examples = [Example(str(i), 0, len(data), google_crc32c.value(data)) for i, data in enumerate(contents)]
    served = [downloads.get(example) for example in examples]
    assert [data for data, whole in zip(served, contents, strict=True) if data not in (None, whole)] == []
    assert served.count(None) in (1, 2)
    for example, data in zip(examples, contents, strict=True):
        downloads.put(example, data)
    assert [downloads.get(example) for example in examples] == contents


@pytest.mark.parametrize(("folder", "there"), [("", [0, 1, 2]), ("mounted", list(range(20)))])
def test_the_temporary_folder_of_a_pod_takes_a_quarter_of_what_the_pod_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, there: list[int]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("CATDOG_DISK_LIMIT", str(4 * 3500))
    downloads = open_downloads(tmp_path / folder if folder else None, FIRST, 0)
    assert downloads is not None
    put(downloads, range(20))
    assert kept(downloads) == there


def test_a_folder_that_cannot_be_used_is_a_warning_not_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert open_downloads(tmp_path / "file", FIRST, 0) is None
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    root(tmp_path / "cache").symlink_to(tmp_path / "elsewhere")
    with caplog.at_level(logging.WARNING):
        assert open_downloads(tmp_path / "cache", FIRST, 0) is None
    assert len(caplog.records) == 2
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_full_disk_ends_the_keeping_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = opened(tmp_path)
    put(downloads, range(2))

    def full(path: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("trainer.data.downloads._write", full)
    with caplog.at_level(logging.WARNING):
        put(downloads, range(2, 6))
    assert [record.getMessage() for record in caplog.records] == [
        f"{root(tmp_path)}: downloaded pictures are no longer kept there: No space left on device"
    ]
    assert kept(downloads) == [0, 1]
