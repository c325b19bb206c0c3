"""The results of a finished run: exported model, evaluation on the test split, summary, figures and report."""

import dataclasses
import logging
import statistics
from collections.abc import Sequence
from importlib import import_module
from threading import Thread
from typing import Any

import numpy as np

from trainer import contract
from trainer.data.decode import path_of
from trainer.fingerprint import fingerprint
from trainer.folder import files
from trainer.folder.attempt import Attempt
from trainer.folder.files import Record
from trainer.ledger import attempts_to_json, to_json
from trainer.process.activity import Doing
from trainer.process.container import peak_memory, processors
from trainer.process.footprint import give_back
from trainer.telemetry.metrics import Metrics
from trainer.telemetry.rejected import RejectedPictures
from trainer.tensors import Model
from trainer.timekeeping import Timekeeper
from trainer.training import calibration, export, predictions, scores
from trainer.training.calibration import Calibration
from trainer.training.evaluation import Evaluation, evaluate, interval
from trainer.training.inputs import Inputs, forget_features
from trainer.training.phases import Length
from trainer.training.state import LoopState
from trainer.training.task import Task

log = logging.getLogger(__name__)


def model_card(
    record: Record, labels: Sequence[str], test: Evaluation | None, valid: float, demo: bool, temperature: float = 1.0
) -> str:
    """MODEL_CARD.md: what the model is, what it was trained on, how good it is, and how to use it."""
    config, side = record.config, record.config.image_size
    told = " from ".join(labels) if len(labels) == 2 else "its classes"
    if test is None:
        measured = f"| Validation accuracy | {valid:.1%} of the best epoch; there was no test split |"
    else:
        measured = (
            f"| Test accuracy | {test.accuracy:.1%} on {test.examples} pictures not used for training |\n"
            f"| Test loss | {test.loss:.4f} (cross-entropy) |"
        )
    if temperature != 1.0:
        measured += f"\n| Calibration | logits are divided by {temperature:.4g}, fitted on the validation pictures |"
    data = "catdog's drawn demo set (cartoons, not photographs)" if demo else config.data
    return f"""# Image classifier: {", ".join(labels)}

Trained by catdog {record.versions["catdog"]}, recipe `{config.recipe}`: network `{config.model}`, {side}x{side} pixels.

| | |
|---|---|
| Training data | {data}, fingerprint {record.data_fingerprint} |
| Configuration | fingerprint {fingerprint(config)}, all options in ../config.json |
{measured}

## Use
`saved_model/` has the signature `serve_bytes`: encoded JPEG or PNG pictures (string, [n]) give `probabilities`
(float32, [n, {len(labels)}], in the order of labels.json), `label` (string, [n]) and `ok` (bool, [n]: false for a
picture that cannot be decoded). Decoding and resizing are included, the same as in training. `saved_model/` is also a
base path for TensorFlow Serving. `model.keras` takes float32 pixels, 0 to 255, [n, {side}, {side}, 3].

## Limits
It distinguishes {told} in pictures like those it was trained on, and gives one of these answers for any
other picture too.
"""


def finish(
    attempt: Attempt,
    record: Record,
    inputs: Inputs,
    task: Task,
    state: LoopState,
    metrics: Metrics,
    timekeeper: Timekeeper,
    rejected: RejectedPictures,
) -> None:
    """Export the best weights, evaluate them on a test split, write summary, figures and report; set the metrics.

    Raises:
        ExitError: 74 when the best weights cannot be read back, or storage fails; 70 when the exported model answers
            otherwise than the network; 73 or 75 when another attempt has the run folder.
    """
    attempt.confirm()
    run, source, config = attempt.run, inputs.source, record.config
    activity = timekeeper.activity
    activity.enter(Doing.TESTING)
    # Imported beside the test, and not before: Matplotlib would take memory from the steps.
    Thread(target=import_module, args=("trainer.drawing",), name="importing").start()
    [original] = inputs.pictures(config, "train", [int(np.flatnonzero(inputs.splits["train"].usable)[0])])
    pixel_bytes = inputs.pixel_bytes
    inputs.release("train")
    give_back()
    labels = source.data.classes
    best, calibrated = export.read_best(run), None
    # A run killed between saving best/ and its checkpoint repeats that epoch, in fast mode with other bits, and what it
    # repeats may be worse: what is told is what best/ holds.
    state = dataclasses.replace(state, best=best.state.best)
    model = export.rebuild(config, labels, best.groups, 1.0)
    if config.calibrate:
        calibrated = calibrate(export.logits_of(model), inputs)
        model = export.rebuild(config, labels, best.groups, calibrated.temperature)
    assert state.best is not None  # a finished run has validated at least once
    temperature = 1.0 if calibrated is None else calibrated.temperature
    traced, test = export.traced(export.Classifier(model, path_of(config), labels)), None
    if "test" in inputs.splits:
        test = evaluate(predictions.probabilities_of(traced, inputs, "test"), inputs.splits["test"])
        rejected.evaluated("test", config.max_rejected)
    card = model_card(record, labels, test, state.best.accuracy, source.demo, temperature)
    activity.enter(Doing.EXPORTING)
    export.export(run, traced, card)
    if inputs.features:
        predictions.compare_served(run, traced, inputs)
        forget_features(run)
    activity.enter(Doing.DRAWING)
    from trainer.drawing import write_figures, write_report

    write_figures(run, inputs, labels, config, original, test)
    activity.enter(Doing.REPORTING)
    files.write_metrics(attempt, state.history)
    told = summary(record, inputs, task, state, test, calibrated, timekeeper, rejected, pixel_bytes)
    files.write_json(attempt, contract.SUMMARY, told)
    report = write_report(run, ended=contract.State.SUCCEEDED)
    if test is None:
        log.info("finished: validation accuracy %.1f %%; there is no test split", 100 * state.best.accuracy)
    else:
        show_scores(metrics, test)
        log.info("finished: test accuracy %s", scores.in_one_line(test.matrix, labels))
    log.info("model: %s/%s  report: %s", run.uri, contract.MODEL, report)


def calibrate(network: Model, inputs: Inputs) -> Calibration:
    """Fit a temperature on the usable pictures of valid. `network` gives logits."""
    found = {}
    for name in ("valid", "test"):
        if name in inputs.splits:
            split, given = inputs.splits[name], predictions.logits_of(network, inputs, name)
            found[name] = (given[split.usable], split.labels[split.usable])
    calibrated = calibration.calibrated(found["valid"], found.get("test"))
    if calibrated.valid is not None:
        before, after = calibrated.valid.ece_before, calibrated.valid.ece_after
        told = f"calibration error on validation pictures {before:.4f} before, {after:.4f} with it"
        log.info("calibrated: temperature %.3f; %s", calibrated.temperature, told)
    return calibrated


def show_scores(metrics: Metrics, test: Evaluation) -> None:
    """Set the metrics of the test split that go by class."""
    for gauge, score in (
        (metrics.balanced_accuracy, scores.balanced_accuracy(test.matrix)),
        (metrics.macro_f1, scores.macro_f1(test.matrix)),
    ):
        if score is not None:
            gauge.labels("test").set(score)


def summary(
    record: Record,
    inputs: Inputs,
    task: Task,
    state: LoopState,
    test: Evaluation | None,
    calibrated: Calibration | None,
    timekeeper: Timekeeper,
    rejected: RejectedPictures,
    pixel_bytes: int,
) -> dict[str, Any]:
    """summary.json of a finished run; `pixel_bytes` are those of decoded pictures when training ended."""
    config, best, ledger = record.config, state.best, timekeeper.now()
    source, splits = inputs.source, inputs.splits
    assert best is not None  # a finished run has validated at least once
    return {
        "recipe": config.recipe,
        "parameters": task.learner.parameters,
        "trained_parameters": task.learner.trained_parameters,
        "best_epoch": best.epoch,
        "train": state.history[-1]["train"],
        "valid": {
            "accuracy": best.accuracy,
            "accuracy_interval": interval(best.accuracy, splits["valid"].pictures - rejected.number("valid")),
            "loss": best.loss,
        },
        "test": None if test is None else test.as_json(),
        **({} if calibrated is None else {"calibration": dataclasses.asdict(calibrated)}),
        "labels": list(source.data.classes),
        "data": {
            "uri": source.data.uri,
            "demo": source.demo,
            "fingerprint": record.data_fingerprint,
            "cut": list(source.data.cut),
            "examples": {name: split.pictures for name, split in splits.items()},
            "rejected": sum(map(rejected.number, splits)),
        },
        **({"features": dict(inputs.told)} if inputs.told else {}),
        "examples_per_second": statistics.median(row["examples_per_second"] for row in state.history),
        **rates(task.length, state),
        "goodput": ledger.goodput,
        "wall_seconds": ledger.until - state.first_start,
        "ledger": to_json(ledger)["seconds"],
        "lost_steps": ledger.lost_steps,
        "attempts": attempts_to_json(ledger),
        "stages": [dataclasses.asdict(stage) for stage in timekeeper.activity.stages()],
        "memory": {"peak_bytes": peak_memory() or None, "pixel_bytes": pixel_bytes},
        "gpus": task.distribution.gpus,
        "cpus": processors() * (task.distribution.replicas // len(task.distribution.local)),
        "epochs_run": state.history[-1]["epoch"],
        "steps": state.step,
        "stopped_early": state.step < task.length.total_steps,
        "devices": list(task.distribution.devices),
        "strategy": task.distribution.name,
        "workers": task.distribution.replicas // len(task.distribution.local),
        "replicas": task.distribution.replicas,
        "precision": config.precision,
        "deterministic": config.deterministic,
    }


def rates(length: Length, state: LoopState) -> dict[str, float | None]:
    """Of a run that trains on features: medians over epochs by what their examples are, pictures or such rows."""
    if not any(phase.on_features for phase in length.phases):
        return {}
    told: dict[str, float | None] = {}
    for name, on_features in (("images_per_second", False), ("feature_rows_per_second", True)):
        ours = [row for row in state.history if length.phase_after(row["step"]).on_features == on_features]
        timed = [row["examples_per_second"] for row in ours if row["examples_per_second"]]  # 0: its one step compiled
        told[name] = statistics.median(timed) if timed else None
    return told
