"""Whatever is in the files of a run folder, reading them gives what they say, or one line and a code."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import odd
from trainer import contract
from trainer.config import RunConfig
from trainer.exits import Exit, ExitError
from trainer.fingerprint import fingerprint
from trainer.folder import files, lease
from trainer.folder.files import RunState
from trainer.folder.lease import Holder
from trainer.requests import from_json, to_json
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage

CONFIG = RunConfig(run="runs/r")
VALID: dict[str, Any] = {
    contract.CONFIG: {
        "schema": 1,
        "config": dataclasses.asdict(CONFIG),
        "fingerprint": fingerprint(CONFIG),
        "data_fingerprint": "0" * 16,
        "versions": {"catdog": "1"},
        "revision": "",
        "threads": 2,
    },
    contract.STATE: {**dataclasses.asdict(RunState("running")), "lost": [1]},
    contract.LEASE: dataclasses.asdict(Holder("u", "r", 1, "h", "b", 7, "1", 1.5, 3)),
    contract.LABELS: ["cat", "dog"],
    contract.METRICS: {
        "epoch": 1,
        "step": 2,
        "train": {"loss": 1.0, "accuracy": 0.5},
        "valid": {"loss": 1.0, "accuracy": 0.5},
        "learning_rate": 0.1,
        "examples_per_second": 3.0,
        "seconds": 1.0,
    },
}
READERS: dict[str, tuple[str, Callable[[Storage], Any]]] = {
    "config.json": (contract.CONFIG, files.read_record),
    "state.json": (contract.STATE, files.read_state),
    "lease.json": (contract.LEASE, lease._read),
    "labels.json": (contract.LABELS, files.read_labels),
    "metrics.jsonl": (contract.METRICS, files.read_metrics),
}


@pytest.mark.parametrize("name", READERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_a_file_of_a_run_folder_is_read_or_refused(name: str, tmp_path: Path, data: st.DataObject) -> None:
    file, read = READERS[name]
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(data.draw(odd.files(VALID[file])))
    error = odd.refusal(lambda: read(open_storage(str(tmp_path))), ExitError)
    if error is not None:
        assert error.code == Exit.RUN_REFUSED
        assert file in error.message
        assert "\n" not in error.message


@pytest.mark.parametrize("content", [b"null", b"[]", b"4", b'"x"', *odd.NESTED], ids=lambda content: str(content[:9]))
def test_a_record_that_says_nothing_is_not_a_folder_where_nothing_was_recorded(content: bytes, tmp_path: Path) -> None:
    for name, read in ((contract.CONFIG, files.read_record), (contract.STATE, files.read_state)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ExitError, match="is damaged") as caught:
            read(open_storage(str(tmp_path)))
        assert caught.value.code == Exit.RUN_REFUSED


def test_what_is_valid_is_read(tmp_path: Path) -> None:
    for name, value in VALID.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(value))
    storage = open_storage(str(tmp_path))
    record, held = files.read_record(storage), lease._read(storage)
    assert record is not None
    assert record.config == dataclasses.replace(CONFIG, pixel_path=record.config.pixel_path)
    assert files.read_state(storage) == RunState("running", lost=(1,))
    assert held.holder == Holder("u", "r", 1, "h", "b", 7, "1", 1.5, 3)
    assert files.read_labels(storage) == ("cat", "dog")
    assert files.read_metrics(storage) == [VALID[contract.METRICS]]


@settings(max_examples=200, deadline=None)
@given(odd.files(json.loads(to_json(CONFIG))))
def test_a_request_is_read_or_refused(text: bytes) -> None:
    error = odd.refusal(lambda: from_json(text, RunConfig), ExitError)
    if error is not None:
        assert error.code == Exit.BAD_OPTION
        assert "\n" not in error.message
