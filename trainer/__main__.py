"""`python -m trainer VERB --config FILE|-`: the program that the command line and the pods start."""

import argparse
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Set before anything imports TensorFlow: its C++ log would drown our lines. Failures are raised as well as logged.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from trainer.config import RunConfig
from trainer.exits import Exit, ExitError
from trainer.folder.attempt import write_termination_message
from trainer.process import orphan, output, signals
from trainer.process.output import OutputLost
from trainer.requests import (
    CompareRequest,
    DataCheckRequest,
    DataImportRequest,
    DataPackRequest,
    EvaluateRequest,
    ExportRequest,
    PredictRequest,
    ReportRequest,
    WeightsCheckRequest,
    WeightsFetchRequest,
    WeightsListRequest,
    from_json,
)
from trainer.words import in_a_line
from trainer.workers import gang
from trainer.workers.topology import is_member, peer_lost_wait, rank_text

# How long the training loop's thread waits for the interpreter lock when an upload or decoding thread has it. The
# default, 5 ms, is a third of a small step.
SWITCH_SECONDS = 0.0005


@dataclass(frozen=True)
class Verb:
    """The request that `python -m trainer VERB` reads, and the function that runs it; its module is imported on use."""

    request: type[Any]
    module: str
    function: str


VERBS = {
    "train": Verb(RunConfig, "trainer.main", "train"),
    "evaluate": Verb(EvaluateRequest, "trainer.inference", "evaluate"),
    "predict": Verb(PredictRequest, "trainer.predict.verb", "predict"),
    "export": Verb(ExportRequest, "trainer.conversion.verb", "export"),
    "report": Verb(ReportRequest, "trainer.inference", "report"),
    "compare": Verb(CompareRequest, "trainer.compare", "compare"),
    "data-import": Verb(DataImportRequest, "trainer.data_verbs", "import_data"),
    "data-check": Verb(DataCheckRequest, "trainer.data_verbs", "check_data"),
    "data-pack": Verb(DataPackRequest, "trainer.data_verbs", "pack_data"),
    "weights-list": Verb(WeightsListRequest, "trainer.weights_verbs", "list_weights"),
    "weights-fetch": Verb(WeightsFetchRequest, "trainer.weights_verbs", "fetch_weights"),
    "weights-check": Verb(WeightsCheckRequest, "trainer.weights_verbs", "check_weights"),
}


def _run(verb: Verb, text: str) -> int:
    request = from_json(text, verb.request)
    if isinstance(request, RunConfig):
        return _train(verb, request, text)
    return int(_loaded(verb)(request))


def _loaded(verb: Verb) -> Callable[..., int]:
    function: Callable[..., int] = getattr(importlib.import_module(verb.module), verb.function)
    return function


def _train(verb: Verb, config: RunConfig, text: str) -> int:
    """Start this machine's workers, or run as one of them; signals are handled before anything slow is imported."""
    if config.workers > 1 and not is_member(os.environ):
        return gang.run(config.workers, text)
    patience = peer_lost_wait(os.environ)
    sys.setswitchinterval(SWITCH_SECONDS)
    stop = signals.install(config.grace_period)
    orphan.stop_with_parent(os.environ)
    try:
        return int(_loaded(verb)(config, stop, os.environ))
    except ExitError as error:
        if error.code != Exit.PEER_LOST:
            raise
        _explain(rank_text(os.environ) or "0", error.message, error.code)
        stop.came.wait(patience)
        return int(error.code)


def main(arguments: list[str]) -> int:
    """Run one verb; every failure gives one line on standard error and an exit code of the contract."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    parser.add_argument("verb", choices=sorted(VERBS))
    parser.add_argument("--config", required=True, metavar="FILE|-", help="JSON document; - reads standard input")
    asked = parser.parse_args(arguments)
    rank = rank_text(os.environ) or "0"
    _log(rank)
    try:
        text = sys.stdin.read() if asked.config == "-" else _read(asked.config)
        code = _run(VERBS[asked.verb], text)
        output.require()
        return code
    except OutputLost as lost:
        if lost.message:
            _explain(rank, lost.message, lost.code)
        return int(lost.code)
    except ExitError as error:
        _explain(rank, error.message, error.code)
        return int(error.code)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the outermost frame: any unexpected error is reported as a bug
        traceback.print_exc()
        _explain(rank, f"this is a bug in catdog: {type(error).__name__}: {error}", Exit.BUG)
        return int(Exit.BUG)


class _OneLine(logging.Formatter):
    """A record on one line, whatever names are in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return in_a_line(super().formatMessage(record))


def _log(rank: str) -> None:
    """Send log lines to standard output; other ranks log only what goes wrong."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_OneLine("%(message)s" if rank == "0" else f"[rank {rank}] %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO if rank == "0" else logging.WARNING)
    logging.raiseExceptions = False  # a log line that cannot be written is dropped, without a traceback
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)


def _explain(rank: str, message: str, code: Exit) -> None:
    where, message = "" if rank == "0" else f"[rank {rank}] ", in_a_line(message)
    print(f"{where}catdog: {message}", file=sys.stderr, flush=True)
    write_termination_message(f"{int(code)}: {message}")


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        raise ExitError(Exit.INPUT_MISSING, f"{path}: {error.strerror}") from error


if __name__ == "__main__":
    output.take_over(answers=sys.argv[1:2] != ["train"])
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stderr.flush()
    # Not sys.exit: after a broken collective, TensorFlow's threads can keep the process from exiting.
    os._exit(code)
