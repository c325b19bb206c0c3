import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trainer.config import RunConfig
from trainer.exits import Exit, ExitError
from trainer.fingerprint import fingerprint
from trainer.folder import files
from trainer.folder.files import Record, RunState, check_data, settle
from trainer.requests import SCHEMA, from_json
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage

CONFIG = RunConfig(recipe="augmented", run="runs/a", precision="float32", seed=3)
RECORD = Record(CONFIG, "0123456789abcdef", {"catdog": "1.2", "python": "3.11"}, "abc123", 4)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "run"))


def asked(**changes: Any) -> RunConfig:
    return dataclasses.replace(CONFIG, **changes)


def test_a_record_is_read_as_it_was_written(storage: Storage) -> None:
    files.write_record(storage, RECORD)
    assert files.read_record(storage) == RECORD


def test_config_json_is_what_other_tools_read(storage: Storage) -> None:
    files.write_record(storage, RECORD)
    document = json.loads(storage.read("config.json"))
    assert document["schema"] == SCHEMA
    assert document["fingerprint"] == fingerprint(CONFIG)
    assert document["data_fingerprint"] == "0123456789abcdef"
    assert document["versions"] == {"catdog": "1.2", "python": "3.11"}
    assert (document["revision"], document["threads"]) == ("abc123", 4)
    assert from_json(storage.read("config.json"), RunConfig) == CONFIG


def test_class_weights_are_recorded_where_there_are_any(storage: Storage) -> None:
    files.write_record(storage, RECORD)
    assert "class_weights" not in json.loads(storage.read("config.json"))
    weighted = dataclasses.replace(RECORD, class_weights={"cats": 0.5, "dogs": 2.0})
    files.write_record(storage, weighted)
    assert json.loads(storage.read("config.json"))["class_weights"] == {"cats": 0.5, "dogs": 2.0}
    assert files.read_record(storage) == weighted


def test_a_record_without_a_pixel_path_is_of_path_1(storage: Storage) -> None:
    files.write_record(storage, RECORD)
    document = json.loads(storage.read("config.json"))
    assert document["config"].pop("pixel_path") == 2
    files.write_json(storage, "config.json", document)
    record = files.read_record(storage)
    assert record is not None
    assert record.config == asked(pixel_path=1)


def test_a_record_of_before_there_was_a_choice_is_squashed(storage: Storage) -> None:
    files.write_record(storage, RECORD)
    document = json.loads(storage.read("config.json"))
    assert (document["config"].pop("resize"), document["config"].pop("antialias")) == ("squash", False)
    files.write_json(storage, "config.json", document)
    assert files.read_record(storage) == RECORD


def test_a_key_that_a_later_version_adds_is_ignored(storage: Storage) -> None:
    files.write_record(storage, RECORD)
    files.write_json(storage, "config.json", {**json.loads(storage.read("config.json")), "mood": "good"})
    assert files.read_record(storage) == RECORD
    state = RunState("running", step=3, updated="2026-11-26T05:00:00+00:00")
    files.write_json(storage, "state.json", {**dataclasses.asdict(state), "mood": "good"})
    assert files.read_state(storage) == state
    files.write_metrics(storage, [{"epoch": 1, "mood": "good"}])
    assert files.read_metrics(storage)[0]["epoch"] == 1


def test_an_option_that_a_later_version_adds_is_ignored_if_it_changes_nothing(storage: Storage) -> None:
    files.write_record(storage, RECORD)
    document = json.loads(storage.read("config.json"))
    document["config"]["mood"] = "good"
    files.write_json(storage, "config.json", document)
    assert files.read_record(storage) == RECORD
    document["fingerprint"] = "another training"
    files.write_json(storage, "config.json", document)
    with pytest.raises(ExitError, match="unknown options: --mood") as caught:
        files.read_record(storage)
    assert caught.value.code == Exit.RUN_REFUSED


def test_a_finished_run_is_not_taken_for_another_that_is_asked_for() -> None:
    files.check_finished(asked(epochs=1, workers=2, force_resume=True), RECORD)
    with pytest.raises(ExitError, match=r"another configuration \(--seed 3 there, 4 here\)") as caught:
        files.check_finished(asked(seed=4, force_resume=True), RECORD)
    assert caught.value.code == Exit.RUN_REFUSED


def test_a_run_is_not_continued_with_other_squares() -> None:
    with pytest.raises(ExitError, match="--resize squash there, crop here, --antialias False there, True here"):
        settle(asked(resize="crop", antialias=True), RECORD)


@pytest.mark.parametrize("force", [False, True])
def test_a_run_keeps_its_pixel_path(force: bool) -> None:
    record = dataclasses.replace(RECORD, config=asked(pixel_path=1))
    assert settle(asked(force_resume=force), record) == asked(pixel_path=1, force_resume=force)
    assert settle(asked(), None).pixel_path == 2


def test_a_new_folder_has_nothing(storage: Storage) -> None:
    assert files.read_record(storage) is None
    assert files.read_state(storage) is None
    assert files.read_metrics(storage) == []
    assert files.read_json(storage, "summary.json") is None


@pytest.mark.parametrize("text", ["", "{", "\ud800x".encode("utf-8", "surrogatepass")])
def test_damaged_json_is_refused_by_name(storage: Storage, text: str | bytes) -> None:
    storage.write("config.json", text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ExitError, match=r"config\.json is damaged") as caught:
        files.read_record(storage)
    assert caught.value.code == Exit.RUN_REFUSED


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"config": {"unknown": 1}},
        {"config": {"epochs": 0}},
        {"config": {}, "data_fingerprint": "x", "versions": {}, "revision": ""},
    ],
)
def test_another_versions_record_is_refused(storage: Storage, document: Any) -> None:
    files.write_json(storage, "config.json", document)
    with pytest.raises(ExitError, match=r"not written by this version|is damaged") as caught:
        files.read_record(storage)
    assert caught.value.code == Exit.RUN_REFUSED


@pytest.mark.parametrize("document", [[], 3, {"mood": "good"}, {}])
def test_another_versions_state_is_refused(storage: Storage, document: Any) -> None:
    files.write_json(storage, "state.json", document)
    with pytest.raises(ExitError, match=r"state\.json") as caught:
        files.read_state(storage)
    assert caught.value.code == Exit.RUN_REFUSED


def test_without_a_record_what_is_asked_is_taken() -> None:
    assert settle(asked(), None) == asked()


def test_auto_keeps_the_precision_of_the_first_start() -> None:
    assert settle(asked(precision="auto"), RECORD).precision == "float32"


def test_auto_of_a_first_start_stays_to_be_resolved() -> None:
    assert settle(asked(precision="auto"), None).precision == "auto"


def test_what_is_no_identity_may_differ() -> None:
    changed = asked(epochs=200, workers=2, checkpoint_every=7, run="elsewhere", data="copy")
    assert settle(changed, RECORD) == changed


def test_each_difference_is_named_with_both_values() -> None:
    with pytest.raises(ExitError) as caught:
        settle(asked(seed=4, learning_rate=0.5), RECORD)
    assert caught.value.code == Exit.RUN_REFUSED
    assert caught.value.message == (
        "runs/a: this run folder belongs to another configuration (--learning-rate 0.001 there, 0.5 here, "
        "--seed 3 there, 4 here); use another --run, or --force-resume"
    )


def test_another_precision_asked_for_is_a_difference() -> None:
    with pytest.raises(ExitError, match="--precision float32 there, mixed_bfloat16 here"):
        settle(asked(precision="mixed_bfloat16"), RECORD)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(ExitError) as caught:
        settle(asked(class_weights=json.dumps({f"class {i}": 1.0 for i in range(1000)})), RECORD)
    assert "--class-weights none there, {" in caught.value.message
    assert len(caught.value.message) < 300


def test_force_resume_goes_on_with_what_is_asked() -> None:
    changed = asked(seed=4, precision="auto", force_resume=True)
    assert settle(changed, RECORD) == dataclasses.replace(changed, precision="float32")


def test_the_same_pictures_are_fine() -> None:
    check_data(asked(), None, "anything")
    check_data(asked(), RECORD, "0123456789abcdef")


@pytest.mark.parametrize(("data", "shown"), [("pets", "pets has ffff"), ("", "the demo set has ffff")])
def test_other_pictures_are_refused(data: str, shown: str) -> None:
    with pytest.raises(
        ExitError, match=rf"runs/a: .* another data set \(fingerprint 0123456789abcdef, {shown}"
    ) as caught:
        check_data(asked(data=data), RECORD, "ffff")
    assert caught.value.code == Exit.RUN_REFUSED


def test_force_resume_does_not_take_other_pictures() -> None:
    with pytest.raises(ExitError, match=r"--run ANOTHER --init-from runs/a") as caught:
        check_data(asked(force_resume=True), RECORD, "ffff")
    assert caught.value.code == Exit.RUN_REFUSED


def test_a_state_is_read_as_it_was_written_with_the_time(storage: Storage) -> None:
    state = RunState("failed", "out of luck", 70, 1, 2, 130, 1000, 4)
    files.write_state(storage, state)
    read = files.read_state(storage)
    assert read is not None
    assert dataclasses.replace(read, updated="") == state
    age = datetime.now(UTC) - datetime.fromisoformat(read.updated)
    assert timedelta(seconds=-2) < age < timedelta(seconds=60)


def test_a_state_of_a_later_version_is_read_without_what_it_has_more(storage: Storage) -> None:
    files.write_json(storage, "state.json", {"state": "running", "step": 7, "later": [1], "mood": {"input": 0.5}})
    assert files.read_state(storage) == RunState("running", step=7)


def test_state_json_has_the_contracts_fields(storage: Storage) -> None:
    files.write_state(storage, RunState("running"))
    assert set(json.loads(storage.read("state.json"))) == {
        *("state", "reason", "exit_code", "rank", "epoch", "step", "total_steps", "restarts", "updated"),
        *("attempt", "writer"),
        *("lost", "lost_since", "lost_silent", "slow", "workers", "workers_seen", "gpus", "cpus"),
        *("activity", "eta_seconds", "loss", "losses", "examples_per_second", "step_seconds", "ledger"),
    }


def test_metrics_are_one_object_a_line(storage: Storage) -> None:
    rows = [{"epoch": 1, "train": {"loss": 0.5}}, {"epoch": 2, "train": {"loss": 0.25}}]
    files.write_metrics(storage, iter(rows))
    lines = storage.read("metrics.jsonl").decode().splitlines()
    assert [json.loads(one) for one in lines] == rows
    assert files.read_metrics(storage) == rows


def test_labels_are_read_as_they_were_written(storage: Storage) -> None:
    files.write_labels(storage, ["cats", "Füchse"])
    assert json.loads(storage.read("model/labels.json")) == ["cats", "Füchse"]
    assert files.read_labels(storage) == ("cats", "Füchse")


def test_a_run_without_a_model_is_a_missing_input(storage: Storage) -> None:
    with pytest.raises(ExitError, match="no exported model there; has the run finished") as caught:
        files.read_labels(storage)
    assert caught.value.code == Exit.INPUT_MISSING
