from pathlib import Path

import pytest

from trainer.exits import Exit
from trainer.storage.errors import StorageDenied
from trainer.storage.opening import open_storage


def test_without_credentials_it_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(
        StorageDenied, match=r"^gs://bucket: no Google Cloud credentials found; run 'gcloud auth"
    ) as caught:
        open_storage("gs://bucket/run")
    assert caught.value.code == Exit.NO_PERMISSION


def test_opening_under_the_emulator_makes_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")  # nobody listens, and no scheme is fine
    assert open_storage("gs://bucket").uri == "gs://bucket"
    assert open_storage("gs://bucket/").uri == "gs://bucket"
    assert open_storage("gs://bucket/a/b/").uri == "gs://bucket/a/b"
    assert open_storage("gs://bucket/a").child("b/c").uri == "gs://bucket/a/b/c"
