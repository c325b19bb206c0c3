from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.splitting import Cut, Shares, borders, cut, shares_of
from trainer.exits import Exit, ExitError

Item = tuple[int, str, tuple[int, int]]

contents = st.integers(0, 2**32 - 1).map(lambda number: (number % 1000, number))
shares = st.tuples(*[st.integers(1, 30)] * 3).map(lambda n: Shares(*(Fraction(part, sum(n)) for part in n)))
seeds = st.integers(0, 3)


def items(found: Sequence[tuple[int, int]], label: str = "cat") -> list[Item]:
    return [(number, label, content) for number, content in enumerate(found)]


def sides(made: Cut[int], found: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Content → 0, 1 or 2: how many borders lie before it."""
    order = ("test", "valid", "train")
    return {found[item]: order.index(split) for split, those in made.splits.items() for item in those}


@given(st.sets(contents, min_size=3, max_size=60), contents, shares, seeds)
def test_one_more_picture_moves_at_most_one_other_across_each_border(
    before: set[tuple[int, int]], more: tuple[int, int], parts: Shares, seed: int
) -> None:
    old = sorted(before)
    new = [*old, more]
    first, second = (sides(cut(items(found), parts, seed), found) for found in (old, new))
    for border in (0, 1):
        assert sum((first[one] <= border) != (second[one] <= border) for one in old) <= 1


@given(st.sets(contents, min_size=3, max_size=60), shares, seeds, st.randoms())
def test_the_order_of_the_listing_does_not_matter(
    found: set[tuple[int, int]], parts: Shares, seed: int, shuffle: "object"
) -> None:
    listed = items(sorted(found))
    shuffled = list(listed)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = cut(listed, parts, seed), cut(shuffled, parts, seed)
    assert {split: set(those) for split, those in first.splits.items()} == {
        split: set(those) for split, those in second.splits.items()
    }


@given(st.lists(st.sampled_from([(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]), min_size=1), shares, seeds)
def test_equal_pictures_of_a_class_stay_together(found: list[tuple[int, int]], parts: Shares, seed: int) -> None:
    made = cut(items(found), parts, seed)
    where = [(found[item], split) for split, those in made.splits.items() for item in those]
    assert len(where) == len(found)
    assert len(set(where)) == len(set(found))


@given(st.integers(3, 500), shares)
def test_every_split_of_a_class_has_a_picture_and_about_its_share(count: int, parts: Shares) -> None:
    first, second = borders([parts.test, parts.valid], count)
    assert 1 <= first < second < count
    assert first == min(max(1, int(parts.test * count + Fraction(1, 2))), count - 2)
    assert abs((second - first) - max(1, min(parts.valid * count, count - first - 1))) <= 1.5


def test_classes_are_cut_one_by_one_and_one_with_too_few_contents_is_whole() -> None:
    many = [(n, label, (n, n)) for n, label in enumerate(["cat"] * 10 + ["dog"] * 20 + ["emu"] * 2)]
    made = cut(many, shares_of("0.8/0.1/0.1"), 0)
    assert made.whole == ("emu",)
    assert {split: len(those) for split, those in made.splits.items()} == {"train": 8 + 16 + 2, "valid": 3, "test": 3}


@pytest.mark.parametrize(
    ("missing", "split", "sizes"),
    [
        (("valid",), "0.8/0.1/0.1", {"train": 18, "valid": 2}),
        (("test",), "0.8/0.1/0.1", {"train": 18, "test": 2}),
        (("valid", "test"), "0.9/0.1/0", {"train": 18, "valid": 2}),
        (("test",), "0.9/0.1/0", {"train": 20}),
        ((), "0.8/0.1/0.1", {"train": 20}),
    ],
)
def test_only_missing_splits_are_cut_and_none_of_share_0(
    missing: tuple[str, ...], split: str, sizes: dict[str, int]
) -> None:
    made = cut(items([(n, n) for n in range(20)]), shares_of(split), 0, missing)
    assert {name: len(those) for name, those in made.splits.items()} == sizes
    assert made.whole == ()


def test_another_seed_cuts_otherwise() -> None:
    found = items([(n, n) for n in range(50)])
    assert cut(found, shares_of("0.8/0.1/0.1"), 0) != cut(found, shares_of("0.8/0.1/0.1"), 1)


def test_a_cut_is_what_it_was() -> None:
    made = cut(items([(n, n * 7) for n in range(20)]), shares_of("0.8/0.1/0.1"), 0)
    assert (sorted(made.splits["test"]), sorted(made.splits["valid"])) == RECORDED


RECORDED = ([2, 18], [11, 14])


@pytest.mark.parametrize("text", ["0.8/0.1/0.1", "80/10/10", " 0.8 / 0.1 / 0.1"])
def test_shares_are_read(text: str) -> None:
    assert shares_of(text) == Shares(Fraction(4, 5), Fraction(1, 10), Fraction(1, 10))


@pytest.mark.parametrize("text", ["0.9/0.1", "0.9/0.1/0", "90/10/0"])
def test_a_test_split_may_be_absent(text: str) -> None:
    assert shares_of(text).test == 0


@pytest.mark.parametrize(
    "text", ["", "1", "1/0/0", "0/1/0", "0.8/0/0.2", "0.8/0.3/0.1", "a/b/c", "0.8/0.3/-0.1", "1/0/0/0", "nan/0/1"]
)
def test_shares_that_cannot_be_name_their_flag(text: str) -> None:
    with pytest.raises(ExitError, match="--split is") as raised:
        shares_of(text)
    assert raised.value.code == Exit.BAD_OPTION
