import tomllib
from pathlib import Path

from trainer.process.versions import DISTRIBUTION, catdog_version, versions

REPOSITORY = Path(__file__).parents[4]


def test_the_distribution_is_looked_up_by_the_name_it_is_installed_under() -> None:
    assert tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["name"] == DISTRIBUTION


def test_what_is_recorded_is_called_catdog() -> None:
    assert list(versions()) == ["catdog", "keras", "numpy", "safetensors", "tensorflow", "python"]
    assert versions()["catdog"] == catdog_version()
