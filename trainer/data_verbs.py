"""The verbs on a data set: import, check, pack. Progress goes to standard error, the answer to standard output.

TensorFlow decodes the pictures and takes seconds to import, so it is imported only once there are pictures.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.data import check as checking
from trainer.data import import_report, importing, prepare
from trainer.data.contents.base import Contents
from trainer.data.contents.opening import open_contents
from trainer.data.data_set import SPLITS
from trainer.data.labels import Table, read_table
from trainer.data.reading import CONCURRENCY, Damaged, Read, reader
from trainer.data.rules import rules_of
from trainer.data.split import data_set_among, list_data_set
from trainer.exits import Exit, ExitError
from trainer.process import quiet
from trainer.process.output import say
from trainer.requests import DataCheckRequest, DataImportRequest, DataPackRequest
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage
from trainer.storage.retry import MIB
from trainer.words import in_a_line, mebibytes

PLAIN_STEPS = 10
"""Number of progress lines when standard error is not a terminal."""


def import_data(request: DataImportRequest) -> int:
    """Split the pictures of an archive, a folder per class or a split data set, check them and store them.

    Raises:
        ExitError: 64, 65 and 66 as `prepare.recognise`, `prepare.plan_import` and `importing.import_pictures`; 74 and
            77 from storage.
    """
    target = open_storage(request.target, concurrency=CONCURRENCY)
    asked = {split: getattr(request, split) for split in SPLITS}
    with open_contents(request.source, CONCURRENCY) as contents:
        table = _table_of(contents, request)
        found = prepare.recognise(contents.uri, contents.sizes, request.layout, table)
        wanted = prepare.plan_import(contents.uri, found, asked, request.order, request.seed, request.split)
        importing.require_apart(contents, target, wanted)  # before seconds go into importing TensorFlow
        odd = len(contents.sizes) - len(found)
        warnings = prepare.warnings_of(found, request.order)
        for warning in warnings:
            print(f"warning: {in_a_line(warning)}", file=sys.stderr, flush=True)
        quiet.import_tensorflow()
        from trainer.data.convert import to_png
        from trainer.data.picture import check

        with _progress("importing", len(wanted.pictures)) as on_done:
            try:
                done = importing.import_pictures(
                    contents, wanted, target, check, on_done, convert=to_png, max_rejected=request.max_rejected
                )
            except importing.NotImported as error:
                _tell_failure(error, target.uri, request, warnings)
                raise ExitError(error.code, import_report.explained(error, request)) from error
    if request.output == "json":
        print(json.dumps(import_report.as_json(done, wanted.left_over, odd, warnings)))
    else:
        say(import_report.lines_of(done, wanted.left_over, odd))
    return Exit.DONE


def _table_of(contents: Contents, request: DataImportRequest) -> Table | None:
    if not request.labels:
        return None
    return read_table(contents.uri, contents.sizes, contents.read, request.labels, request.labels_columns)


def _tell_failure(error: importing.NotImported, target: str, request: DataImportRequest, warnings: list[str]) -> None:
    if request.output == "json":
        print(json.dumps(import_report.failure_as_json(target, error, warnings)))
    else:
        say(import_report.left_out_lines(error.left_out))


def check_data(request: DataCheckRequest) -> int:
    """Read and decode every picture, compare them with each other, and report problems.

    Raises:
        ExitError: 65 when the data set cannot be used as it is, 66 when there is none; 74 and 77 from storage.
    """
    storage = open_storage(request.data, concurrency=CONCURRENCY)
    there = {stat.name: stat for stat in storage.list()}
    data = data_set_among(storage, there, rules_of(request))
    quiet.import_tensorflow()
    from trainer.data.picture import check, is_turned

    total = sum(len(examples) for examples in data.splits.values())
    with quiet.overheard() as listener, _progress("checking", total) as on_done:
        read = partial(_reader, storage)
        checked = checking.check_data_set(data, there, read, check, is_turned, on_done, listener.during)
    if request.output == "json":
        print(json.dumps(checked.as_json()))
    else:
        say(checking.lines(checked))
    if checked.problems:
        raise ExitError(Exit.BAD_DATA, f"{data.uri}: {'; '.join(checked.problems)}")
    return Exit.DONE


def _reader(storage: Storage, on_damaged: Callable[[int, Damaged], None]) -> Read:
    return reader(storage, on_damaged=on_damaged)


def pack_data(request: DataPackRequest) -> int:
    """Write the pictures of a data set into shards.

    Raises:
        ExitError: 64 for a shard size below 1 MiB or a target that holds other data; 65 and 66 about the data set; 74
            and 77 from storage.
    """
    storage = open_storage(request.data, concurrency=CONCURRENCY)
    target = open_storage(request.target)
    data = list_data_set(storage, rules_of(request))
    quiet.import_tensorflow()
    from trainer.data import shards

    with _progress("packing", sum(len(examples) for examples in data.splits.values())) as on_done:
        index = shards.pack(data, reader(storage), target, request.shard_size * MIB, on_done)
    size, pictures = sum(shard.size for shard in index.shards), sum(map(len, data.splits.values()))
    if request.output == "json":
        answer = {"uri": target.uri, "fingerprint": index.fingerprint, "shards": len(index.shards), "bytes": size}
        print(json.dumps(answer | {"pictures": pictures}))
    else:
        packed = f"{pictures:,} pictures in {len(index.shards)} shards, {mebibytes(size)} in total"
        say([f"{target.uri}: {packed}", f"fingerprint {index.fingerprint}"])
    return Exit.DONE


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield the function to call after each picture; shows a bar in a terminal, otherwise a few lines."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(what, total).done
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield partial(bar.advance, bar.add_task(what, total=total))


class _Lines:
    """Counts pictures and prints a line at each tenth."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0

    def done(self) -> None:
        before, self._done = self._done, self._done + 1
        if self._done * PLAIN_STEPS // self._total > before * PLAIN_STEPS // self._total:
            print(f"{self._what}: {self._done:,} of {self._total:,} pictures", file=sys.stderr, flush=True)
