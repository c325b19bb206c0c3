import dataclasses
import re

import pytest

from trainer.config import RunConfig
from trainer.telemetry.progress import epoch_line, view
from trainer.training.phases import length_of
from trainer.training.state import Best, LoopState, Sums

ROW = {
    "epoch": 3,
    "step": 189,
    "train": {"loss": 0.61234, "accuracy": 0.6875},
    "valid": {"loss": 0.5, "accuracy": 0.7},
    "learning_rate": 1e-3,
    "examples_per_second": 61.4,
    "seconds": 33.26,
}
STATE = LoopState(189, Sums(loss=16.0, correct=24, weight=32, seconds=0.5, timed_weight=32), (ROW,))

TEN_EPOCHS = length_of(RunConfig(epochs=10, batch_size=32), 2000)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "TERM"):
        monkeypatch.delenv(name, raising=False)


def test_an_epoch_in_one_line() -> None:
    assert epoch_line(STATE) == (
        "epoch   3  train loss 0.6123 accuracy  68.8%   valid loss 0.5000 accuracy  70.0%   61 images/s  33.3 s"
    )


def test_an_epoch_whose_only_step_has_compiled_has_no_speed() -> None:
    assert "   – images/s  " in epoch_line(dataclasses.replace(STATE, history=({**ROW, "examples_per_second": 0.0},)))


@pytest.mark.parametrize(("step", "ends"), [(189, "33.3 s  best so far"), (126, "33.3 s")])
def test_the_best_epoch_is_marked(step: int, ends: str) -> None:
    assert epoch_line(dataclasses.replace(STATE, best=Best(3, step, 0.7, 0.5))).endswith(ends)


def test_a_pipe_gets_plain_lines_every_so_many_steps(capsys: pytest.CaptureFixture[str]) -> None:
    shown = view(TEN_EPOCHS, first_step=180, every=5)
    for step in range(181, 191):
        shown.step(dataclasses.replace(STATE, step=step))
    shown.validating(3, 32)
    shown.epoch(STATE)
    shown.close()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    pattern = r"step 185/630  epoch 3  loss 0\.5000  accuracy 75\.0%  64 images/s  ETA \d+:\d\d"
    assert re.fullmatch(pattern, lines[0]), lines[0]
    assert lines[1].startswith("step 190/630  epoch 4  ")
    assert lines[2] == epoch_line(STATE)


def test_the_end_of_an_epoch_belongs_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    shown = view(TEN_EPOCHS, 0, 63)
    shown.step(dataclasses.replace(STATE, step=63))
    assert "step 63/630  epoch 1  " in capsys.readouterr().out


def test_an_epoch_on_features_does_not_tell_pictures_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    asked = RunConfig(model="efficientnet-lite0", unfreeze="block12", epochs=10, head_epochs=3, batch_size=32)
    shown = view(length_of(asked, 2000), 0, 1)
    for step in (189, 190):  # the last step on features, the first on pictures
        shown.step(dataclasses.replace(STATE, step=step))
        shown.epoch(dataclasses.replace(STATE, step=step))
    head, head_epoch, tune, tune_epoch = capsys.readouterr().out.splitlines()
    assert "  64 feature rows/s  " in head
    assert "  61 feature rows/s  " in head_epoch
    assert "  64 images/s  " in tune
    assert "  61 images/s  " in tune_epoch


def test_no_time_is_told_before_there_is_one_to_go_by(capsys: pytest.CaptureFixture[str]) -> None:
    shown = view(TEN_EPOCHS, 0, 1)
    for step in (1, 2, 3):
        shown.step(dataclasses.replace(STATE, step=step))
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("ETA –:––") for line in lines] == [True, True, False]


def test_time_left_goes_by_the_pace_of_this_process(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("trainer.telemetry.progress.time.monotonic", lambda: now[0])
    shown = view(length_of(RunConfig(epochs=200, steps=10_000), 2000), first_step=1000, every=1)
    now[0] += 50.0
    shown.step(dataclasses.replace(STATE, step=1100))  # 0.5 s a step
    shown.step(dataclasses.replace(STATE, step=9_880))
    out = capsys.readouterr().out.splitlines()
    assert out[0].endswith("ETA 1:14:10")
    assert out[1].endswith("ETA 0:00")


def test_a_terminal_gets_a_live_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("TERM", "xterm")
    shown = view(TEN_EPOCHS, first_step=0, every=1000)
    shown.step(dataclasses.replace(STATE, step=70))
    shown.validating(3, 32)
    shown.step(dataclasses.replace(STATE, step=71))
    shown.epoch(STATE)
    shown.close()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    assert epoch_line(STATE) in plain
    assert "epoch 2/10" in plain
    assert "8/63" in plain
