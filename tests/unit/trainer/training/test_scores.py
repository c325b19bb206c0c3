import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.training.scores import (
    balanced_accuracy,
    class_rows,
    confused_pairs,
    in_one_line,
    macro_f1,
    recalls,
    top_accuracy,
    wilson_interval,
    worst_classes,
)

LABELS = ["cats", "dogs", "none"]
UNEVEN = np.array([[98, 2, 0], [4, 6, 0], [0, 0, 0]])


def test_precision_recall_and_f1_of_a_small_matrix():
    cats, dogs, none = class_rows(np.array([[8, 2, 0], [4, 6, 0], [0, 0, 0]]), ["cats", "dogs", "none"])
    assert (cats.examples, cats.precision, cats.recall) == (10, 8 / 12, 0.8)
    assert dogs.f1 == pytest.approx(2 * 0.75 * 0.6 / (0.75 + 0.6))
    assert (none.precision, none.recall, none.f1) == (None, None, None)


def test_pairs_are_ordered_by_count():
    pairs = confused_pairs(np.array([[8, 2], [4, 6]]), ["cats", "dogs"])
    assert [(pair.true, pair.predicted, pair.count, pair.share) for pair in pairs] == [
        ("dogs", "cats", 4, 0.4),
        ("cats", "dogs", 2, 0.2),
    ]


def test_scores_by_class_do_not_go_by_the_size_of_classes() -> None:
    assert recalls(UNEVEN) == [0.98, 0.6, None]
    assert balanced_accuracy(UNEVEN) == pytest.approx((0.98 + 0.6) / 2)
    assert macro_f1(UNEVEN) == pytest.approx((2 * 98 / (100 + 102) + 2 * 6 / (10 + 8)) / 2)


def test_a_class_that_is_only_predicted_has_an_f1_of_zero_and_no_recall() -> None:
    matrix = np.array([[5, 5], [0, 0]])
    assert recalls(matrix) == [0.5, None]
    assert balanced_accuracy(matrix) == 0.5
    assert macro_f1(matrix) == pytest.approx((2 * 5 / 15 + 0) / 2)


def test_without_pictures_there_are_no_scores() -> None:
    empty = np.zeros((2, 2), np.int64)
    assert (balanced_accuracy(empty), macro_f1(empty), worst_classes(empty, ["a", "b"])) == (None, None, [])
    assert in_one_line(empty, ["a", "b"]) == "unknown: no picture could be used"


def test_the_worst_class_is_told_beside_accuracy() -> None:
    assert in_one_line(UNEVEN, LABELS) == "94.5 % on 110 pictures; worst class: dogs 60.0 % of 10"
    assert in_one_line(10 * UNEVEN, LABELS) == "94.5 % on 1,100 pictures; worst class: dogs 60.0 % of 100"


def test_worst_classes_come_by_recall_then_the_larger_first() -> None:
    matrix = np.array([[1, 1, 0], [2, 2, 0], [0, 0, 7]])
    assert [row.label for row in worst_classes(matrix, LABELS)] == ["dogs", "cats", "none"]


@given(
    st.integers(2, 6).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 50), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_scores_are_shares_and_all_right_is_one(counts: list[list[int]]) -> None:
    matrix = np.array(counts)
    for score in (balanced_accuracy(matrix), macro_f1(matrix)):
        assert score is None or 0 <= score <= 1
    right = np.diag(np.diag(matrix))
    assert balanced_accuracy(right) in (None, 1.0)
    assert macro_f1(right) in (None, 1.0)


@given(st.integers(0, 20), st.integers(1, 20), st.integers(1, 50))
def test_balanced_accuracy_of_equal_classes_is_accuracy(one: int, other: int, more: int) -> None:
    size = max(one, other) + more
    matrix = np.array([[one, size - one], [size - other, other]])
    assert balanced_accuracy(matrix) == pytest.approx((one + other) / (2 * size))


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)


@given(st.floats(0, 1), st.integers(1, 10**7))
def test_the_interval_holds_the_share_and_stays_within_bounds(share: float, examples: int) -> None:
    low, high = wilson_interval(share, examples)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1


def test_the_label_is_among_the_most_probable_classes() -> None:
    rows = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.2, 0.4, 0.4]])
    labels = np.array([0, 2, 2], np.int32)
    assert [top_accuracy(rows, labels, most) for most in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert top_accuracy(rows[:0], labels[:0], 5) is None


@given(st.integers(2, 12), st.integers(1, 30), st.integers(0, 2**32))
def test_the_most_probable_alone_is_accuracy_also_where_classes_are_equal(classes: int, rows: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    made, labels = random.integers(0, 3, (rows, classes)) / 4, random.integers(0, classes, rows).astype(np.int32)
    shares = [top_accuracy(made, labels, most) for most in range(1, classes + 1)]
    assert shares[0] == pytest.approx((made.argmax(axis=1) == labels).mean())
    assert shares == sorted(shares)
    assert shares[-1] == 1
