import io
import stat
import tarfile
from pathlib import Path

import pytest

from k8s.terminal.doctor import Check, as_lines, write_bundle


def test_the_bundle_is_the_owners_alone_and_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    write_bundle(path, {"why.txt": b"because\n", "logs/p.txt": b""})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        assert archive.getnames() == ["b/logs/p.txt", "b/why.txt"]
        member = archive.extractfile("b/why.txt")
        assert member is not None
        assert member.read() == b"because\n"
    with pytest.raises(FileExistsError):
        write_bundle(path, {})


def test_checks_are_marked() -> None:
    text = as_lines([Check("a", True, "x"), Check("b", False, "y"), Check("c", None, "z")])
    assert [line.split()[0] for line in text.splitlines()] == ["ok", "FAIL", "note"]
