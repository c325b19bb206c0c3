import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainer.exits import Exit
from trainer.storage.errors import BadName, StorageDenied, StorageFailed
from trainer.storage.local import LocalStorage
from trainer.storage.names import TEMPORARY_PREFIX

REPOSITORY = Path(__file__).parents[4]


def start(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=REPOSITORY, stderr=subprocess.PIPE)


def temporaries(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(TEMPORARY_PREFIX)]


def test_no_update_is_lost_between_processes(tmp_path: Path) -> None:
    code = """
import sys
from trainer.storage.errors import PreconditionFailed
from trainer.storage.opening import open_storage
storage = open_storage(sys.argv[1])
for _ in range(8):
    while True:
        stat = storage.stat("counter")
        value = int(storage.read("counter")) if stat else 0
        try:
            storage.write("counter", str(value + 1).encode(), if_generation=stat.generation if stat else "")
            break
        except PreconditionFailed:
            continue
"""
    processes = [start(code, str(tmp_path)) for _ in range(3)]
    for process in processes:
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 0
    assert (tmp_path / "counter").read_bytes() == b"24"


def test_a_killed_write_shows_nothing_and_is_swept_but_a_living_one_is_not(tmp_path: Path) -> None:
    root, pipe = tmp_path / "root", tmp_path / "pipe"
    os.mkfifo(pipe)
    LocalStorage(root).write("a/old", b"old")
    code = "import sys; from trainer.storage.local import *; root, pipe = map(Path, sys.argv[1:])"
    code += "; LocalStorage(root).write('a/new', pipe)"
    writer = start(code, str(root), str(pipe))  # waits in the middle of its write for what comes through the pipe
    with writer, pipe.open("wb") as feed:
        feed.write(b"half")
        feed.flush()
        deadline = time.monotonic() + 20
        while not temporaries(root / "a") and time.monotonic() < deadline:
            time.sleep(0.01)
        LocalStorage(root).write("a/other", b"")
        assert [stat.name for stat in LocalStorage(root).list()] == ["a/old", "a/other"]
        assert len(temporaries(root / "a")) == 1
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert len(temporaries(root / "a")) == 1
        LocalStorage(root).write("a/other", b"")
        assert temporaries(root / "a") == []
        assert LocalStorage(root).stat("a/new") is None


def test_a_write_that_fails_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    LocalStorage(tmp_path).write("a", b"old")
    code = """
import resource, signal, sys
from trainer.storage.errors import StorageFailed
from trainer.storage.opening import open_storage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    open_storage(sys.argv[1]).write("a", b"n" * 5000)
except StorageFailed as error:
    print(error, file=sys.stderr)
"""
    with start(code, str(tmp_path)) as process:
        message = process.communicate(timeout=30)[1].decode()
    assert message == f"{tmp_path}/a: cannot write: File too large\n"
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_folder_that_cannot_be_written_is_denied() -> None:
    with pytest.raises(StorageDenied, match="cannot write") as caught:
        LocalStorage(Path("/sys/catdog")).write("a/b", b"x")  # refuses root too
    assert caught.value.code == Exit.NO_PERMISSION


def test_a_link_that_leads_out_is_read_but_not_written_through(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "a").write_bytes(b"x")
    (root / "link").symlink_to(outside)
    storage = LocalStorage(root)
    assert [stat.name for stat in storage.list()] == ["link/a"]
    assert storage.read("link/a") == b"x"
    for call in (lambda: storage.write("link/new", b"y"), lambda: storage.write("link/deeper/new", b"y")):
        with pytest.raises(BadName, match="leads out of"):
            call()
    with pytest.raises(BadName, match="leads out of"):
        storage.delete("link/a")
    assert os.listdir(outside) == ["a"]


def test_a_link_in_the_objects_place_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"x")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").symlink_to(tmp_path / "outside")
    LocalStorage(tmp_path / "root").write("a", b"new")
    assert (tmp_path / "outside").read_bytes() == b"x"
    assert LocalStorage(tmp_path / "root").read("a") == b"new"


def test_a_link_loop_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(b"")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert [stat.name for stat in LocalStorage(tmp_path).list()] == ["a/b"]


def test_a_root_that_is_a_link_works(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    LocalStorage(tmp_path / "link").write("a/b", b"x")
    assert (tmp_path / "real/a/b").read_bytes() == b"x"


def test_delete_takes_the_empty_folders_but_not_the_root(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "root")
    storage.write("a/b/c", b"")
    storage.write("a/d", b"")
    storage.delete("a/b/c")
    assert os.listdir(tmp_path / "root/a") == ["d"]
    storage.delete("a/d")
    assert os.listdir(tmp_path / "root") == []


def test_a_file_in_a_folders_place_is_named(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("a", b"")
    storage.write("b/c", b"")
    with pytest.raises(StorageFailed, match=r"a/x: cannot be written: a part of this path is a file"):
        storage.write("a/x", b"")
    with pytest.raises(StorageFailed, match=r"b: cannot be written: there is a folder of this name"):
        storage.write("b", b"")
    assert storage.stat("a/x") is None
    storage.delete("a/x")


def test_a_part_longer_than_files_can_hold_is_refused(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with pytest.raises(BadName, match="has 256 bytes; at most 255"):
        storage.write("a/" + "é" * 128, b"")
    longest = "/".join(["a" * 255, "b" * 255, "c" * 255, "d" * 254, "e"])
    assert len(longest) == 1024
    storage.write(longest, b"x")
    assert [stat.name for stat in storage.list()] == [longest]
