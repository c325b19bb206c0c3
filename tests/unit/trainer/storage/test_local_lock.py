import subprocess
import sys
from pathlib import Path

import pytest

from trainer.storage.local_lock import locked, locked_by_file
from trainer.storage.opening import open_storage

REPOSITORY = Path(__file__).parents[4]


def start(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=REPOSITORY, stderr=subprocess.PIPE)


@pytest.mark.parametrize("lock", [locked, locked_by_file])
def test_a_lock_lets_one_in(tmp_path: Path, lock: type) -> None:
    code = "import sys; from trainer.storage.local_lock import *; from trainer.storage import local_lock\n"
    code += f"with local_lock.{lock.__name__}(Path(sys.argv[1])): Path(sys.argv[1], 'entered').touch()"
    with lock(tmp_path):
        process = start(code, str(tmp_path))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.25)
        assert not (tmp_path / "entered").exists()
    with process:
        assert process.wait(20) == 0
    assert (tmp_path / "entered").exists()
    assert list(open_storage(str(tmp_path)).list("en"))
