"""Runs side by side: what differs, what came out, and that neither order nor oddity of the runs matters."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import odd
from tests.unit.trainer.telemetry import run_folders
from tests.unit.trainer.telemetry.run_folders import Folder
from trainer import contract
from trainer.telemetry.comparison import CAUSE_TITLES, OUTCOME_TITLES, Comparison, Row, alike, brief, compare, names_of
from trainer.telemetry.curves import rows
from trainer.telemetry.outcomes import Documents
from trainer.words import UNKNOWN

TABLES = (*OUTCOME_TITLES, *CAUSE_TITLES)
KNOWN = {"finished": run_folders.finished, "running": run_folders.running, "old": run_folders.old}


def documents_of(folder: Folder) -> Documents:
    return Documents(
        config=folder.get(contract.CONFIG, {}),
        state=folder.get(contract.STATE, {}),
        summary=folder.get(contract.SUMMARY, {}),
        history=rows(folder.get(contract.METRICS, [])),
    )


@st.composite
def any_run(draw: st.DrawFn) -> Documents:
    """A run of which some documents are as they should be, some changed, and some missing."""
    folder = draw(st.sampled_from(list(KNOWN.values())))()
    made: dict[str, Any] = {contract.METRICS: folder[contract.METRICS][: draw(st.integers(0, 12))]}
    for name in (contract.CONFIG, contract.STATE, contract.SUMMARY):
        document = draw(st.one_of(st.just(folder.get(name, {})), odd.changed(folder.get(name, {}))))
        made[name] = document if isinstance(document, Mapping) else {}
    return documents_of(made)


def table(comparison: Comparison, name: str) -> dict[str, Row]:
    return {row.name: row for row in getattr(comparison, name)}


@settings(max_examples=60, deadline=None)
@given(st.lists(any_run(), min_size=2, max_size=4), st.data())
def test_another_order_of_the_runs_is_another_order_of_the_columns(runs: list[Documents], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(runs))))
    straight, turned = compare(runs), compare([runs[at] for at in order])

    def moved(row: Row) -> Row:
        return Row(row.name, tuple(row.values[at] for at in order), tuple(row.words[at] for at in order))

    for name in TABLES:
        # As text: nan, which an odd document may have, is not equal to itself.
        assert repr([moved(row) for row in getattr(straight, name)]) == repr(list(getattr(turned, name)))
    assert straight.remarks == turned.remarks


@settings(max_examples=60, deadline=None)
@given(any_run())
def test_a_run_differs_in_nothing_from_itself(run: Documents) -> None:
    compared = compare([run, run])
    assert not [row.name for name in TABLES for row in getattr(compared, name) if row.differs]
    shown = brief(compared)
    assert (shown.configuration, shown.data, shown.software) == ((), (), ())
    assert not [text for text in compared.remarks if "different" in text]


@settings(max_examples=60, deadline=None)
@given(st.lists(any_run(), min_size=2, max_size=3))
def test_every_row_has_a_value_of_each_run_and_is_known_of_one(runs: list[Documents]) -> None:
    compared = compare(runs)
    for row in (row for name in TABLES for row in getattr(compared, name)):
        assert len(row.values) == len(row.words) == len(runs)
        assert any(value is not None for value in row.values)
        assert all((value is None) <= (words == UNKNOWN) for value, words in zip(row.values, row.words, strict=True))
    everything = sum(len(getattr(compared, name)) for name in CAUSE_TITLES)
    shown = sum(len(getattr(brief(compared), name)) for name in CAUSE_TITLES)
    others = [alike(compared, is_partial=is_partial) for is_partial in (True, False)]
    assert everything == shown + sum(len(rows) for one in others for rows in one.values())


def test_what_came_out_is_told_of_each_run_as_far_as_it_is_known() -> None:
    results = table(compare([documents_of(make()) for make in KNOWN.values()]), "results")
    assert results["state"].values == ("succeeded", "running", "failed")
    assert results["reason"].values == (None, None, "the loss was nan")
    assert results["test accuracy"].words == ("91.0\N{NO-BREAK SPACE}%", UNKNOWN, UNKNOWN)
    assert results["test, 95 %"].values == ([0.878, 0.934], None, None)
    assert results["validation accuracy"].values == (0.92, pytest.approx(0.93), pytest.approx(0.5))
    assert results["best epoch"].values == (12, 5, 1)
    assert results["epochs run"].values == (12, 5, 1)
    assert results["steps"].values == (480, 200, 60)
    assert results["images/s"].values == (106.5, 103.0, 101.0)
    assert results["wall time"].values == (4000.0, 200.0, None)
    assert results["goodput"].values == (0.7, 0.75, None)
    assert results["lost steps"].values == (30, 0, None)
    assert results["attempts"].values == (2, 1, None)


def test_gpu_hours_are_those_in_which_the_run_had_its_gpus() -> None:
    held = table(compare([documents_of(run_folders.finished()), Documents()]), "results")["GPU-hours"]
    assert held.values == (pytest.approx(2 * 3000.04 / 3600), None)


def test_goodput_of_a_run_without_a_summary_leaves_out_the_time_in_which_a_person_had_stopped_it() -> None:
    folder = run_folders.running()
    folder[contract.STATE]["ledger"]["seconds"]["stopped"] = 1e6
    assert table(compare([documents_of(folder)] * 2), "results")["goodput"].values == (0.75, 0.75)


def test_an_interval_that_an_older_run_did_not_record_follows_from_accuracy_and_pictures() -> None:
    run = Documents(summary={"test": {"accuracy": 0.9, "examples": 100}})
    (low, high), _ = table(compare([run, run]), "results")["test, 95 %"].values
    assert low == pytest.approx(0.8256, abs=1e-3)
    assert high == pytest.approx(0.9448, abs=1e-3)


def test_differences_are_named_by_option_and_what_is_the_same_is_left_out() -> None:
    runs = [documents_of(make()) for make in KNOWN.values()]
    shown = brief(compare(runs))
    assert {row.name: row.values for row in shown.configuration} == {
        "epochs": (12, 20, 12),
        "batch_size": (64, 64, 32),
        "learning_rate": (0.001, 0.01, 0.001),
    }
    assert [row.name for row in shown.software if "catdog" in row.name] == ["catdog"]
    assert "threads" not in table(shown, "software")
    assert "threads" in table(compare(runs), "software")


def test_an_option_that_an_older_run_does_not_have_is_as_it_is_by_default() -> None:
    assert "calibrate" not in run_folders.old()[contract.CONFIG]["config"]
    folder = run_folders.finished()
    compared = compare([documents_of(folder), documents_of(run_folders.old())])
    assert table(compared, "configuration")["calibrate"].values == (False, False)
    folder[contract.CONFIG]["config"]["calibrate"] = True
    compared = compare([documents_of(folder), documents_of(run_folders.old())])
    assert table(brief(compared), "configuration")["calibrate"].values == (True, False)


def test_an_empty_option_is_told_from_an_unknown_one() -> None:
    with_weights = run_folders.finished()
    with_weights[contract.CONFIG]["config"]["weights"] = "gs://weights/" + "w" * 200
    compared = compare([documents_of(run_folders.finished()), documents_of(with_weights), Documents()])
    empty, long, unknown = table(compared, "configuration")["weights"].words
    assert (empty, long[-2:], len(long), unknown) == ('""', "w…", 120, UNKNOWN)


def test_different_classes_or_pictures_are_told_before_numbers_are_compared() -> None:
    cats, birds = run_folders.finished(), run_folders.finished()
    birds[contract.CONFIG]["data_fingerprint"] = "e" * 16
    assert "different pictures" in compare([documents_of(cats), documents_of(birds)]).remarks[0]
    birds[contract.SUMMARY]["labels"] = ["birds", "cats", "dogs"]
    compared = compare([documents_of(cats), documents_of(birds)])
    assert "different classes" in compared.remarks[0]
    assert len(compared.remarks) == 1
    assert table(compared, "data")["classes"].values == (2, 3)


def test_epochs_of_runs_of_different_lengths_stand_beside_each_other() -> None:
    compared = compare([documents_of(run_folders.finished()), documents_of(run_folders.old())])
    assert len(compared.epochs) == 12
    assert compared.epochs[0].values == (pytest.approx(0.83), pytest.approx(0.5))
    assert compared.epochs[11].words[1] == UNKNOWN
    shown = [row.name for row in brief(compared).epochs]
    assert len(shown) == 8
    assert (shown[0], shown[-1]) == ("epoch 1", "epoch 12")


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, 1.0), (0, False), ("1", 1), ([1], [1, 2])], ids=lambda value: repr(value)
)
def test_values_that_json_tells_apart_differ(one: Any, other: Any) -> None:
    assert Row("x", (one, other), ("", "")).differs


def test_what_is_unknown_of_a_run_is_no_difference() -> None:
    assert not Row("x", (1, None, 1), ("1", UNKNOWN, "1")).differs
    compared = compare([documents_of(run_folders.finished()), documents_of(run_folders.running())])
    assert table(compared, "software")["strategy"].values == ("mirrored", None)
    assert "strategy" not in table(brief(compared), "software")
    assert "strategy" in [row.name for row in alike(compared, is_partial=True)["Software, machine"]]


@pytest.mark.parametrize(
    ("addresses", "names"),
    [
        (["runs/first", "gs://b/second/"], ("first", "second")),
        (["runs/a/x", "runs/b/x"], ("a/x", "b/x")),
        (["x", "x"], ("x", "x (2)")),
        (["a/x", "a/x/", "b/x"], ("a/x", "a/x (2)", "b/x")),
        (["x", "x (2)", "x"], ("x", "x (2)", "x (3)")),
        (["/", "."], ("", ".")),
    ],
)
def test_a_name_is_as_much_of_an_address_as_tells_it_from_the_others(
    addresses: list[str], names: tuple[str, ...]
) -> None:
    assert names_of(addresses) == names


@given(st.lists(st.text("ab/", min_size=1, max_size=6), min_size=2, max_size=5))
def test_names_are_as_many_as_runs_and_all_different(addresses: list[str]) -> None:
    names = names_of(addresses)
    assert len(set(names)) == len(addresses)
