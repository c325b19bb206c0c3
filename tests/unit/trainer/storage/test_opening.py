import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage

REPOSITORY = Path(__file__).parents[4]


def test_a_local_storage_does_not_import_google_cloud(tmp_path: Path) -> None:
    code = "import sys; from trainer.storage.opening import open_storage; import trainer.storage.fetch; "
    code += "list(open_storage('.').list('x/')); heavy = ('google', 'requests', 'urllib3'); "
    code += "sys.exit(any(name.split('.')[0] in heavy for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


@pytest.mark.parametrize(
    "uri", ["runs/a", "./runs/a", "runs/a/", "runs//a", "file://{cwd}/runs/a", "file://localhost{cwd}/runs/a"]
)
def test_a_path_or_file_uri_opens_a_folder(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage(uri.format(cwd=tmp_path))
    assert storage.uri == f"{tmp_path}/runs/a"
    assert list(storage.list()) == []
    assert os.listdir(tmp_path) == []


def test_a_file_uri_is_unquoted_and_a_path_is_not(tmp_path: Path) -> None:
    assert open_storage(f"file://{tmp_path}/a%20b").uri == f"{tmp_path}/a b"
    assert open_storage(f"{tmp_path}/a%20b").uri == f"{tmp_path}/a%20b"


@pytest.mark.parametrize(
    "uri", ["", "s3://bucket/a", "http://host/a", "file://host/a", "file://", "gs://", "gs:///a", "gs://A_B!/x", "a\0b"]
)
def test_another_uri_is_refused_in_one_line(uri: str) -> None:
    with pytest.raises(ExitError, match=r"^.*: .*$") as caught:
        open_storage(uri)
    assert caught.value.code == Exit.BAD_OPTION
