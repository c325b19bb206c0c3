from pathlib import Path

import pytest

from tests.storage_suite import StorageSuite
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage


class TestLocalStorage(StorageSuite):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return open_storage(str(tmp_path / "root"))
