import csv
import json

import pytest

from trainer.predict.answers import FORMS, Answer

LABELS = ["cats", "dogs, large"]
ANSWERS = [
    Answer("a,1.jpg", (0.25, 0.75)),
    Answer("bad.jpg", fault="neither a JPEG nor a PNG"),
    Answer("\udcff.jpg", (1.0, 0.0)),
]


def lines(form: str, answers: list[Answer] = ANSWERS) -> list[str]:
    return list(FORMS[form](LABELS, iter(answers)))


def test_text_is_for_people() -> None:
    assert lines("text") == [
        "a,1.jpg: dogs, large 75.0%",
        "bad.jpg: cannot be used: neither a JPEG nor a PNG",
        "\\udcff.jpg: cats 100.0%",
    ]


def test_json_is_one_list_and_jsonl_the_same_objects() -> None:
    listed = json.loads("\n".join(lines("json")))
    assert [json.loads(line) for line in lines("jsonl")] == listed
    good, bad, _ = listed
    assert good == {
        "image": "a,1.jpg",
        "class": "dogs, large",
        "probability": 0.75,
        "probabilities": {"cats": 0.25, "dogs, large": 0.75},
        "error": None,
    }
    assert bad == {
        "image": "bad.jpg",
        "class": None,
        "probability": None,
        "probabilities": None,
        "error": "neither a JPEG nor a PNG",
    }


def test_csv_has_a_column_a_class_and_one_for_the_error() -> None:
    heading, good, bad, _ = csv.reader(lines("csv"))
    assert heading == ["image", "class", "probability", "cats", "dogs, large", "error"]
    assert good == ["a,1.jpg", "dogs, large", "0.75", "0.25", "0.75", ""]
    assert bad == ["bad.jpg", "", "", "", "", "neither a JPEG nor a PNG"]


def test_no_answers_are_still_a_document() -> None:
    assert json.loads("\n".join(lines("json", []))) == []
    assert lines("csv", []) == ['image,class,probability,cats,"dogs, large",error']


@pytest.mark.parametrize("form", sorted(FORMS))
def test_rows_come_as_the_answers_do(form: str) -> None:
    drawn = 0

    def endless() -> object:
        nonlocal drawn
        while True:
            drawn += 1
            yield ANSWERS[0]

    made = FORMS[form](LABELS, endless())  # type: ignore[arg-type]
    for _ in range(5):
        next(made)
    assert drawn <= 6


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_line_can_be_printed(form: str) -> None:
    assert all("\n" not in line and line.encode() for line in lines(form))
