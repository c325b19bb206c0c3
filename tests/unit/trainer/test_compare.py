"""`catdog compare` of run folders: as text, as JSON, as a page; and of folders whose files are odd."""

import contextlib
import html.parser
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests import odd
from tests.unit.trainer.telemetry import run_folders
from trainer import contract
from trainer.compare import compare, read, show
from trainer.exits import Exit, ExitError
from trainer.requests import CompareRequest
from trainer.storage.opening import open_storage
from trainer.telemetry import comparison
from trainer.words import UNKNOWN

GOLDEN = Path(__file__).parent / "compared.txt"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, ...]:
    made = {"first": run_folders.finished(), "second": run_folders.running(), "old": run_folders.old()}
    return tuple(str(run_folders.write(tmp_path / name, contents)) for name, contents in made.items())


def answered(capsys: pytest.CaptureFixture[str], request: CompareRequest) -> str:
    assert compare(request) == Exit.DONE
    return capsys.readouterr().out


def test_three_runs_fit_80_columns(folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(f"{line.rstrip()}\n" for line in answered(capsys, CompareRequest(folders)).splitlines())
    assert text == GOLDEN.read_text()
    assert max(map(len, text.splitlines())) <= 80


def test_runs_for_which_there_is_no_room_are_in_another_table(folders: tuple[str, ...]) -> None:
    compared = comparison.compare([read(open_storage(folders[0]), pytest.fail)] * 7)
    console = Console(file=io.StringIO(), width=80)
    show([f"run{number}" for number in range(7)], compared, console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines if line.lstrip().startswith("run")] == [
        ["run0", "run1", "run2"],
        ["run3", "run4", "run5"],
        ["run6"],
    ]
    assert len([line for line in lines if line.startswith("goodput")]) == 3


def test_all_shows_what_is_the_same_and_every_epoch(
    folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    brief = answered(capsys, CompareRequest(folders)).splitlines()
    full = answered(capsys, CompareRequest(folders, everything=True)).splitlines()
    for name in ("optimizer", "threads", "class names", "epoch 2 ", "export"):
        assert not [line for line in brief if line.startswith(name)]
        assert [line for line in full if line.startswith(name)]


def test_the_same_run_twice_differs_in_nothing(folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    text = answered(capsys, CompareRequest((folders[0], folders[0])))
    assert "first (2)" in text
    assert "Nothing recorded differs." in text
    assert "Configuration" not in text


def test_json_has_every_value_as_json_and_the_curves(
    folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    answer = json.loads(answered(capsys, CompareRequest(folders, "json")))
    assert [run["name"] for run in answer["runs"]] == ["first", "second", "old"]
    assert [run["uri"] for run in answer["runs"]] == list(folders)
    results = {row["name"]: row["values"] for row in answer["results"]}
    assert results["test accuracy"] == [0.91, None, None]
    options = {row["name"]: row for row in answer["configuration"]}
    assert options["epochs"] == {"name": "epochs", "values": [12, 20, 12], "differs": True}
    assert options["optimizer"]["differs"] is False
    assert [len(rows) for rows in answer["curves"]] == [12, 5, 1]
    assert answer["curves"][1][4]["valid_accuracy"] == pytest.approx(0.93)


def test_json_has_null_for_a_loss_that_was_not_finite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folders.old()
    run[contract.METRICS][0]["train"]["loss"] = float("nan")
    run[contract.CONFIG]["config"]["label_smoothing"] = float("inf")
    folder = str(run_folders.write(tmp_path / "run", run))

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is not JSON")

    answer = json.loads(answered(capsys, CompareRequest((folder, folder), "json")), parse_constant=refuse)
    assert answer["curves"][0][0]["train_loss"] is None


class Page(html.parser.HTMLParser):
    """The words of a page outside its style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tag = tag

    def handle_data(self, data: str) -> None:
        if self.tag != "style" and data.strip():
            self.words.append(data.strip())


def test_the_page_has_the_curves_and_all_that_is_known(
    folders: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "page.html"
    assert f"page: {file}" in answered(capsys, CompareRequest(folders, html=str(file)))
    text = file.read_text()
    words = Page(text).words
    assert words[0] == "Comparison of first, second, old"
    assert "What differs" in words
    assert words.count("Running") == words.count("Failed") == 1
    assert "the loss was nan" in words
    assert "optimizer" in words
    assert text.count("data:image/png;base64,") == 1
    assert "<script" not in text


def test_a_page_of_runs_without_an_epoch_has_no_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = str(run_folders.write(tmp_path / "run", {contract.CONFIG: run_folders.record()}))
    answered(capsys, CompareRequest((begun, begun), html=str(tmp_path / "page.html")))
    words = Page((tmp_path / "page.html").read_text()).words
    assert "No run has completed an epoch." in words
    assert "State unknown" in words


def test_names_cannot_write_into_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_folders.old()
    run[contract.STATE] = {"state": "<script>1</script>", "reason": "<img src=x>\u202e"}
    folder = str(run_folders.write(tmp_path / "<b>", run))
    text = answered(capsys, CompareRequest((folder, folder), html=str(tmp_path / "page.html")))
    page = (tmp_path / "page.html").read_text()
    for forbidden in ("<script", "<img src=x", "<b>", "\u202e"):
        assert forbidden not in page
    assert "\u202e" not in text


def test_a_page_that_cannot_be_written_is_74_in_one_line(folders: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ExitError, match="Is a directory") as caught:
        compare(CompareRequest(folders, html=str(tmp_path)))
    assert caught.value.code == Exit.STORAGE_FAILED


def test_what_is_no_run_folder_is_66_and_named(folders: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ExitError, match=f"{tmp_path}/none: not a run folder") as caught:
        compare(CompareRequest((folders[0], str(tmp_path / "none"))))
    assert caught.value.code == Exit.INPUT_MISSING


@pytest.mark.parametrize("file", [contract.CONFIG, contract.STATE, contract.SUMMARY, contract.METRICS])
def test_a_damaged_file_is_named_and_the_rest_compared(
    file: str, folders: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    Path(folders[0], file).write_text("{")
    assert compare(CompareRequest(folders[:2])) == Exit.DONE
    output = capsys.readouterr()
    assert output.err.startswith(f"{folders[0]}/{file} is damaged (")
    assert output.err.count("\n") == 1
    assert "running" in output.out
    assert UNKNOWN in output.out


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (contract.SUMMARY, "[]", "not an object"),
        (contract.METRICS, '{"epoch": "1"}', "epoch is '1'"),
        (contract.METRICS, '{"epoch": 1, "step": 1' + "0" * 400 + "}", "too large"),
        (contract.METRICS, '{"epoch": 99999999999}', "impossible number"),
    ],
)
def test_what_a_damaged_file_says_is_left_out(file: str, content: str, words: str, folders: tuple[str, ...]) -> None:
    Path(folders[0], file).write_text(content)
    told: list[str] = []
    run = read(open_storage(folders[0]), told.append)
    assert not (run.summary if file == contract.SUMMARY else run.history)
    assert len(told) == 1
    assert words in told[0]


def test_epochs_are_in_order_and_the_last_of_a_number_counts(tmp_path: Path) -> None:
    run = run_folders.old()
    run[contract.METRICS] = [{"epoch": 2}, {"epoch": 1, "step": 5}, {"epoch": 1, "step": 7}]
    history = read(open_storage(str(run_folders.write(tmp_path / "run", run))), pytest.fail).history
    assert [(row.epoch, row.step) for row in history] == [(1, 7), (2, 0)]


VALID = {**run_folders.finished(), contract.METRICS: run_folders.epochs(1, 0.9)[0]}


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_odd_files_are_compared_or_named_and_never_a_traceback(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()) as remarks:
        good = run_folders.write(Path(folder) / "good", run_folders.finished())
        spoilt = run_folders.write(Path(folder) / "spoilt", run_folders.finished())
        for name in data.draw(st.sets(st.sampled_from(sorted(VALID)), min_size=1)):
            (spoilt / name).write_bytes(data.draw(odd.files(VALID[name])))
        with contextlib.redirect_stdout(io.StringIO()) as answer:
            page = data.draw(st.sampled_from(["", "", "", f"{folder}/page.html"]))  # drawing takes half a second
            request = CompareRequest((str(good), str(spoilt)), "json", html=page)
            assert compare(request) == Exit.DONE
        told = json.loads(answer.getvalue())
        assert remarks.getvalue().splitlines() == [json.loads(json.dumps(line)) for line in told["damaged"]]
        compared = comparison.compare([read(open_storage(uri), lambda line: None) for uri in request.runs])
        show(("good", "spoilt"), compared, Console(file=io.StringIO(), width=80))
