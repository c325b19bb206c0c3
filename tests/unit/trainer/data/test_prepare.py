"""Which picture goes where: splits by number or share, sources that are recognised."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trainer.data.data_set import SPLITS
from trainer.data.prepare import Found, ImportPlan, plan_import, recognise, share, warnings_of
from trainer.exits import Exit, ExitError

ASK = {"train": "3", "valid": "1", "test": "1"}


# --- splitting -------------------------------------------------------------------------------------------------------

counts = st.tuples(*[st.integers(1, 12)] * 3)
fractions = st.lists(st.integers(1, 20), min_size=3, max_size=3).map(
    lambda parts: [f"{0.999 * part / sum(parts):.6f}" for part in parts]
)


def found(number: int) -> list[Found]:
    return [
        Found(f"train/{kind}.{i}.jpg", f"{kind}s", f"{kind}.{i}.jpg") for i in range(number) for kind in ("cat", "dog")
    ]


def paths(made: ImportPlan, split: str, label: str = "cats") -> list[str]:
    return [one.path for one in made.pictures if one.path.startswith(f"{split}/{label}/")]


@given(counts, st.integers(0, 9), st.sampled_from(["name", "random"]), st.integers(0, 3), st.randoms())
def test_counts_are_kept_and_splits_are_disjoint_and_the_order_of_the_listing_does_not_matter(
    asked: tuple[int, int, int], more: int, order: str, seed: int, shuffle: "object"
) -> None:
    total = sum(asked) + more
    wanted = dict(zip(SPLITS, map(str, asked), strict=True))
    listed = found(total)
    made = plan_import("x", listed, wanted, order, seed)
    shuffled = list(listed)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan_import("x", shuffled, wanted, order, seed) == made
    for label in ("cats", "dogs"):
        assert [len(paths(made, split, label)) for split in SPLITS] == list(asked)
    assert len({one.name for one in made.pictures}) == len(made.pictures) == 2 * sum(asked)
    assert made.left_over == 2 * more


@given(fractions, st.integers(40, 400))
def test_shares_come_out_within_one_picture_and_never_overlap(shares: list[str], total: int) -> None:
    assume(min(float(one) for one in shares) * total >= 1)
    made = plan_import("x", found(total), dict(zip(SPLITS, shares, strict=True)), "name", 0)
    for split, part in zip(SPLITS, shares, strict=True):
        assert abs(len(paths(made, split)) - float(part) * total) <= 1
    assert len({one.name for one in made.pictures}) == len(made.pictures)


def test_a_share_that_gives_no_picture_is_told() -> None:
    with pytest.raises(ExitError, match=r"class 'cats' has 10 pictures: none is left for test") as raised:
        plan_import("x", found(10), {"train": "0.9", "valid": "0.06", "test": "0.01"}, "name", 0)
    assert raised.value.code == Exit.BAD_DATA


@pytest.mark.parametrize("total", [10, 101, 999])
def test_shares_of_a_whole_leave_nothing_over(total: int) -> None:
    assert plan_import("x", found(total), {"train": "0.8", "valid": "0.1", "test": "0.1"}, "name", 0).left_over == 0


def test_kaggles_names_are_taken_in_order_of_their_numbers() -> None:
    made = plan_import("x", found(12), {"train": "10", "valid": "1", "test": "1"}, "name", 0)
    assert {one.rpartition(".")[0] for one in paths(made, "train")} == {f"train/cats/cat.{i}" for i in range(10)}
    assert paths(made, "valid") == ["valid/cats/cat.10.jpg"]
    assert paths(made, "test") == ["test/cats/cat.11.jpg"]


def test_the_articles_numbers_are_asked_for_by_its_name() -> None:
    made = plan_import("x", found(2500), {}, "name", 0, "article")
    assert [len(paths(made, split)) for split in SPLITS] == [1000, 500, 500]
    assert made.left_over == 1000


def sizes(made: ImportPlan, label: str = "cats") -> list[int]:
    return [len(paths(made, split, label)) for split in SPLITS]


@pytest.mark.parametrize(
    ("total", "wanted"),
    [(3, [1, 1, 1]), (4, [2, 1, 1]), (5, [3, 1, 1]), (10, [8, 1, 1]), (30, [24, 3, 3]), (1000, [800, 100, 100])],
)
def test_shares_are_the_default_and_leave_no_split_without_a_picture(total: int, wanted: list[int]) -> None:
    assert sizes(plan_import("x", found(total), {}, "name", 0)) == wanted
    assert plan_import("x", found(total), {}, "name", 0, "0.8/0.1/0.1") == plan_import("x", found(total), {}, "name", 0)


@given(st.integers(3, 200), st.tuples(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50)))
def test_any_shares_give_each_split_one_at_least_and_stay_near(total: int, parts: tuple[int, int, int]) -> None:
    text = "/".join(f"{0.99 * part / sum(parts):.3f}" for part in parts)
    assume(all(float(part) for part in text.split("/")))
    made = sizes(plan_import("x", found(total), {}, "name", 0, text))
    assert min(made) >= 1
    assert sum(made) <= total
    for size, part in zip(made, text.split("/"), strict=True):
        assert abs(size - float(part) * total) < 3


def test_a_class_with_fewer_pictures_than_splits_is_told() -> None:
    with pytest.raises(ExitError, match="class 'cats' has 2 pictures: none is left for"):
        plan_import("x", found(2), {}, "name", 0)


def test_counts_in_one_word_and_flags_over_it() -> None:
    assert sizes(plan_import("x", found(20), {}, "name", 0, "12/4/4")) == [12, 4, 4]
    assert sizes(plan_import("x", found(20), {"valid": "2"}, "name", 0, "12/4/4")) == [12, 2, 4]
    assert sizes(plan_import("x", found(20), {"train": "5"}, "name", 0)) == [5, 2, 2]
    assert sizes(plan_import("x", found(2500), {"train": "1"}, "name", 0, "article")) == [1, 500, 500]
    assert sizes(plan_import("x", found(20), {}, "name", 0, "0.75/.25/0")) == [15, 5, 0]


@pytest.mark.parametrize(
    "text",
    ["0.8", "0.8/0.1", "0.8/0.1/0.1/0", "a/b/c", "0.8/0.2/0.1", "0/0.5/0.5", "0.5/0/0.5", "-1/2/3", "some", "1e2/1/1"],
)
def test_a_split_that_cannot_be_is_told_with_both_forms(text: str) -> None:
    with pytest.raises(ExitError, match=r"--split is .*article.*0\.8/0\.1/0\.1.*1000/500/500") as raised:
        plan_import("x", found(20), {}, "name", 0, text)
    assert raised.value.code == Exit.BAD_OPTION


def test_percentages_are_not_taken_for_numbers_of_pictures() -> None:
    with pytest.raises(
        ExitError, match=r"for shares use 0\.8/0\.1/0\.1, or for pictures --train 80 --valid 10"
    ) as raised:
        plan_import("x", found(200), {}, "name", 0, "80/10/10")
    assert raised.value.code == Exit.BAD_OPTION


SERIES = ["IMG_2024{:04}.JPG", "DSC_{:04}.jpg", "DSC0{:04}.jpg", "frame_{:06}.png", "2023-05-01 10.{:02}.jpg"]


SERIES += ["20240315_1015{:02}.jpg", "PXL_20240101_{:09}.jpg", "clip1_frame{:05}.jpg", "IMG-20240101-WA{:04}.jpg"]


SERIES += ["P10100{:02}.JPG", "100_{:04}.jpg", "Screenshot 2024-01-{:02}.png", "17000000{:02}.jpg", "cam1_00{:04}.jpg"]


OTHERS = ["cat.{}.jpg", "{}.jpg", "{:05}.jpg", "n02085620_{}.JPEG", "Abyssinian_{}.jpg", "{:08x}b.jpg", "dog (1{}).jpg"]


@pytest.mark.parametrize("form", SERIES)
def test_names_of_a_series_in_time_are_warned_of_in_order_of_name_alone(form: str) -> None:
    series = [Found(f"a/{form.format(i)}", "a", form.format(i)) for i in range(11, 31)]
    (line,) = warnings_of(series, "name")
    assert form.format(11) in line
    assert "--order random" in line
    assert warnings_of(series, "random") == []
    assert warnings_of([Found(one.name, "a", one.rest, "train") for one in series], "name") == []


@pytest.mark.parametrize("form", OTHERS)
def test_other_names_are_not_warned_of(form: str) -> None:
    assert warnings_of([Found(f"a/{form.format(i)}", "a", form.format(i)) for i in range(11, 31)], "name") == []


def test_a_random_order_is_another_with_another_seed_and_moves_nobody_when_one_is_added() -> None:
    first = plan_import("x", found(50), {"train": "20", "valid": "5", "test": "5"}, "random", 1)
    assert paths(first, "train") != paths(plan_import("x", found(50), ASK, "random", 2), "train")
    more = plan_import("x", found(51), {"train": "20", "valid": "5", "test": "5"}, "random", 1)
    assert len(set(paths(first, "train")) - set(paths(more, "train"))) <= 1


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "0.0", "many", "1e3", "nan", ".", "1/2"])
def test_a_size_that_cannot_be_names_its_flag(text: str) -> None:
    with pytest.raises(ExitError, match=r"--valid is") as raised:
        share("valid", text)
    assert raised.value.code == Exit.BAD_OPTION


def test_a_class_with_too_few_pictures_is_told_with_what_to_do() -> None:
    with pytest.raises(ExitError, match=r"class 'cats' has 4 pictures.*--train 3, --valid 1, --test 1") as raised:
        plan_import("x", found(4), ASK, "name", 0)
    assert raised.value.code == Exit.BAD_DATA


# --- recognising -----------------------------------------------------------------------------------------------------


def test_forms_of_a_source_are_told_apart() -> None:
    assert {(one.label, one.rest) for one in recognise("x", ["train/cat.1.jpg", "dog.2.JPG", "readme.txt"])} == {
        ("cats", "cat.1.jpg"),
        ("dogs", "dog.2.JPG"),
    }
    classes = recognise("x", ["tabby/cat.1.jpg", "poodle/dog.2.png", "poodle/deep/dog.2.png", "__MACOSX/a/._b.jpg"])
    assert [(one.label, one.rest) for one in classes] == [
        ("tabby", "cat.1.jpg"),
        ("poodle", "dog.2.png"),
        ("poodle", "deep/dog.2.png"),
    ]
    split = recognise("x", [f"{part}/{name}/1.jpg" for part in ("train", "validation", "test") for name in "ab"])
    assert {(one.split, one.label) for one in split} == {(part, name) for part in SPLITS for name in "ab"}


@pytest.mark.parametrize(
    ("listed", "code", "words"),
    [
        (["a.txt"], Exit.INPUT_MISSING, "no pictures here"),
        (["cats/1.jpg", "cats/2.jpg"], Exit.BAD_DATA, "only one class, 'cats'"),
    ],
)
def test_what_is_no_source_is_told(listed: list[str], code: Exit, words: str) -> None:
    with pytest.raises(ExitError, match=words) as raised:
        recognise("x", listed)
    assert raised.value.code == code


def test_two_pictures_for_one_path_are_refused() -> None:
    twice = [*found(5), Found("cat.1.jpg", "cats", "cat.1.jpg")]
    with pytest.raises(ExitError, match=r"would both be stored as 'train/cats/cat\.1\.jpg'"):
        plan_import("x", twice, ASK, "name", 0)
