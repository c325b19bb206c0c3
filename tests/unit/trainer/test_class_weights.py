import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.class_weights import HIGHEST, LOPSIDED, LOWEST, advice, inlined, parse, resolve
from trainer.exits import Exit, ExitError

CLASSES = ("cats", "dogs", "große Füchse")
WEIGHTS = {"cats": 1.0, "dogs": 2.5, "große Füchse": 10.0}

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda s: s.strip() == s
)
numbers = st.floats(LOWEST, HIGHEST)


@pytest.mark.parametrize("word", ["none", "balanced"])
def test_words_stay_as_they_are(word: str) -> None:
    assert inlined(word) == word


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(WEIGHTS),
        json.dumps(WEIGHTS, indent=1, ensure_ascii=False),
        "class,weight\ncats,1\ndogs,2.5\ngroße Füchse,10\n",
        "cats,1\r\n\r\ndogs, 2.5\r\ngroße Füchse,1e1",
        'class;weight\ncats;1\ndogs;2.5\n"große Füchse";10\n',
        "cats\t1\ndogs\t2.5\ngroße Füchse\t10\n",
        "\ufeffcats,1\ndogs,2.5\ngroße Füchse,10\n",
    ],
)
def test_a_file_becomes_one_line_whatever_its_form(text: str, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text(text, encoding="utf-8")
    line = inlined(str(tmp_path / "weights"))
    assert json.loads(line) == WEIGHTS
    assert "\n" not in line
    assert inlined(line) == line  # what a configuration keeps is taken as it is
    assert inlined((tmp_path / "weights").as_uri()) == line


@given(st.dictionaries(names, numbers, min_size=1, max_size=6), st.randoms())
def test_the_same_weights_are_the_same_line_in_any_order(weights: dict[str, float], chance: Any) -> None:
    shuffled = list(weights.items())
    chance.shuffle(shuffled)
    assert inlined(json.dumps(dict(shuffled))) == inlined(json.dumps(weights))
    assert parse(inlined(json.dumps(weights)), "here") == weights


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no weights"),
        ("{}", "no weights"),
        ("{", "not JSON"),
        ('{"cats": [1]}', "'cats'"),
        ('{"cats": {"dogs": 1}}', "'cats'"),
        ('{"cats": true}', "'cats' is True"),
        ('{"cats": null}', "'cats' is None"),
        ('{"cats": "many"}', "'cats' is 'many'"),
        ('{"cats": 1, "cats": 2}', "'cats' has two weights"),
        ('{"cats": NaN}', "'cats' is nan"),
        ('{"cats": Infinity}', "'cats' is inf"),
        ('{"cats": 0}', "it must be a number from"),
        ('{"cats": -1}', "'cats' is -1"),
        (json.dumps({"cats": 10**400}), "'cats'"),
        ("cats,1\ndogs\n", "row 2 is not class,number: 'dogs'"),
        ("cats,1,2\n", "row 1"),
        ("cats,1\ndogs,many\n", "'dogs' is 'many'"),
        ("cats 1\n", "row 1"),
    ],
)
def test_what_is_no_weights_is_65_and_named(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "w").write_text(text)
    with pytest.raises(ExitError) as caught:
        inlined(str(tmp_path / "w"))
    assert caught.value.code == Exit.BAD_DATA
    assert words in caught.value.message
    assert str(tmp_path / "w") in caught.value.message
    assert "\n" not in caught.value.message


@given(st.text(max_size=60))
def test_any_text_is_weights_or_65(text: str) -> None:
    with suppress(ExitError):
        assert all(LOWEST <= number <= HIGHEST for number in parse(text, "here").values())


def test_a_file_that_is_no_text_is_65(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ExitError, match="not text in UTF-8") as caught:
        inlined(str(tmp_path / "w"))
    assert caught.value.code == Exit.BAD_DATA


@pytest.mark.parametrize("asked", ["balance", "", "no/such/file.json", "folder/", "/"])
def test_a_word_that_is_none_and_no_file_is_66(asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExitError, match="neither balanced nor none, and no such file") as caught:
        inlined(asked)
    assert caught.value.code == Exit.INPUT_MISSING


def test_a_run_goes_on_when_its_file_is_gone_and_not_with_another_kind_of_weights(tmp_path: Path) -> None:
    gone, line = str(tmp_path / "gone.json"), '{"cats": 1.0}'
    assert inlined(gone, known=line) == line
    for known in ("none", "balanced"):
        with pytest.raises(ExitError, match="no such file"):
            inlined(gone, known=known)


def test_a_file_that_has_changed_is_not_what_the_run_folder_has(tmp_path: Path) -> None:
    (tmp_path / "w").write_text('{"cats": 2}')
    assert inlined(str(tmp_path / "w"), known='{"cats": 1.0}') == '{"cats": 2.0}'


def test_without_weights_there_are_none() -> None:
    assert resolve("none", CLASSES, [1, 2, 3]) is None


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=200))
def test_balanced_classes_count_the_same_and_the_mean_picture_counts_one(counts: list[int]) -> None:
    weights = resolve("balanced", [str(i) for i in range(len(counts))], counts)
    assert weights is not None
    shares = [weight * count for weight, count in zip(weights.values(), counts, strict=True)]
    assert all(math.isclose(share, sum(counts) / len(counts)) for share in shares)
    assert math.isclose(sum(shares), sum(counts))


def test_weights_come_in_the_order_of_the_classes() -> None:
    given = inlined(json.dumps(dict(reversed(WEIGHTS.items()))))
    assert list((resolve(given, CLASSES, [1, 1, 1]) or {}).items()) == list(WEIGHTS.items())


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"cats": 1, "dogs": 1}, "'große Füchse', which has no weight"),
        ({**WEIGHTS, "Cats": 1}, "'Cats', which is no class of the data set"),
    ],
)
def test_each_class_must_be_named(weights: dict[str, float], words: str) -> None:
    with pytest.raises(ExitError, match=words) as caught:
        resolve(json.dumps(weights), CLASSES, [1, 1, 1])
    assert caught.value.code == Exit.BAD_DATA


def test_an_unbalanced_train_split_is_told_the_flag() -> None:
    told = advice("none", CLASSES, [1200, 40, 300])
    assert told.startswith("train is unbalanced: 1,200 pictures of cats, 40 of dogs; with --class-weights balanced")
    assert advice("balanced", CLASSES, [1200, 40, 300]) == ""
    assert advice("none", CLASSES, [100, 100, 90]) == ""
    assert advice("none", CLASSES, [10, 10, math.floor(10 / LOPSIDED)]) != ""
