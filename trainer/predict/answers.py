"""What `catdog predict` answers, a row a picture, in the forms that it can be asked for. Pure."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.words import escaped, in_a_line


@dataclass(frozen=True)
class Answer:
    """One picture and its probabilities by class; none, and why, for one that cannot be used."""

    image: str
    probabilities: tuple[float, ...] = ()
    fault: str = ""

    @property
    def best(self) -> int:
        """The class of the highest probability; the first of equal ones."""
        return max(range(len(self.probabilities)), key=self.probabilities.__getitem__)


Form = Callable[[Sequence[str], Iterable[Answer]], Iterator[str]]
"""Gives the lines for answers as they come; the labels are the model's classes."""


def text(labels: Sequence[str], answers: Iterable[Answer]) -> Iterator[str]:
    """For people."""
    for one in answers:
        told = one.fault or f"{labels[one.best]} {one.probabilities[one.best]:.1%}"
        yield in_a_line(f"{one.image}: {'cannot be used: ' if one.fault else ''}{told}")


def json_lines(labels: Sequence[str], answers: Iterable[Answer]) -> Iterator[str]:
    """An object a line."""
    for one in answers:
        yield json.dumps(_as_json(labels, one))


def json_list(labels: Sequence[str], answers: Iterable[Answer]) -> Iterator[str]:
    """One list of objects, each on a line of its own."""
    start = "["
    for line in json_lines(labels, answers):
        yield start + line
        start = ","
    yield "]" if start == "," else "[]"


def table(labels: Sequence[str], answers: Iterable[Answer]) -> Iterator[str]:
    """CSV with a heading: a column a class between the answer and the error."""
    yield _csv_line(["image", "class", "probability", *labels, "error"])
    for one in answers:
        if one.fault:
            yield _csv_line([one.image, "", "", *("" for _ in labels), one.fault])
        else:
            told = [one.image, labels[one.best], one.probabilities[one.best]]
            yield _csv_line([*told, *one.probabilities, ""])


FORMS: dict[str, Form] = {"text": text, "json": json_list, "jsonl": json_lines, "csv": table}
"""By what -o says."""


def _as_json(labels: Sequence[str], one: Answer) -> dict[str, Any]:
    if one.fault:
        return {"image": one.image, "class": None, "probability": None, "probabilities": None, "error": one.fault}
    return {
        "image": one.image,
        "class": labels[one.best],
        "probability": one.probabilities[one.best],
        "probabilities": dict(zip(labels, one.probabilities, strict=True)),
        "error": None,
    }


def _csv_line(cells: Sequence[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return escaped(line.getvalue())  # names of files may be no valid text; a line break in one is quoted, as CSV has it
