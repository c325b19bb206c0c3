"""Whatever a manifest says, also one with a valid checksum, is a checkpoint or is refused: never a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import odd
from tests.unit.trainer.training.snapshots import snapshot
from trainer.contract import MANIFEST
from trainer.exits import Exit, ExitError
from trainer.storage.opening import open_storage
from trainer.training import checkpoint
from trainer.training.checkpoint import Unusable, newest, read, sealed, step_name, write

STEP = step_name(7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    write(open_storage(str(folder)), STEP, snapshot(7))
    return folder


@pytest.fixture(scope="module")
def manifest(folder: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder / STEP / MANIFEST).read_text())
    return made


def resealed(values: Any) -> bytes:
    """With a checksum that is right, as somebody with write access can make it."""
    return sealed({name: value for name, value in values.items() if name != "crc32c"})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(data=st.data())
def test_a_manifest_is_read_or_refused(folder: Path, manifest: dict[str, Any], data: st.DataObject) -> None:
    state = {"history": [{"epoch": 1, "step": 2}], "best": {"epoch": 1, "step": 2, "accuracy": 0.5, "loss": 1.0}}
    fixed = {"name": "frozen/x.safetensors", "size": 3, "crc32c": 4, "groups": ["frozen"]}
    full = {**manifest, "schema": 3, "fixed": fixed, "state": {**manifest["state"], **state}}
    changed = st.sampled_from([manifest, full]).flatmap(odd.changed)
    text = data.draw(odd.files(manifest) | changed.filter(lambda one: isinstance(one, dict)).map(resealed))
    (folder / STEP / MANIFEST).write_bytes(text)
    storage = open_storage(str(folder))
    error = odd.refusal(lambda: read(storage, STEP), Unusable)
    if error is not None:
        refused = odd.refusal(lambda: newest(storage), ExitError)
        assert refused is not None
        assert refused.code == Exit.STORAGE_FAILED
        assert "\n" not in refused.message


@settings(max_examples=200, deadline=None)
@given(odd.values)
def test_a_tensor_file_of_any_content_is_refused(value: Any) -> None:
    head = json.dumps(value).encode()
    for data in (head, len(head).to_bytes(8, "little") + head, (2**60).to_bytes(8, "little") + head):
        odd.refusal(lambda data=data: checkpoint.decode(data), Unusable)  # type: ignore[misc]
