"""The wheel, in an environment that has the command line's dependencies and nothing of the trainer's."""

import subprocess
import sys
import zipfile
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

from trainer.process.versions import DISTRIBUTION

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("trainer", "k8s")
pytestmark = pytest.mark.timeout(300)  # the first test waits for the package registry
ONLY_THE_TRAINER_S = ("tensorflow", "keras", "numpy")

IMPORT_ALL = f"""
import importlib, importlib.metadata, importlib.util, pkgutil, sys
import k8s
names = [module.name for module in pkgutil.walk_packages(k8s.__path__, "k8s.")]
for name in names:
    importlib.import_module(name)
assert len(names) > 20, names
assert not [name for name in {ONLY_THE_TRAINER_S} if name in sys.modules or importlib.util.find_spec(name)]
print(importlib.metadata.version({DISTRIBUTION!r}))
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image is built from; a copy, for setuptools leaves build/ where it builds."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy(REPOSITORY / name, folder)
    for name in PACKAGES:
        copytree(REPOSITORY / name, folder / name, ignore=ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet")
    run(*pip, "--wheel-dir", folder, source, cwd=folder)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin/ of a new environment with requirements/base.txt and the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    pip = (sys.executable, "-m", "pip", "--python", folder / "venv" / "bin" / "python", "install", "--quiet")
    run(*pip, "--require-hashes", "--requirement", REPOSITORY / "requirements" / "base.txt", cwd=folder)
    run(*pip, "--no-deps", "--no-index", wheel, cwd=folder)
    return folder / "venv" / "bin"


def test_the_wheel_has_all_files_of_the_packages_and_no_others(source: Path, wheel: Path) -> None:
    files = {path for name in PACKAGES for path in (source / name).rglob("*") if path.is_file()}
    wanted = {path.relative_to(source).as_posix() for path in files}
    assert {"trainer/py.typed", "k8s/py.typed"} <= wanted
    assert [name for name in wanted if name.endswith("/report.html.j2")]
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == wanted


def test_every_module_of_the_command_line_is_imported_without_tensorflow(scripts: Path, tmp_path: Path) -> None:
    version = run(scripts / "python", "-I", "-c", IMPORT_ALL, cwd=tmp_path).strip()
    assert f'version = "{version}"' in (REPOSITORY / "pyproject.toml").read_text()


@pytest.mark.parametrize(("script", "word"), [("catdog", "train"), ("catdog-submit", "--gpus")])
def test_the_scripts_answer(scripts: Path, tmp_path: Path, script: str, word: str) -> None:
    assert word in run(scripts / script, "--help", cwd=tmp_path)


def test_training_says_what_is_missing(scripts: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [scripts / "catdog", "train", "--recipe", "demo"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("catdog: TensorFlow is not installed here; ")
    assert not list(tmp_path.iterdir())
