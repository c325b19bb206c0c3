"""A folder for checkpoints."""

from pathlib import Path

import pytest

from trainer.storage.base import Storage
from trainer.storage.opening import open_storage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def storage(root: Path) -> Storage:
    return open_storage(str(root))
