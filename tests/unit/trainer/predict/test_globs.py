import glob
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.predict.globs import is_pattern, literal_start, matching

NAMES = ["a.jpg", "b.png", "in/a.jpg", "in/deep/b.jpg", "in/.hidden/c.jpg", ".d.jpg", "in/[x].jpg", "other/a.jpg"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", ["a.jpg"]),
        ("*/a.jpg", ["in/a.jpg", "other/a.jpg"]),
        ("**/b.*", ["b.png", "in/deep/b.jpg"]),
        ("in/**", ["in/a.jpg", "in/deep/b.jpg", "in/[x].jpg"]),
        ("in/[[]x].jpg", ["in/[x].jpg"]),
        ("?.[jp]*", ["a.jpg", "b.png"]),
        (".*.jpg", [".d.jpg"]),
        ("[!a].*", ["b.png"]),
        ("x*", []),
    ],
)
def test_names_match_as_in_a_shell(pattern: str, found: list[str]) -> None:
    assert [name for name, itself in matching(pattern, NAMES) if itself] == found


def test_what_lies_in_a_folder_that_matches_is_told_apart() -> None:
    assert list(matching("i*", NAMES)) == [(name, False) for name in NAMES if name.startswith("in/")]


part = st.text("ab*?.", min_size=1, max_size=4).filter(lambda text: text.strip(".") and "**" not in text)


@settings(max_examples=60)
@given(st.lists(part | st.just("**"), min_size=1, max_size=3).map("/".join))
def test_files_are_those_that_python_s_glob_finds(tree: Path, pattern: str) -> None:
    files = [path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()]
    found = {
        name
        for name in glob.glob(pattern, root_dir=tree, recursive=True)
        if (tree / name).is_file() and not name.endswith("/")
    }
    assert {name for name, itself in matching(pattern, files) if itself} == {os.path.normpath(name) for name in found}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for name in ("a", "b", "ab.a", "aa/b", "aa/b.b", "ab/aa/bb", "b.a/ba", ".a/b", "aa/.b", "aa/bb/a/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@given(st.text(max_size=20))
def test_a_pattern_begins_with_what_is_no_pattern(name: str) -> None:
    start = literal_start(name)
    assert name.startswith(start)
    assert not is_pattern(start)
    assert is_pattern(name) == (start != name)
