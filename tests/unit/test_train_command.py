"""`catdog train` as a user types it: its output and files when it succeeds, is stopped, or fails."""

import json
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import runs

pytestmark = pytest.mark.timeout(300)

CATDOG = [sys.executable, "-c", "from k8s.cli import main; main()"]
QUICK = ["--recipe", "demo", "--image-size", "32", "--batch-size", "8", "--warmup-steps", "0", "--log-every", "1"]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set of 24 + 8 + 8 pictures."""
    return runs.drawn(tmp_path_factory.mktemp("data") / "drawn", 12, 4, 4)


@pytest.fixture
def data(good: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(good, tmp_path / "data"))


def catdog(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([*CATDOG, *map(str, arguments)], capture_output=True, text=True, timeout=200)
    assert done.returncode == code, f"exit {done.returncode}, expected {code}:\n{done.stdout}\n{done.stderr}"
    return done


def complaint(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line on standard error; there must be no traceback and nothing else."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("catdog: ")
    return lines[0]


def pictures(data: Path, place: str) -> list[Path]:
    return sorted((data / place).iterdir())


def png_bomb(side: int) -> bytes:
    """A valid PNG of side x side black pixels in a few kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" * (1 + side // 8)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


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
    answers = json.loads(catdog("predict", run, *pictures(good, "test/cats"), "-o", "json").stdout)
    assert {answer["class"] for answer in answers} <= {"cats", "dogs"}
    assert all(abs(sum(answer["probabilities"].values()) - 1) < 1e-5 for answer in answers)

    (run / "report.html").unlink()
    catdog("report", run)
    assert "Drawn demo data" not in (run / "report.html").read_text()  # it was named with --data


def test_another_configuration_or_data_set_is_refused_and_nothing_is_touched(
    good: Path, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    catdog("train", *QUICK, "--data", good, "--run", run, "--epochs", 1)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused = catdog("train", *QUICK, "--data", good, "--run", run, "--learning-rate", "0.5", code=73)
    assert "--learning-rate 0.002 there, 0.5 here" in complaint(refused)
    pictures(data, "train/cats")[0].write_bytes(pictures(data, "train/dogs")[0].read_bytes())
    assert "another data set" in complaint(
        catdog("train", *QUICK, "--data", data, "--run", run, "--epochs", 1, code=73)
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    forced = catdog("train", *QUICK, "--data", data, "--run", run, "--epochs", 2, "--force-resume", code=73)
    assert f"--init-from {run}" in complaint(forced)
    late = ("--epochs", 1, "--learning-rate", "0.001", "--force-resume")
    forced = catdog("train", *QUICK, "--data", good, "--run", run, *late, code=73)
    assert "this run has finished, with another configuration (--learning-rate 0.002 there" in complaint(forced)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    other = ("--epochs", 2, "--optimizer", "sgd", "--force-resume")
    forced = catdog("train", *QUICK, "--data", good, "--run", run, *other, code=73)
    assert "its checkpoint is for another network or optimizer" in complaint(forced)
    assert (run / "config.json").read_bytes() == before[run / "config.json"]
    forced = catdog(
        "train", *QUICK, "--data", good, "--run", run, "--epochs", 2, "--learning-rate", "0.001", "--force-resume"
    )
    assert "from step 3" in forced.stdout


def test_class_folders_alone_are_cut_the_same_for_train_and_evaluate_and_a_test_split_may_be_absent(
    good: Path, tmp_path: Path
) -> None:
    pets = tmp_path / "pets"
    for name in ("cats", "dogs"):
        shutil.copytree(good / "train" / name, pets / name)
    (pets / ".ipynb_checkpoints").mkdir()
    shutil.copy(pictures(good, "test/cats")[0], pets / ".ipynb_checkpoints")
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


def test_a_folder_held_by_a_live_run_is_refused(good: Path, tmp_path: Path) -> None:
    command = ["train", *QUICK, "--data", good, "--run", tmp_path / "run", "--epochs", 100_000]
    process = subprocess.Popen([*CATDOG, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        runs.await_step(process, 1)
        assert "held by a live run" in complaint(catdog(*command, code=73))
        assert process.poll() is None
    finally:
        process.terminate()
        process.communicate(timeout=60)


def spoil_nothing(data: Path) -> None:
    shutil.rmtree(data)


def one_class(data: Path) -> None:
    for split in ("train", "valid", "test"):
        shutil.rmtree(data / split / "dogs")


def empty_class(data: Path) -> None:
    for picture in pictures(data, "valid/dogs"):
        picture.rename(picture.with_suffix(".txt"))


def other_classes(data: Path) -> None:
    (data / "test/dogs").rename(data / "test/wolves")


def no_train(data: Path) -> None:
    shutil.rmtree(data / "train")


def both(data: Path) -> None:
    for name in ("cats", "dogs"):
        shutil.copytree(data / "train" / name, data / name)


def web_pictures(data: Path) -> None:
    for picture in [path for path in data.rglob("*") if path.is_file()]:
        picture.rename(picture.with_suffix(".webp"))


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (spoil_nothing, 66, "no such folder; is the path right?"),
        (one_class, 65, "only one class"),
        (empty_class, 65, "valid/dogs"),
        (other_classes, 65, "'dogs' is not in test"),
        (no_train, 66, "the train split is missing"),
        (both, 65, "say --layout splits or --layout classes"),
        (web_pictures, 65, "convert them with `catdog data import"),
    ],
)
def test_a_data_set_that_is_none_is_refused_before_anything_is_written(
    spoil: Callable[[Path], None], code: int, words: str, data: Path, tmp_path: Path
) -> None:
    spoil(data)
    assert words in complaint(catdog("train", *QUICK, "--data", data, "--run", tmp_path / "run", code=code))
    assert not (tmp_path / "run").exists()


def text_as_jpg(picture: Path) -> None:
    picture.write_text("these are not pixels\n" * 100)


def cut_short(picture: Path) -> None:
    picture.write_bytes(picture.read_bytes()[:-200])


def bomb(picture: Path) -> None:
    picture.write_bytes(png_bomb(20_000))


UNREADABLE = [(text_as_jpg, "neither a JPEG nor a PNG"), (cut_short, "damaged"), (bomb, "refused before decoding")]


@pytest.mark.parametrize(("spoil", "words"), UNREADABLE)
def test_an_unreadable_picture_stops_the_run(
    spoil: Callable[[Path], None], words: str, data: Path, tmp_path: Path
) -> None:
    spoil(pictures(data, "train/cats")[3])
    refused = complaint(catdog("train", *QUICK, "--data", data, "--run", tmp_path / "run", "--epochs", 1, code=65))
    assert "1 of 24 pictures of train cannot be used, more than 1.0%" in refused
    assert words in refused
    state = json.loads((tmp_path / "run/state.json").read_text())
    assert (state["state"], state["exit_code"]) == ("failed", 65)


def test_unreadable_pictures_that_are_few_enough_are_counted_and_listed(data: Path, tmp_path: Path) -> None:
    """By the command that was refused before, which now allows for them."""
    command = ["train", *QUICK, "--data", data, "--run", tmp_path / "run", "--epochs", 1]
    spoiled = {picture.name: one for picture, one in zip(pictures(data, "train/cats")[3:], UNREADABLE, strict=False)}
    for name, (spoil, _) in spoiled.items():
        spoil(data / "train/cats" / name)
    assert "3 of 24 pictures of train cannot be used" in complaint(catdog(*command, code=65))
    catdog(*command, "--max-rejected", "0.2")
    listed = {one["path"]: one["reason"] for one in json.loads((tmp_path / "run/rejected.json").read_text())}
    assert set(listed) == {f"train/cats/{name}" for name in spoiled}
    for name, (_, words) in spoiled.items():
        assert words in listed[f"train/cats/{name}"]
    assert json.loads((tmp_path / "run/summary.json").read_text())["data"]["rejected"] == 3


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--recipe", "nonesuch"], 2, "--recipe is 'nonesuch'; it must be one of"),
        (["--dropout", "1.5"], 2, "--dropout is 1.5"),
        (["--epochs", "0"], 2, "--epochs is 0"),
        (["--accelerator", "gpu"], 78, "sees no GPU"),
        (["--deterministic", "--slices", "3", "--devices", "2"], 64, "needs a multiple of 2"),
        (["--data", "ftp://host/data"], 64, "unknown kind of storage"),
    ],
)
def test_a_bad_option_is_named(flags: list[str], code: int, words: str, good: Path, tmp_path: Path) -> None:
    given = ["train", *QUICK, "--data", good, "--run", tmp_path / "run", "--epochs", 1, *flags]
    assert words in complaint(catdog(*given, code=code))


@pytest.mark.parametrize(("flag", "value"), [("--epochs", "many"), ("--model", "nonesuch"), ("--precision", "float7")])
def test_a_flag_that_does_not_parse_is_usage(flag: str, value: str) -> None:
    done = catdog("train", flag, value, code=2)
    assert flag in done.stderr
    assert "Traceback" not in done.stderr


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


def test_a_run_folder_that_cannot_be_written_is_refused(good: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = catdog("train", *QUICK, "--data", good, "--run", tmp_path / "file/run", code=74)
    assert "a file, not a folder" in complaint(done)


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


def test_nothing_heavy_is_imported_before_bad_input_is_told(tmp_path: Path) -> None:
    began = time.process_time()
    code = (
        "import sys, trainer.main, trainer.start, trainer.__main__\n"
        "print([name for name in sys.modules if name in ('tensorflow', 'keras', 'google.cloud', 'matplotlib')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr
    assert time.process_time() >= began
