"""The commands as a user types them, as far as they need no cluster."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from k8s.actions import local
from k8s.cli import app
from tests.unit.k8s.settings.test_platform import CONFIG_MAP
from trainer.exits import Exit
from trainer.requests import CompareRequest

REPOSITORY = Path(__file__).parents[4]
VERBS = ("submit", "list", "status", "logs", "wait", "why", "cancel", "resume", "delete", "doctor", "compare")


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    file = tmp_path / "platform.yaml"
    file.write_text(yaml.safe_dump(CONFIG_MAP))
    return file


def catdog(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def dry_run(platform: Path, *arguments: str) -> Result:
    return catdog("submit", "--dry-run", "--platform", str(platform), *arguments)


def test_the_objects_are_printed_and_nothing_else(platform: Path) -> None:
    result = dry_run(platform, "--gpus", "4", "--gpus-per-node", "2", "--name", "r", "--epochs", "3")
    assert result.exit_code == 0
    [job_set] = list(yaml.safe_load_all(result.stdout))
    assert (job_set["kind"], job_set["metadata"]["name"]) == ("JobSet", "r")
    assert "2 workers, 2 GPUs each" in result.stderr
    assert (
        dry_run(platform, "--gpus", "4", "--gpus-per-node", "2", "--name", "r", "--epochs", "3").stdout == result.stdout
    )


def test_json_holds_the_same_objects(platform: Path) -> None:
    as_yaml = dry_run(platform, "--gpus", "0", "--name", "r", "--workers", "2", "--shape", "job").stdout
    as_json = dry_run(platform, "--gpus", "0", "--name", "r", "--workers", "2", "--shape", "job", "-o", "json").stdout
    assert json.loads(as_json)["items"] == list(yaml.safe_load_all(as_yaml))


def test_the_profile_is_over_the_platform_and_flags_are_over_both(platform: Path, tmp_path: Path) -> None:
    profile = tmp_path / "config" / "catdog" / "profile.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("priorityClass: low\nmaxRestarts: 1\n")
    [job] = yaml.safe_load_all(dry_run(platform, "--gpus", "1", "--max-restarts", "9").stdout)
    assert job["spec"]["backoffLimitPerIndex"] == 9
    assert job["spec"]["template"]["spec"]["priorityClassName"] == "low"
    profile.write_text("maxRestart: 1\n")
    result = dry_run(platform, "--gpus", "1")
    assert result.exit_code == 2
    assert f"{profile}: unknown setting maxRestart" in result.stderr


def configuration(printed: str) -> dict[str, Any]:
    """The run's configuration in the objects of a dry run."""
    [job] = yaml.safe_load_all(printed)
    annotation = job["spec"]["template"]["metadata"]["annotations"]["catdog.dev/config"]
    return dict(json.loads(annotation)["config"])


def test_without_a_recipe_it_is_the_platforms_and_a_remark_says_so(platform: Path, tmp_path: Path) -> None:
    line = "catdog: recipe {} (the platform's default; --recipe overrides it)\n"
    plain = dry_run(platform, "--gpus", "0")
    assert configuration(plain.stdout)["recipe"] == "transfer"
    assert line.format("transfer") in plain.stderr
    explicit = dry_run(platform, "--gpus", "0", "--recipe", "demo")
    assert configuration(explicit.stdout)["recipe"] == "demo"
    assert "recipe" not in explicit.stderr
    profile = tmp_path / "config" / "catdog" / "profile.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("recipe: augmented\n")
    mine = dry_run(platform, "--gpus", "0")
    assert configuration(mine.stdout)["recipe"] == "augmented"
    assert line.format("augmented") in mine.stderr
    profile.write_text("recipe: best\n")
    wrong = dry_run(platform, "--gpus", "0")
    assert (wrong.exit_code, f"{profile}: recipe is 'best'; it must be one of" in wrong.stderr) == (2, True)
    profile.write_text("weights: gs://models/weights/lite0\n")
    assert configuration(dry_run(platform, "--gpus", "0").stdout)["weights"] == "gs://models/weights/lite0"
    assert configuration(dry_run(platform, "--gpus", "0", "--recipe", "demo").stdout)["weights"] == ""


def test_train_takes_the_default_recipe_and_a_remark_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(local, "run", lambda verb, config: started.append(config) or 0)
    plain, explicit = catdog("train"), catdog("train", "--recipe", "demo", "--run", "runs/mine")
    assert [(one.recipe, one.run) for one in started] == [("transfer", "runs/transfer"), ("demo", "runs/mine")]
    assert (plain.stdout, plain.stderr) == ("", "catdog: recipe transfer (the default; --recipe overrides it)\n")
    assert (explicit.stdout, explicit.stderr) == ("", "")


def test_a_contradiction_with_the_default_recipe_is_one_line(platform: Path) -> None:
    for result in (catdog("train", "--image-size", "16"), dry_run(platform, "--gpus", "0", "--image-size", "16")):
        assert result.exit_code == 2
        assert result.stderr.startswith("catdog: --image-size is 16; --model efficientnet-lite0 needs at least 32")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--gpus", "-1"], 2, "--gpus is -1"),
        (["--gpus", "4", "--workers", "3"], 2, "divided equally"),
        (["--gpus", "1", "--name", "Ä"], 2, "--name is 'Ä'"),
        (["--gpus", "1", "--dropout", "7"], 2, "--dropout is 7.0"),
        (["--gpus", "1", "--recipe", "no-such"], 2, "--recipe is 'no-such'"),
        (["--gpus", "1", "--data", "./here"], 2, "pods cannot see"),
        (["--gpus", "many"], 2, "--gpus"),
        ([], 2, "--gpus"),
        (["--gpus", "1", "--max-restarts", "-1"], 2, "--max-restarts is -1"),
        (["--gpus", "1", "--queue", "q"], 0, ""),
    ],
)
def test_invalid_arguments_are_usage(platform: Path, arguments: list[str], code: int, message: str) -> None:
    result = dry_run(platform, *arguments)
    assert result.exit_code == code
    assert message in result.stderr


def test_a_file_without_the_platform_is_a_missing_prerequisite(platform: Path) -> None:
    platform.write_text("kind: ConfigMap\n")
    assert dry_run(platform, "--gpus", "1").exit_code == 3


def test_a_platform_file_is_for_dry_runs_only(platform: Path) -> None:
    result = catdog("submit", "--gpus", "1", "--platform", str(platform))
    assert (result.exit_code, "requires --dry-run" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit", "--gpus", "1"],
        ["list"],
        ["status", "r"],
        ["logs", "r"],
        ["wait", "r"],
        ["why", "r"],
        ["cancel", "r"],
        ["resume", "r"],
        ["delete", "r"],
        ["doctor"],
    ],
)
def test_without_a_cluster_every_command_says_so(platform: Path, arguments: list[str]) -> None:
    result = catdog(*arguments)
    assert result.exit_code == 3
    assert result.stderr.startswith("catdog: no cluster: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "first", "--data", "d"],
        ["predict", "first", "cat.jpg"],
        ["report", "first"],
        ["compare", "first", "second"],
        ["train", "--init-from", "first"],
    ],
)
def test_a_run_that_is_neither_a_folder_nor_in_a_cluster_is_a_missing_input(
    platform: Path, arguments: list[str]
) -> None:
    result = catdog(*arguments)
    assert result.exit_code == Exit.INPUT_MISSING
    assert result.stderr.startswith("catdog: first: not a run folder here; as the name of a run: no cluster: ")


def test_one_run_alone_is_not_compared(platform: Path, tmp_path: Path) -> None:
    result = catdog("compare", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr == f"catdog: compare needs two runs or more, to compare {tmp_path} with\n"


def test_what_is_asked_of_a_comparison_goes_to_the_trainer(
    platform: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, Any]] = []
    monkeypatch.setattr("k8s.actions.local.run", lambda verb, request: asked.append((verb, request)) or 66)
    result = catdog("compare", f"{tmp_path}/a", "gs://b/c", "./d", "--all", "--html", "page.html", "-o", "json")
    assert result.exit_code == 66
    assert asked == [("compare", CompareRequest((f"{tmp_path}/a", "gs://b/c", "./d"), "json", True, "page.html"))]


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_with_an_example(verb: str) -> None:
    result = catdog(verb, "--help")
    assert result.exit_code == 0
    assert f"Example: catdog {verb}" in " ".join(result.stdout.split())


def test_status_and_why_of_a_folder_need_no_cluster(platform: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    state: dict[str, Any] = {
        "state": "failed",
        "reason": "the loss was nan",
        "exit_code": 80,
        "updated": "2026-11-23T12:00:00+00:00",
    }
    (folder / "state.json").write_text(json.dumps(state))
    status = catdog("status", str(folder), "-o", "json")
    assert status.exit_code == 0
    assert json.loads(status.stdout)["phase"] == "failed"
    why = catdog("why", str(folder))
    assert "exit code 80" in why.stdout
    assert catdog("status", str(tmp_path / "none" / "at-all")).exit_code == 3


def test_a_dry_run_imports_no_sdk_and_takes_little(platform: Path) -> None:
    script = (
        "import json, resource, sys\n"
        "from k8s.cli import submit_main\n"
        "try:\n    submit_main()\n"
        "except SystemExit as end:\n    code = end.code or 0\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(json.dumps([code, used.ru_utime + used.ru_stime, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    words = [sys.executable, "-c", script, "--gpus", "4", "--name", "r", "--dry-run", "--platform", str(platform)]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(platform.parent / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds: list[float] = []
    while len(seconds) < 2 or (min(seconds) >= 0.5 and len(seconds) < 8):  # the first time Python compiles
        done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, env=environment)
        code, used, modules = json.loads(done.stderr.splitlines()[-1])
        assert code == 0
        assert not [name for name in modules if name.split(".")[0] in ("tensorflow", "keras", "kubernetes", "numpy")]
        assert "google.cloud" not in modules
        seconds.append(used)
    assert min(seconds) < 0.5
