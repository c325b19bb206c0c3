"""The verbs on a finished run: evaluate, predict, report.

TensorFlow takes seconds to import, so it is imported only once the inputs are known to exist.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from trainer.contract import CONFIG
from trainer.data.evaluating import pictures_to_evaluate
from trainer.data.reading import reader
from trainer.data.rules import AS_IT_IS, rules_of
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.process import quiet
from trainer.process.container import free_memory, processors
from trainer.requests import EvaluateRequest, PredictRequest, ReportRequest
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage

if TYPE_CHECKING:
    from trainer.training.evaluation import Evaluation


def evaluate(request: EvaluateRequest) -> int:
    """Accuracy, loss and confusion of the exported model on a split data set's test split, or on all of a folder.

    Raises:
        ExitError: 66 when run or data are missing, 65 when a class is unknown or no picture can be used.
    """
    run, storage = open_storage(request.run), open_storage(request.data)
    record, labels = files.read_record(run), files.read_labels(run)
    rules = rules_of(record.config) if record is not None else AS_IT_IS
    asked = {
        name: value for name in ("layout", "labels") if (value := getattr(request, name)) != getattr(AS_IT_IS, name)
    }
    if asked or request.data != (record.config.data if record is not None else ""):
        rules = dataclasses.replace(rules, layout=request.layout, labels=request.labels)
        rules = dataclasses.replace(rules, labels_columns=request.labels_columns)
    trained_on = record.data_fingerprint if record is not None else ""
    examples = pictures_to_evaluate(storage, labels, trained_on, rules, lambda line: print(line, file=sys.stderr))
    quiet.import_tensorflow()
    from trainer.data import cache
    from trainer.training.evaluation import evaluate as compare
    from trainer.training.evaluation import probabilities
    from trainer.training.export import load_exported

    exported = load_exported(run)
    filled = cache.fill(
        examples,
        reader(storage),
        exported.image_size,
        free_memory() // 3,
        None,
        processors(),
    )
    if not filled.usable.any():
        raise ExitError(
            Exit.BAD_DATA, f"{storage.uri}: no picture can be used; the first error: {filled.rejected[0].reason}"
        )
    result = compare(probabilities(exported.serve_pixels, filled), filled)
    if request.output == "json":
        rejected = [{"path": one.path, "reason": one.reason} for one in filled.rejected]
        print(json.dumps({**result.as_json(), "labels": list(exported.labels), "rejected": rejected}))
    else:
        _show(result, exported.labels, len(filled.rejected))
    return Exit.DONE


def _show(result: "Evaluation", labels: Sequence[str], rejected: int) -> None:
    print(f"accuracy {result.accuracy:.2%}  loss {result.loss:.4f}  on {result.examples} pictures")
    if rejected:
        print(f"{rejected} pictures could not be used")
    table = Table("true \\ predicted", *labels)
    for label, row in zip(labels, result.confusion, strict=True):
        table.add_row(label, *map(str, row))
    Console().print(table)


def predict(request: PredictRequest) -> int:
    """Class and probability of each picture, by the exported model's serve_bytes.

    Raises:
        ExitError: 66 when the run or a picture is missing; 65 when a picture cannot be used (the others are still
            printed).
    """
    run = open_storage(request.run)
    files.read_labels(run)
    pictures = [_picture(name) for name in request.images]
    quiet.import_tensorflow()
    import numpy as np
    import tensorflow as tf

    from trainer.data.decode import pixels
    from trainer.training.export import load_exported

    exported = load_exported(run)
    answers, unusable = [], []
    for name, (storage, file) in zip(request.images, pictures, strict=True):
        encoded = storage.read(file)
        try:
            pixels(encoded, exported.image_size)
        except ValueError as error:
            unusable.append(f"{name}: {error}")
            continue
        answer = exported.serve_bytes(images=tf.constant([encoded]))
        row = np.asarray(answer["probabilities"].numpy()[0], np.float64)
        best = int(row.argmax())
        answers.append(
            {
                "image": name,
                "class": exported.labels[best],
                "probability": float(row[best]),
                "probabilities": dict(zip(exported.labels, map(float, row), strict=True)),
            }
        )
    if request.output == "json":
        print(json.dumps(answers))
    else:
        for one in answers:
            print(f"{one['image']}: {one['class']} {one['probability']:.1%}")
    if unusable:
        raise ExitError(Exit.BAD_DATA, "; ".join(unusable))
    return Exit.DONE


def _picture(name: str) -> tuple[Storage, str]:
    """The picture's storage, and its name there."""
    folder, _, file = name.rpartition("/")
    storage = open_storage(folder or ("/" if name.startswith("/") else "."))
    if storage.stat(file) is None:
        raise ExitError(Exit.INPUT_MISSING, f"{name}: no such picture")
    return storage, file


def report(request: ReportRequest) -> int:
    """Write report.html from the run folder's contents, whatever the run's state.

    Raises:
        ExitError: 66 when it is not a run folder.
    """
    run = open_storage(request.run)
    if run.stat(CONFIG) is None:
        raise ExitError(Exit.INPUT_MISSING, f"{request.run}: not a run folder (no {CONFIG})")
    # imported here, so that the other verbs do not load matplotlib
    from trainer.telemetry.run_report import write_report

    print(write_report(run))
    return Exit.DONE
