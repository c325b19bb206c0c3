import errno
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trainer.exits import Exit, ExitError
from trainer.process import temporary

REPOSITORY = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def fails(number: int) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_folder_and_a_file_are_in_tmpdir_and_gone_at_the_end(tmp_path: Path) -> None:
    with temporary.folder("catdog-") as folder, temporary.unnamed() as file:
        (folder / "one").write_text("1")
        file.write(b"2")
        assert [path.parent for path in tmp_path.rglob("one")] == [folder]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG])
@pytest.mark.parametrize("make", [lambda: temporary.folder("catdog-"), temporary.unnamed])
def test_what_cannot_be_made_is_74_and_names_the_folder_and_how_to_choose_another(
    make: Callable[[], "object"], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryDirectory", fails(number))
    monkeypatch.setattr(tempfile, "TemporaryFile", fails(number))
    with pytest.raises(ExitError) as raised, make():  # type: ignore[attr-defined]
        pass
    assert raised.value.code == Exit.STORAGE_FAILED
    assert raised.value.message.startswith(f"{tmp_path}: ")
    assert os.strerror(number) in raised.value.message
    assert "TMPDIR" in raised.value.message


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("Can't write data (file write failed: errno = 28, error message = 'No space left on device')"),
        ValueError("/tmp/x/variables; Disk quota exceeded [Op:SaveV2]"),
    ],
)
def test_whatever_says_that_there_is_no_room_is_74(error: Exception, tmp_path: Path) -> None:
    what = "the model cannot be exported there"
    with pytest.raises(ExitError, match=f"{tmp_path}: {what}") as raised, temporary.explained(what):
        raise error
    assert raised.value.code == Exit.STORAGE_FAILED


@pytest.mark.parametrize("error", [ExitError(Exit.NO_PERMISSION, "the bucket"), ValueError("a bug"), KeyError("x")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, temporary.explained("it cannot be done"):
        raise error
    assert raised.value is error


def test_without_any_folder_that_can_be_written_it_says_which_were_tried(tmp_path: Path) -> None:
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (0, {resource.RLIM_INFINITY}))\n"
        "from trainer.process import temporary\n"
        "try:\n"
        "    with temporary.folder('catdog-'): pass\n"
        "except Exception as error:\n"
        "    print(int(error.code), error.message)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.startswith("74 No usable temporary directory found in"), done.stderr
    assert str(tmp_path) in done.stdout
