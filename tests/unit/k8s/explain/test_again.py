"""A run that never started is submitted again by the command that its objects spell."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from k8s.cli import app
from k8s.explain.again import after_cancel, configuration_of, restart, resume, submit_flags
from k8s.explain.command import Command, in_words
from k8s.explain.observation import Observation
from tests.unit.k8s.explain.sightings import NOW, condition, seen, top
from tests.unit.k8s.settings.test_platform import CONFIG_MAP


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    file = tmp_path / "platform.yaml"
    file.write_text(yaml.safe_dump(CONFIG_MAP))
    return file


def submitted(platform: Path, *words: str) -> dict[str, Any]:
    """The object that `catdog submit` would create."""
    result = CliRunner().invoke(app, ["submit", "--dry-run", "--platform", str(platform), *words])
    assert result.exit_code == 0, result.output
    return dict(next(iter(yaml.safe_load_all(result.stdout))))


@pytest.mark.parametrize(
    "flags",
    [
        ("--gpus", "0"),
        ("--gpus", "0", "--workers", "3", "--recipe", "baseline", "--data", "", "--epochs", "7", "--no-flip"),
        ("--gpus", "4", "--gpus-per-node", "2", "--recipe", "augmented", "--data", "gs://d/a b", "--dropout", "0.25"),
        (
            "--gpus",
            "1",
            "--weights",
            "gs://m/w",
            "--unfreeze",
            "5",
            "--head-epochs",
            "9",
            "--class-weights",
            "balanced",
            "--deterministic",
        ),
        ("--gpus", "0", "--recipe", "demo", "--run", "gs://other/place", "--seed", "3", "--split", "0.7/0.2/0.1"),
        ("--gpus", "0", "--devices", "2", "--recipe", "baseline", "--no-deterministic"),
    ],
)
def test_the_same_run_comes_of_it_whatever_its_options(platform: Path, flags: tuple[str, ...]) -> None:
    first = submitted(platform, "--name", "run", *flags)
    words = submit_flags("run", first)
    assert words is not None
    again = submitted(platform, *words)
    assert json.loads(configuration_of(again) or "") == json.loads(configuration_of(first) or "")
    assert again["spec"].get("completions") == first["spec"].get("completions")


def told(one: Observation) -> str:
    return in_words(restart(one))


def test_what_started_is_resumed_and_what_did_not_is_submitted_again(platform: Path) -> None:
    first = submitted(platform, "--name", "run", "--gpus", "2", "--epochs", "7")
    waits = {"top": first, "name": "run", "now": NOW}
    assert told(Observation(**waits, resumable=True)) == "catdog cancel run, then catdog resume run"
    for unknown in (False, None):
        text = told(Observation(**waits, resumable=unknown))
        assert text.startswith("catdog cancel run, then catdog submit --name run --gpus 2 ")
        assert "--epochs 7" in text
    fewer = in_words(after_cancel(Observation(**waits, resumable=False), "--gpus", "1"))
    assert "--gpus 1 " in fewer
    assert "--gpus 2" not in fewer


def test_an_ended_run_is_resumed_while_its_objects_hold_its_options() -> None:
    assert told(seen(top(condition("Failed")), resumable=False)) == "catdog resume run"
    assert told(seen(resumable=False)) == (
        "catdog submit --name run …, with its options: it never started, so none are kept"
    )
    assert told(seen(resumable=None)) == told(seen(resumable=True)) == "catdog resume run"


def test_a_local_run_is_not_resumed_in_the_cluster() -> None:
    assert not [part for part in resume(seen(local=True)) if isinstance(part, Command)]


def test_a_configuration_of_another_version_spells_no_command() -> None:
    one = top()
    job = one["spec"]["replicatedJobs"][0]["template"]["spec"]
    job["template"] = {"metadata": {"annotations": {"catdog.dev/config": '{"schema": 99, "config": {}}'}}}
    assert submit_flags("run", one) is None
    assert told(seen(one, resumable=False)) == "catdog cancel run, then catdog submit --name run …"
