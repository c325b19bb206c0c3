"""How commands end: usage errors, waiting for a run's result, output for machines, completion, the version."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from k8s.cli import app
from k8s.terminal import follow as following
from k8s.terminal import screen
from tests.unit.k8s.api.api_server import Api, serve
from tests.unit.k8s.explain.sightings import condition, ended, top
from trainer.config import PRETRAINED
from trainer.process.versions import catdog_version

REPOSITORY = Path(__file__).parents[4]
JOB, PODS = "/apis/batch/v1/namespaces/ml/jobs/run", "/api/v1/namespaces/ml/pods"
SET = "/apis/jobset.x-k8s.io/v1alpha2/namespaces/ml/jobsets/run"


def catdog(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.02)


def write(folder: Path, word: str, **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat()
    (folder / "state.json").write_text(json.dumps({"state": word, "updated": now, **more}))


def test_the_version_is_printed() -> None:
    result = catdog("--version")
    assert (result.exit_code, result.stdout) == (0, f"catdog {catdog_version()}\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?; see catdog --help"),
        (["train", "--model", "resnet"], "--model is 'resnet'; it must be one of article, small, efficientnet-lite0"),
        (["train", "--recipe", "best"], "--recipe is 'best'; it must be one of augmented, baseline, demo"),
        (["train", "--epochs", "0"], "--epochs is 0; it must be at least 1 and at most 1,000,000"),
        (["submit", "--gpus", "1", "--shape", "pod"], "--shape is 'pod'; it must be one of auto, jobset, job; see"),
        (["data", "import", "a", "b", "--order", "size"], "--order is 'size'; it must be one of name, random"),
        (["evaluate", "runs/a"], "Missing option '--data'; see catdog evaluate --help"),
    ],
)
def test_invalid_arguments_give_one_line_and_2(arguments: list[str], line: str) -> None:
    result = catdog(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"catdog: {line}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("word", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1), ("preempted", 1)])
def test_waiting_for_a_folder_ends_with_its_result(tmp_path: Path, word: str, code: int) -> None:
    write(tmp_path / "run", "running")
    later = threading.Timer(0.2, write, (tmp_path / "run", word), {"exit_code": 65, "reason": "too few cats"})
    later.start()
    result = catdog("wait", str(tmp_path / "run"), "-o", "json")
    assert result.exit_code == code
    answer = json.loads(result.stdout)
    assert (answer["phase"], answer["run"], answer["result"]) == (word, str(tmp_path / "run"), None)
    assert bool(answer["causes"]) == bool(code)


def test_waiting_has_a_timeout_and_needs_a_run(tmp_path: Path) -> None:
    write(tmp_path / "run", "running")
    assert catdog("wait", str(tmp_path / "run"), "--timeout", "0.1").exit_code == 124
    nothing = catdog("wait", str(tmp_path / "nothing"))
    assert (nothing.exit_code, "no run" in nothing.stderr) == (3, True)


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize(("kind", "exit_code", "code"), [("Complete", 0, 0), ("Failed", 65, 1)])
def test_logs_that_are_followed_end_with_the_runs_result(
    monkeypatch: pytest.MonkeyPatch, kind: str, exit_code: int, code: int, drawn: bool
) -> None:
    monkeypatch.setattr("k8s.commands.logs.can_redraw", lambda: drawn)
    monkeypatch.setattr(screen, "Console", lambda **how: Console(force_terminal=True, color_system=None, **how))
    api = Api()
    one = top(condition(kind), kind="Job")
    api.objects[JOB] = {**one, "metadata": {**one["metadata"], "name": "run", "annotations": {}}}
    pod = ended(exit_code, "65: too few cats" if exit_code else "")
    api.objects[f"{PODS}/{pod['metadata']['name']}"] = pod
    api.logs = {pod["metadata"]["name"]: ["2026-11-23T12:00:00Z the last line"]}
    with serve(api) as cluster:
        monkeypatch.setattr("k8s.commands.logs.connect", lambda context, namespace: cluster)
        result = catdog("logs", "run", "-f")
    assert result.exit_code == code
    assert "the last line" in result.stdout
    assert ("\x1b[2K" in result.stdout) == drawn
    assert ("too few cats" in result.stderr) == bool(code)


def test_names_of_runs_are_completed_and_silence_is_no_error(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.json").write_text("{}")
    (tmp_path / "runs" / "none").mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "KUBECONFIG": str(tmp_path / "no-kubeconfig"),
        "_CATDOG_COMPLETE": "complete_bash",
    }

    def completed(words: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", "from k8s.cli import app; app(prog_name='catdog')"],
            cwd=tmp_path,
            env={**environment, "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stderr == ""
        return done.stdout.split()

    assert completed("catdog status runs/f") == ["runs/first"]
    assert completed("catdog evaluate ") == ["runs/first", "runs/second"]
    assert completed("catdog train --recipe b") == ["baseline"]
    assert completed("catdog train --model ") == ["article", "small", *PRETRAINED]
    assert "doctor" in completed("catdog d")


@pytest.mark.parametrize("form", ["litert", "onnx"])
def test_export_names_the_extra_that_is_not_installed(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("k8s.commands.export.find_spec", lambda package: None)
    result = catdog("export", str(tmp_path), "--format", form)
    assert result.exit_code == 3
    assert result.stderr == f"catdog: --format {form} needs more packages: pip install 'catdog-trainer[cpu,{form}]'\n"
