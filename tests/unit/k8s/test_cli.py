"""The command line as a user starts it: a fresh process each time."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from k8s.cli import app
from trainer.config import RunConfig
from trainer.fields import flag, options

REPOSITORY = Path(__file__).parents[3]
LIMIT = 60.0
LIMIT_OF_HELP = 0.3  # seconds of CPU
TRIES = 12  # at most: the fastest start counts, since the others were disturbed
HEAVY = ("tensorflow", "keras", "kubernetes", "google.cloud", "numpy", "matplotlib", "PIL", "pydantic")

REFERENCE_SECONDS = 0.17  # what typer and rich alone take to import on an otherwise idle machine

START = """
import json, resource, sys
{begin}
used = resource.getrusage(resource.RUSAGE_SELF)
answer = {{"code": code, "cpu": used.ru_utime + used.ru_stime, "modules": sorted(sys.modules)}}
print(json.dumps(answer), file=sys.stderr)
"""
CATDOG = """
from k8s.cli import main
sys.argv = ["catdog", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    code = end.code or 0
"""
REFERENCE = "import typer.rich_utils; code = 0"


def catdog(*arguments: str, begin: str = CATDOG, bytecode: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if bytecode is not None:  # kept, as from the second start of catdog on
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    return subprocess.run(
        [sys.executable, "-c", START.format(begin=begin), *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


def told(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    return dict(json.loads(done.stderr.splitlines()[-1]))


def verbs() -> list[tuple[str, ...]]:
    """Every command and every command of a group."""

    def below(command: object, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        commands = getattr(command, "commands", None)
        if not commands:
            return [path]
        return [one for name, sub in sorted(commands.items()) for one in below(sub, (*path, name))]

    return below(typer.main.get_command(app), ())


def test_the_contracts_verbs_for_this_machine_are_there() -> None:
    assert {("train",), ("evaluate",), ("predict",), ("report",)} <= set(verbs())


@pytest.mark.parametrize("path", verbs(), ids=" ".join)
def test_every_verb_has_help_with_an_example(path: tuple[str, ...]) -> None:
    done = catdog(*path, "--help")
    assert told(done)["code"] == 0
    assert re.search(rf"Example:\s+catdog\s+{' '.join(path)}\b", " ".join(re.sub("[│╭╮╰╯─]", " ", done.stdout).split()))


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bytecode")
    catdog("train", "--help", bytecode=folder)
    return folder


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help")], ids=" ".join)
def test_help_starts_light_and_fast(arguments: tuple[str, ...], bytecode: Path) -> None:
    used = math.inf
    for _ in range(TRIES):
        run, other = told(catdog(*arguments, bytecode=bytecode)), told(catdog(begin=REFERENCE, bytecode=bytecode))
        modules = run["modules"]
        assert isinstance(modules, list)
        assert {name for name in modules for heavy in HEAVY if name == heavy or name.startswith(heavy + ".")} == set()
        # A shared processor does less per second: each start is compared with the one beside it.
        slower = max(1.0, float(str(other["cpu"])) / REFERENCE_SECONDS)
        used = min(used, float(str(run["cpu"])) / slower)
        if used < LIMIT_OF_HELP:
            break
    assert used < LIMIT_OF_HELP


def test_help_of_train_names_every_flag() -> None:
    shown = catdog("train", "--help").stdout
    assert [name for name, one in options(RunConfig).items() if one.flag and flag(name) not in shown] == []


@pytest.mark.parametrize(
    ("arguments", "codes", "words"),
    [
        (("train", "--recipe", "best"), {2}, "catdog: --recipe is 'best'; it must be one of"),
        (("train", "--epochs", "many"), {2}, "--epochs"),
        (("train", "--epoch", "3"), {2}, "--epoch"),
        (("train", "--epochs", "0"), {2}, "--epochs is 0; it must be at least 1"),
        (("train", "--model", "resnet"), {2}, "--model"),
        (
            ("train", "--recipe", "baseline", "--image-size", "64"),
            {2},
            "--image-size is 64; --model article needs at least 78",
        ),
        (("train", "--image-size", "16"), {2}, "needs at least 32 pixels (recipe transfer, the default)"),
        (("trian",), {2}, "trian"),
        (("evaluate", "runs/a"), {2}, "--data"),
        (("predict", "runs/a"), {2}, "IMAGE"),
    ],
)
def test_invalid_arguments_are_reported_without_a_traceback(
    arguments: tuple[str, ...], codes: set[int], words: str
) -> None:
    done = catdog(*arguments)
    answer = told(done)
    assert answer["code"] in codes
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "tensorflow" not in str(answer["modules"])


def test_without_a_verb_the_verbs_are_listed() -> None:
    done = catdog()
    assert told(done)["code"] in (0, 2)
    assert "evaluate" in done.stdout + done.stderr
