"""`python -m trainer predict`: pictures by name, folder or pattern → a row each, by the exported model."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from trainer.exits import Exit, ExitError
from trainer.folder import files
from trainer.predict.answers import FORMS, Answer
from trainer.predict.pictures import Picture, Unreadable, pictures
from trainer.process import quiet
from trainer.process.container import processors
from trainer.requests import PredictRequest
from trainer.storage.opening import open_storage

if TYPE_CHECKING:
    from trainer.data.decode import PixelPath, Pixels
    from trainer.training.export import Exported

BATCH = 32
READERS = 16
"""Pictures read at a time; as many encoded ones are in memory."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def predict(request: PredictRequest) -> int:
    """Class and probabilities of each picture, in the order given; one that cannot be used has a row that says why.

    Raises:
        ExitError: 66 when the run is missing or nothing of what was given is there; 65 when no picture can be used; 64
            for a form of answer that there is not.
    """
    form = FORMS.get(request.output)
    if form is None:
        raise ExitError(Exit.BAD_OPTION, f"--output is {request.output!r}; it must be one of {', '.join(FORMS)}")
    run = open_storage(request.run)
    files.read_labels(run)
    asked = tuple(pictures(request.images))
    if not any(one.there for one in asked):
        raise ExitError(Exit.INPUT_MISSING, _nothing_there(asked))
    quiet.import_tensorflow()
    from trainer.training.export import load_exported

    exported = load_exported(run)
    unusable: list[Answer] = []

    def seen() -> Iterator[Answer]:
        for answer in answers(exported, asked):
            if answer.fault:
                unusable.append(answer)
            yield answer

    for line in form(exported.labels, seen()):
        print(line)
    if len(unusable) == len(asked):
        first = unusable[0]
        raise ExitError(
            Exit.BAD_DATA, f"none of {len(asked):,} pictures can be used; the first, {first.image}: {first.fault}"
        )
    if unusable:
        print(f"{len(unusable):,} of {len(asked):,} pictures cannot be used; their rows say why", file=sys.stderr)
    return Exit.DONE


def _nothing_there(asked: tuple[Picture, ...]) -> str:
    first = asked[0]
    others = f" (and {len(asked) - 1:,} more)" if len(asked) > 1 else ""
    return f"{first.shown}: {_encoded(first)[1]!s}{others}"


def answers(exported: "Exported", asked: Iterable[Picture]) -> Iterator[Answer]:
    """An answer for each picture, in their order; a few batches of them are in memory."""
    threads = processors()
    with ThreadPoolExecutor(READERS, "read") as reading, ThreadPoolExecutor(threads, "decode") as decoding:
        encoded = _in_order(reading, _encoded, asked, READERS)
        decoded = _in_order(decoding, partial(_decoded, exported.path), encoded, 2 * threads)
        while batch := list(islice(decoded, BATCH)):
            yield from _answered(exported, batch)


def _in_order(pool: Executor, call: Callable[[Item], Result], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """What `call` gives for each item, in their order, with `ahead` calls begun or done before they are asked for."""
    begun: deque[Future[Result]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(call, item))
            if len(begun) > ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()


def _encoded(picture: Picture) -> tuple[str, bytes | Unreadable]:
    try:
        return picture.shown, picture.read()
    except Unreadable as error:
        return picture.shown, error


def _decoded(path: "PixelPath", item: tuple[str, bytes | Unreadable]) -> tuple[str, "Pixels | Exception"]:
    from trainer.data.decode import pixels  # here: it needs TensorFlow

    name, encoded = item
    if isinstance(encoded, Unreadable):
        return name, encoded
    try:
        return name, pixels(encoded, path)
    except ValueError as error:
        return name, error


def _answered(exported: "Exported", batch: list[tuple[str, "Pixels | Exception"]]) -> Iterator[Answer]:
    import numpy as np  # here, as in the next line: with TensorFlow, once there is something to predict
    import tensorflow as tf  # here, as above

    usable = [pixels for _, pixels in batch if not isinstance(pixels, Exception)]
    rows = iter(())
    if usable:
        rows = iter(exported.serve_pixels(pixels=tf.constant(np.stack(usable)))["probabilities"].numpy().tolist())
    for name, pixels in batch:
        if isinstance(pixels, Exception):
            yield Answer(name, fault=str(pixels))
        else:
            yield Answer(name, tuple(next(rows)))
