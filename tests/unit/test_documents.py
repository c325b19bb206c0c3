"""The documents name only files that exist."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md")),
]
# In backquotes, from the top of the repository; NAME stands for one that somebody will choose.
_PATH = re.compile(r"`((?:\.ci|benchmarks|docs|helm|k8s|requirements|tests|trainer)/[\w./-]*)`")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_in_backquotes_are_there(document: str) -> None:
    named = _PATH.findall((REPOSITORY / document).read_text())
    assert [path for path in named if "NAME" not in path and not (REPOSITORY / path).exists()] == []
