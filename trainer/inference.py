"""The verbs on a finished run: evaluate and report; predict has a package of its own.

TensorFlow takes seconds to import, so it is imported only once the inputs are known to exist.
"""

import dataclasses
import json
import struct
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainer.contract import CONFIG
from trainer.data.evaluating import pictures_to_evaluate
from trainer.data.reading import reader
from trainer.data.rules import AS_IT_IS, rules_of
from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.process import quiet
from trainer.process.container import free_memory, processors
from trainer.process.output import say
from trainer.requests import EvaluateRequest, ReportRequest
from trainer.storage.opening import open_storage
from trainer.words import in_a_line

if TYPE_CHECKING:
    from trainer.training.evaluation import Evaluation

MOST_IN_A_MATRIX = 12
"""Classes of which the whole confusion matrix is shown; of more the worst, and the most frequent mistakes."""

MOST_WORST = 10


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
    examples = pictures_to_evaluate(storage, labels, trained_on, rules, _remark)
    quiet.import_tensorflow()
    from trainer.data import cache
    from trainer.training.evaluation import evaluate as compare
    from trainer.training.evaluation import probabilities
    from trainer.training.export import load_exported

    exported = load_exported(run)
    filled = cache.fill(
        examples,
        reader(storage),
        exported.path,
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


def _remark(line: str) -> None:
    print(in_a_line(line), file=sys.stderr)


def _show(result: "Evaluation", labels: Sequence[str], rejected: int) -> None:
    from trainer.training import scores  # here: numpy is spared where the input is bad

    low, high = scores.wilson_interval(result.accuracy, result.examples)
    accuracy = f"accuracy {result.accuracy:.2%} ({100 * low:.1f} to {high:.1%} with 95 % confidence)"
    print(f"{accuracy}  loss {result.loss:.4f}  on {result.examples} pictures")
    worst = scores.worst_classes(result.matrix, labels)
    balanced, f1 = scores.balanced_accuracy(result.matrix), scores.macro_f1(result.matrix)
    told = f"worst class {worst[0].label} {worst[0].recall:.2%} of {worst[0].examples}"
    say([f"balanced accuracy {balanced:.2%}  macro-F1 {f1:.2%}  {told}"])
    top5 = "" if result.top5_accuracy is None else f"top-5 accuracy {result.top5_accuracy:.2%}  "
    print(f"{top5}calibration error {result.ece:.4f}")
    if rejected:
        print(f"{rejected} pictures could not be used")
    if len(labels) <= MOST_IN_A_MATRIX:
        _print_table(
            ["true \\ predicted", *labels], ((label, *row) for label, row in zip(labels, result.confusion, strict=True))
        )
        return
    shown = [(row.label, row.examples, f"{row.recall:.1%}") for row in worst[:MOST_WORST]]
    _print_table([f"worst of {len(worst)} classes", "pictures", "right"], shown)
    pairs = scores.confused_pairs(result.matrix, labels)
    mistakes = [(pair.true, pair.predicted, pair.count, f"{pair.share:.1%} of {pair.examples}") for pair in pairs]
    _print_table(["true", "taken for", "pictures", "share"], mistakes)


def _print_table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    table = Table(*map(_plain, heading))
    for row in rows:
        table.add_row(*map(_plain, row))
    Console().print(table)


def _plain(cell: object) -> str:
    return escape(in_a_line(str(cell)))  # a class name in brackets is no markup


def report(request: ReportRequest) -> int:
    """Write report.html from the run folder's contents, whatever the run's state.

    Raises:
        ExitError: 66 when it is not a run folder; 73 when its files are damaged.
    """
    run = open_storage(request.run)
    if run.stat(CONFIG) is None:
        raise ExitError(Exit.INPUT_MISSING, f"{request.run}: not a run folder (no {CONFIG})")
    # imported here, so that the other verbs do not load jinja2 and matplotlib
    from jinja2 import TemplateError

    from trainer.telemetry.run_report import write_report

    # A report shows what eight files say, each for each other and most of it as it is: what they need not have is
    # found by making it. At the end of training, which wrote them, the same error is a bug.
    odd = (TemplateError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, struct.error)
    try:
        where = write_report(run)
    except odd as error:
        words = f"{request.run}: no report can be made of it, since a file is damaged or of another version"
        raise ExitError(Exit.RUN_REFUSED, f"{words} ({error!r})") from error
    say([where])
    return Exit.DONE
