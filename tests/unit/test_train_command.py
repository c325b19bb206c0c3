"""`catdog train` as a user types it: its output and files when it succeeds, is stopped, or fails."""

import json
import os
import shutil
import signal
import statistics
import subprocess
from pathlib import Path

import pytest

from tests import runs
from tests.unit.typed import CATDOG, QUICK, catdog, complaint

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set of 24 + 8 + 8 pictures."""
    return runs.drawn(tmp_path_factory.mktemp("data") / "drawn", 12, 4, 4)


def test_a_run_leaves_everything_the_contract_names_and_says_so_when_asked_again(good: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = catdog("train", *QUICK, "--data", good, "--run", run, "--epochs", 2)
    assert "train: Found 24 files belonging to 2 classes. (cats 12, dogs 12)" in first.stdout
    assert first.stderr == ""
    names = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    wanted = {"config.json", "state.json", "metrics.jsonl", "summary.json", "report.html", "best/MANIFEST.json"}
    wanted |= {
        "checkpoints/step-000000006/MANIFEST.json",
        "figures/curves.png",
        "figures/augmentation.png",
        "figures/confusion.png",
    }
    wanted |= {
        "model/saved_model/saved_model.pb",
        "model/saved_model/1/saved_model.pb",
        "model/model.keras",
        "model/labels.json",
        "model/MODEL_CARD.md",
    }
    assert wanted <= names
    assert any(name.startswith("tensorboard/") for name in names)

    state = json.loads((run / "state.json").read_text())
    assert (state["state"], state["exit_code"], state["step"], state["total_steps"]) == ("succeeded", 0, 6, 6)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["parameters"] == 79_073
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert summary["examples_per_second"] == statistics.median(row["examples_per_second"] for row in rows)
    assert summary["test"]["examples"] == 8
    assert sum(map(sum, summary["test"]["confusion"])) == 8
    assert "calibration" not in summary

    again = catdog("train", *QUICK, "--data", good, "--run", run, "--epochs", 2)
    assert "is finished" in again.stdout
    assert json.loads((run / "state.json").read_text())["state"] == "succeeded"

    more = catdog("train", *QUICK, "--data", good, "--run", run, "--epochs", 3)
    assert "from step 6" in more.stdout
    assert json.loads((run / "state.json").read_text())["step"] == 9

    checked = json.loads(catdog("evaluate", run, "--data", good, "-o", "json").stdout)
    assert checked["accuracy"] == json.loads((run / "summary.json").read_text())["test"]["accuracy"]
    answers = json.loads(catdog("predict", run, *sorted((good / "test/cats").iterdir()), "-o", "json").stdout)
    assert {answer["class"] for answer in answers} <= {"cats", "dogs"}
    assert all(abs(sum(answer["probabilities"].values()) - 1) < 1e-5 for answer in answers)

    (run / "report.html").unlink()
    catdog("report", run)
    assert "Drawn demo data" not in (run / "report.html").read_text()  # it was named with --data


def test_class_folders_alone_are_cut_the_same_for_train_and_evaluate_and_a_test_split_may_be_absent(
    good: Path, tmp_path: Path
) -> None:
    pets = tmp_path / "pets"
    for name in ("cats", "dogs"):
        shutil.copytree(good / "train" / name, pets / name)
    (pets / ".ipynb_checkpoints").mkdir()
    shutil.copy(min((good / "test/cats").iterdir()), pets / ".ipynb_checkpoints")
    (pets / "readme.txt").write_text("x")
    cut = tmp_path / "cut"
    told = catdog("train", *QUICK, "--data", pets, "--run", cut, "--epochs", 1, "--seed", 3).stdout
    for line in (
        "recognised CLASS/FILE: 24 pictures",
        "left aside: 1 hidden or system file, such as .ipynb_checkpoints/",
        "left aside: 1 .txt file, such as readme.txt",
        "valid and test: not there, cut off train by --split 0.8/0.1/0.1 and --seed 3",
        "train: Found 20 files belonging to 2 classes. (cats 10, dogs 10)",
    ):
        assert line in told
    summary = json.loads((cut / "summary.json").read_text())
    assert (summary["test"]["examples"], summary["data"]["cut"]) == (2, ["valid", "test"])
    done = catdog("evaluate", cut, "--data", pets, "-o", "json")
    assert "its test split is taken, as it was cut" in done.stderr
    assert json.loads(done.stdout)["accuracy"] == summary["test"]["accuracy"]

    without = tmp_path / "without"
    told = catdog("train", *QUICK, "--data", pets, "--run", without, "--epochs", 1, "--split", "0.8/0.2/0").stdout
    assert "test: none" in told
    assert "there is no test split" in told
    summary = json.loads((without / "summary.json").read_text())
    assert summary["test"] is None
    assert "there was no test split" in (without / "model" / "MODEL_CARD.md").read_text()
    assert "the data set has no test split" in (without / "report.html").read_text()
    assert not (without / "figures" / "confusion.png").exists()


def test_a_calibrated_run_is_exported_and_tested_with_its_temperature(good: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    told = catdog("train", *QUICK, "--data", good, "--run", run, "--epochs", 2, "--calibrate").stdout
    summary = json.loads((run / "summary.json").read_text())
    calibration, test = summary["calibration"], summary["test"]
    assert f"calibrated: temperature {calibration['temperature']:.3f}" in told
    assert calibration["temperature"] != 1.0
    assert 1 / 20 <= calibration["temperature"] <= 20
    assert calibration["valid"]["loss_after"] < calibration["valid"]["loss_before"]
    assert test["loss"] == pytest.approx(calibration["test"]["loss_after"], abs=1e-5)
    assert test["ece"] == pytest.approx(calibration["test"]["ece_after"], abs=1e-5)
    low, high = summary["valid"]["accuracy_interval"]
    assert low <= summary["valid"]["accuracy"] <= high
    checked = json.loads(catdog("evaluate", run, "--data", good, "-o", "json").stdout)
    for key in ("accuracy", "loss", "ece"):
        assert checked[key] == pytest.approx(test[key], abs=1e-5)
    assert "Calibration" in (run / "report.html").read_text()

    # What is exported after it went on is calibrated anew, or not at all.
    catdog("train", *QUICK, "--data", good, "--run", run, "--epochs", 3)
    assert "calibration" not in json.loads((run / "summary.json").read_text())


def test_a_run_makes_its_own_squares_in_training_evaluate_and_predict(good: Path, tmp_path: Path) -> None:
    run = tmp_path / "padded"
    padded = [*QUICK, "--data", good, "--run", run, "--resize", "pad", "--antialias"]
    catdog("train", *padded, "--epochs", 1)
    recorded = json.loads((run / "config.json").read_text())["config"]
    assert (recorded["resize"], recorded["antialias"]) == ("pad", True)
    test = json.loads((run / "summary.json").read_text())["test"]
    told = json.loads(catdog("evaluate", run, "--data", good, "-o", "json").stdout)
    assert (told["accuracy"], told["confusion"]) == (test["accuracy"], test["confusion"])
    assert told["loss"] == pytest.approx(test["loss"], rel=1e-5)
    rows = json.loads(catdog("predict", run, good / "test", "-o", "json").stdout)
    right = sum(row["class"] == Path(row["image"]).parent.name for row in rows)
    assert right == round(test["accuracy"] * test["examples"])
    done = catdog("train", *padded[:-1], "--epochs", 1, code=73)
    assert "--antialias True there, False here" in complaint(done)


def test_init_from_starts_anew_from_the_best_weights_of_another_run(good: Path, tmp_path: Path) -> None:
    catdog("train", *QUICK, "--data", good, "--run", tmp_path / "a", "--epochs", 1)
    started = catdog(
        "train", *QUICK, "--data", good, "--run", tmp_path / "b", "--epochs", 1, "--init-from", tmp_path / "a"
    )
    assert "from step 0" in started.stdout
    losses = [json.loads((tmp_path / run / "metrics.jsonl").read_text())["train"]["loss"] for run in "ab"]
    assert losses[0] != losses[1]
    other = catdog(
        "train", *QUICK, "--data", good, "--run", tmp_path / "c", "--image-size", 180, "--model", "article",
        "--init-from", tmp_path / "a", code=64,
    )  # fmt: skip
    assert "do not fit" in complaint(other)
    assert "no best weights" in complaint(
        catdog("train", *QUICK, "--data", good, "--run", tmp_path / "d", "--init-from", tmp_path / "none", code=66)
    )


@pytest.mark.parametrize(
    ("number", "code", "word", "workers"),
    [
        (signal.SIGTERM, 143, "preempted", 1),
        (signal.SIGTERM, 143, "preempted", 2),
        (signal.SIGINT, 130, "cancelled", 1),
        (signal.SIGINT, 130, "cancelled", 2),
        (signal.SIGHUP, 143, "preempted", 1),  # of two workers, workers/test_gang.py
    ],
)
def test_a_signal_saves_the_state_and_the_same_command_goes_on(
    number: signal.Signals, code: int, word: str, workers: int, good: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = ["train", *QUICK, "--data", good, "--run", run, "--workers", workers, "--checkpoint-every", 0]
    process = subprocess.Popen(
        [*CATDOG, *map(str, command), "--epochs", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        runs.await_step(process, 5)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == code, said
    finally:
        if process.poll() is None:
            runs.kill_all(process)
    state = json.loads((run / "state.json").read_text())
    assert (state["state"], state["exit_code"]) == (word, code)
    step = runs.last(run).state.step
    assert state["step"] == step
    assert step >= 5
    assert not (run / "lease.json").exists()
    gone_on = catdog(*command, "--epochs", -(-step // 3) + 1)
    assert f"from step {step}" in gone_on.stdout


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root to mount a small file system"
)
def test_a_full_disk_ends_with_74_and_names_the_last_durable_step(good: Path, tmp_path: Path) -> None:
    run = tmp_path / "full"
    run.mkdir()
    script = f"mount -t tmpfs -o size=600k none {run} && exec " + " ".join(
        [
            "'" + part + "'"
            for part in [
                *CATDOG,
                "train",
                *QUICK,
                "--data",
                str(good),
                "--run",
                str(run),
                "--epochs",
                "2",
                "--storage-timeout",
                "5",
            ]
        ]
    )
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=200)
    assert done.returncode == 74, done.stdout + done.stderr
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_loss_that_is_not_finite_twice_is_80(good: Path, tmp_path: Path) -> None:
    flags = ["--optimizer", "sgd", "--learning-rate", "1000", "--schedule", "constant", "--precision", "float32"]
    done = catdog("train", *QUICK, *flags, "--data", good, "--run", tmp_path / "run", "--epochs", 20, code=80)
    assert "not finite" in complaint(done)
    state = json.loads((tmp_path / "run/state.json").read_text())
    assert (state["state"], state["exit_code"]) == ("failed", 80)


def test_a_worker_that_is_killed_is_to_blame_and_the_run_goes_on_when_started_again(good: Path, tmp_path: Path) -> None:
    command = ["train", *QUICK, "--data", good, "--run", tmp_path / "run", "--workers", 2, "--epochs", 3000]
    process = subprocess.Popen(
        [*CATDOG, *map(str, command), "--grace-period", "4"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    runs.await_step(process, 4)
    runs.await_checkpoint(tmp_path / "run")
    victims = [pid for pid in runs.descendants(process.pid) if _rank(pid) == "1"]
    assert victims
    os.kill(victims[-1], signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 137, said
    assert "a peer was lost" in said
    step = runs.last(tmp_path / "run").state.step
    gone_on = catdog(*command[:-2], "--epochs", -(-step // 3) + 1)
    assert f"from step {step}" in gone_on.stdout


def _rank(pid: int) -> str:
    for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if entry.startswith(b"CATDOG_RANK="):
            return entry.partition(b"=")[2].decode()
    return ""
