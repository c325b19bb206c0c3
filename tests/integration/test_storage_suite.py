from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storage_suite import StorageSuite
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage


class TestLocalStorage(StorageSuite):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return open_storage(f"file://{tmp_path}/root")


class TestGcsBucket(StorageSuite):
    @pytest.fixture
    def storage(self, bucket: str) -> Storage:
        return open_storage(bucket)


class TestGcsPrefix(StorageSuite):
    @pytest.fixture
    def storage(self, new_bucket: Callable[[], str]) -> Storage:
        storage = open_storage(new_bucket())
        storage.write("deep/prefix-not/x", b"a neighbour that must not show")
        return open_storage(f"{storage.uri}/deep/prefix/")
