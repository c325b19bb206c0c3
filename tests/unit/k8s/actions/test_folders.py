import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from k8s.actions import folders
from k8s.exits import Cli, CliError
from k8s.explain.observation import Holder
from tests.unit.k8s.explain.sightings import state
from trainer.process import identity
from trainer.storage.base import Storage

LITE = "efficientnet-lite0"
READ = folders._read


def write(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_states_of_all_run_folders(tmp_path: Path) -> None:
    write(tmp_path / "a", state=state("succeeded"))
    write(tmp_path / "b", state=state("running"))
    write(tmp_path / "b" / "deeper", state=state("failed"))
    write(tmp_path / "c", config={})
    read = folders.states(f"{tmp_path}/")
    states = {uri: one["state"] for uri, one in read.found.items()}
    assert states == {f"{tmp_path}/a": "succeeded", f"{tmp_path}/b": "running"}
    assert (read.unread, read.trouble) == ({}, "")
    (tmp_path / "c" / "state.json").write_text("{")
    read = folders.states(str(tmp_path))
    assert set(read.found) == set(states)
    assert "c/state.json is not JSON" in read.unread[f"{tmp_path}/c"]


def test_with_storage_that_hangs_what_is_known_comes_in_time_and_the_rest_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        write(tmp_path / f"r{number:02d}", state=state("running"))
    elsewhere = write(tmp_path / "elsewhere" / "x", state=state("succeeded"))
    hangs, released = threading.Event(), threading.Event()

    def read(storage: Storage, name: str) -> tuple[Any, str]:
        if storage.uri.endswith(("r07", "r23")):
            hangs.set()
            released.wait(60)
        return READ(storage, name)

    monkeypatch.setattr(folders, "_read", read)
    began = time.monotonic()
    found = folders.states(str(tmp_path), [str(elsewhere)], seconds=1.5)
    assert time.monotonic() - began < 10
    assert hangs.is_set()
    released.set()
    assert set(found.unread) == {f"{tmp_path}/r07", f"{tmp_path}/r23"}
    assert all("no answer from storage in 1.5 s" in why for why in found.unread.values())
    assert len(found.found) == 39
    assert found.found[str(elsewhere)]["state"] == "succeeded"


def test_a_listing_that_hangs_does_not_hide_the_runs_that_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = write(tmp_path / "x", state=state("running"))
    released = threading.Event()
    monkeypatch.setattr(folders, "_children", lambda uri: (released.wait(60), ({}, ""))[1])
    found = folders.states(str(tmp_path), [str(known)], seconds=1.0)
    released.set()
    assert set(found.found) == {str(known)}
    assert "cannot be listed from here: no answer from storage in 1 s" in found.trouble


def test_a_key_more_in_state_json_is_kept_and_hurts_nobody(tmp_path: Path) -> None:
    write(tmp_path, state=state("running", lost=[1], ledger={"input": 0.5}))
    found, trouble = folders.read(str(tmp_path), "state.json")
    assert trouble == ""
    assert (found or {})["lost"] == [1]
    assert folders.mark_cancelled(str(tmp_path)) == ""
    assert json.loads((tmp_path / "state.json").read_text())["ledger"] == {"input": 0.5}


def test_a_run_that_has_started_has_a_configuration(tmp_path: Path) -> None:
    assert folders.has_config(str(write(tmp_path / "a", config={}))) is True
    assert folders.has_config(str(write(tmp_path / "b", state=state("failed")))) is False
    assert folders.has_config("s3://bucket/x") is None


def test_what_cannot_be_read_is_a_note(tmp_path: Path) -> None:
    assert folders.read(str(tmp_path), "state.json") == (None, "")
    (tmp_path / "state.json").write_text("{")
    assert "is not JSON" in folders.read(str(tmp_path), "state.json")[1]
    (tmp_path / "state.json").write_text("[]")
    assert "is not a JSON object" in folders.read(str(tmp_path), "state.json")[1]


def test_a_data_set_that_does_not_exist_is_a_missing_prerequisite(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="nothing below") as caught:
        folders.check_data(str(tmp_path))
    assert caught.value.code == Cli.PREREQUISITE
    (tmp_path / "train" / "cat").mkdir(parents=True)
    (tmp_path / "train" / "cat" / "1.jpg").write_bytes(b"x")
    assert folders.check_data(str(tmp_path)) == ""


@pytest.mark.parametrize("check", [folders.check_data, lambda uri: folders.check_weights(uri, LITE)])
def test_an_invalid_uri_is_usage(check: Callable[[str], str]) -> None:
    with pytest.raises(CliError, match="unknown kind of storage") as caught:
        check("s3://bucket/x")
    assert caught.value.code == Cli.USAGE


def test_weights_that_do_not_exist_are_a_missing_prerequisite(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=f"no weights there .*; catdog weights fetch {LITE} {tmp_path} writes") as caught:
        folders.check_weights(str(tmp_path), LITE)
    assert caught.value.code == Cli.PREREQUISITE
    write(tmp_path, weights={"architecture": LITE})
    assert folders.check_weights(str(tmp_path), LITE) == ""
    with pytest.raises(CliError, match=f"weights of {LITE}, and --model is efficientnet-lite1") as caught:
        folders.check_weights(str(tmp_path), "efficientnet-lite1")
    assert caught.value.code == Cli.USAGE
    (tmp_path / "weights.json").write_text("{")
    assert "is not JSON" in folders.check_weights(str(tmp_path), LITE)


@pytest.mark.parametrize(
    ("before", "after"),
    [("running", "cancelled"), ("preempted", "cancelled"), ("succeeded", "succeeded"), ("failed", "failed")],
)
def test_only_what_was_stopped_becomes_cancelled(tmp_path: Path, before: str, after: str) -> None:
    write(tmp_path, state=state(before, step=77))
    assert folders.mark_cancelled(str(tmp_path)) == ""
    found = json.loads((tmp_path / "state.json").read_text())
    assert (found["state"], found["step"]) == (after, 77)


def test_a_run_that_never_wrote_a_state_can_be_cancelled(tmp_path: Path) -> None:
    assert folders.mark_cancelled(str(tmp_path)) == ""


def test_only_run_folders_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "picture.jpg").write_bytes(b"x")
    with pytest.raises(CliError, match="it is not a run folder"):
        folders.delete_folder(str(tmp_path))
    write(tmp_path, config={}, state={})
    write(tmp_path / "best", MANIFEST={})
    assert folders.delete_folder(str(tmp_path)) == 4
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")]


def test_the_process_that_holds_a_folder_is_known_on_its_own_machine(tmp_path: Path) -> None:
    uri = str(tmp_path)
    assert folders.holder(uri) is None
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"]) as process:
        lease = {"boot": identity.boot(), "host": socket.gethostname(), "pid": process.pid}
        lease["started"] = identity.started(process.pid)
        (tmp_path / "lease.json").write_text(json.dumps(lease))
        assert folders.holder(uri) == Holder(process.pid)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        assert folders.holder(uri) == Holder(process.pid, stopped=True)
        process.kill()
        process.wait()
        assert folders.holder(uri) == Holder(process.pid, gone=True)
    for other in ({"boot": "another boot"}, {"host": "elsewhere"}, {"pid": "1"}, {"boot": ""}):
        (tmp_path / "lease.json").write_text(json.dumps({**lease, **other}))
        assert folders.holder(uri) is None
    (tmp_path / "lease.json").write_text("{")
    assert folders.holder(uri) is None
