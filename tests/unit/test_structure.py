"""The structural rules, measured on this checkout; and the measuring itself, on small made-up trees."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.structure import (
    MOST_LINES,
    PACKAGES,
    RUN_FOLDER,
    Length,
    Source,
    arrows,
    circles,
    contract_words,
    file_imports,
    file_lengths,
    function_lengths,
    late_imports,
    measure,
    read,
    rooms,
)

REPOSITORY = Path(__file__).parents[2]


def expect_none(found: Iterable[object]) -> None:
    listed = [str(one) for one in found]
    assert not listed, "\n".join(["", *listed])


@pytest.fixture(scope="module")
def checkout() -> list[Source]:
    return read(REPOSITORY)


def test_no_file_is_too_long(checkout: list[Source]) -> None:
    expect_none(f"{one.where}: {one.lines} lines" for one in file_lengths(checkout) if one.lines > MOST_LINES)


def test_every_init_is_empty() -> None:
    inits = [path for package in PACKAGES for path in (REPOSITORY / package).rglob("__init__.py")]
    assert inits
    expect_none(path for path in inits if path.stat().st_size)


def test_every_folder_with_python_is_a_package() -> None:
    folders = {path.parent for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")}
    expect_none(folder for folder in sorted(folders) if not (folder / "__init__.py").exists())


def test_files_import_each_other_in_no_circle(checkout: list[Source]) -> None:
    expect_none(" ".join(circle) for circle in circles(file_imports(checkout)))


def test_an_import_inside_a_function_says_what_it_spares(checkout: list[Source]) -> None:
    expect_none(f"{one.where}: {one.what}" for one in late_imports(checkout) if not one.explained)


def test_a_contract_word_is_typed_in_one_place(checkout: list[Source]) -> None:
    words = contract_words(checkout)
    expect_none(f"{word}: {' '.join(places)}" for word, places in words.items() if len(places) > 1)


def test_the_run_folder_s_files_are_those_of_the_contract() -> None:
    text = (REPOSITORY / "docs" / "contracts.md").read_text()
    expect_none(name for name in RUN_FOLDER if name not in text)


def tree(folder: Path, files: dict[str, str]) -> list[Source]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return read(folder)


def test_rooms_are_modules_and_packages_of_the_first_level(tmp_path: Path) -> None:
    names = ("trainer/__init__.py", "trainer/exits.py", "trainer/data/__init__.py", "trainer/data/deep/cache.py")
    sources = tree(tmp_path, {**dict.fromkeys(names, ""), "k8s/cli.py": "", "tests/other.py": ""})
    assert rooms(sources) == ["k8s.cli", "trainer.data", "trainer.exits"]


def test_an_arrow_is_counted_once_and_not_inside_a_room(tmp_path: Path) -> None:
    sources = tree(
        tmp_path,
        {
            "trainer/data/__init__.py": "",
            "trainer/data/cache.py": "from trainer.data import decode\nfrom trainer.exits import Exit\nimport os\n",
            "trainer/data/decode.py": "def late():\n    import trainer.exits\n",
            "trainer/exits.py": "",
            "k8s/cli.py": "from trainer import exits\nfrom trainer.data.cache import Cache\n",
        },
    )
    assert arrows(file_imports(sources)) == [
        ("k8s.cli", "trainer.data"),
        ("k8s.cli", "trainer.exits"),
        ("trainer.data", "trainer.exits"),
    ]


def test_imports_for_types_only_are_no_arrows_and_relative_ones_are(tmp_path: Path) -> None:
    sources = tree(
        tmp_path,
        {
            "trainer/a.py": "if TYPE_CHECKING:\n    from trainer.b import B\nelse:\n    from trainer import c\n",
            "trainer/b.py": "",
            "trainer/c.py": "",
            "trainer/data/__init__.py": "from .. import b\nfrom .cache import d\n",
            "trainer/data/cache.py": "from ..c import d\n",
        },
    )
    assert file_imports(sources) == {
        "trainer.a": {"trainer.c"},
        "trainer.b": set(),
        "trainer.c": set(),
        "trainer.data": {"trainer.b", "trainer.data.cache"},
        "trainer.data.cache": {"trainer.c"},
    }


def test_circles_are_found_through_others_and_one_by_one() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a", "f"}}
    assert circles(edges) == [["a", "b", "c"], ["d", "e"]]


def test_lengths_are_longest_first(tmp_path: Path) -> None:
    sources = tree(
        tmp_path,
        {
            "k8s/a.py": "def short(): ...\n\n\n@cache\ndef long():\n    return 1\n",
            "k8s/b.py": "x = 1\n",
        },
    )
    assert file_lengths(sources) == [Length("k8s/a.py", 6), Length("k8s/b.py", 1)]
    assert function_lengths(sources) == [Length("k8s/a.py:5 long", 3), Length("k8s/a.py:1 short", 1)]


@pytest.mark.parametrize(
    ("text", "explained"),
    [
        ("def f():\n    import numpy\n", False),
        ("def f():\n    import yaml  # here: only some pay for it\n", False),
        (
            "LABEL = 1  # catdog.dev/kubernetes.io, Kubernetes\ndef f():\n    import x  # app.kubernetes.io/name\n",
            False,
        ),
        ("def g():\n    # TensorFlow\n    pass\ndef f():\n    import numpy\n", False),
        ("def f():\n    import numpy  # TensorFlow brings it\n", True),
        ("# Here, for TensorFlow is slow.\ndef f():\n    import numpy\n", True),
        ("def f():\n    '''Without google.cloud until it is needed.'''\n    import numpy\n", True),
        ("'''The only importer of `kubernetes`.'''\ndef f():\n    import urllib3\n", True),
        ("def f():\n    quiet.import_tensorflow()\n    import numpy\n", True),
        ("class C:\n    def f(self):\n        def g():\n            import keras  # tensorflow\n", True),
    ],
)
def test_what_explains_an_import_inside_a_function(tmp_path: Path, text: str, explained: bool) -> None:
    assert [one.explained for one in late_imports(tree(tmp_path, {"trainer/a.py": text}))] == [explained]


def test_contract_words_are_found_in_strings_and_f_strings_but_not_in_docstrings(tmp_path: Path) -> None:
    text = '''"""state.json"""
NAMES = ("state.json", "my state.json", "catdog.dev/recipe")
def f(folder):
    """CATDOG_RANK"""
    return f"{folder}/state.json", f"CATDOG_{folder}", "CATDOG_RANK is wrong", "is CATDOG_RANK"
'''
    assert contract_words(tree(tmp_path, {"k8s/a.py": text})) == {
        "CATDOG_": ["k8s/a.py:5"],
        "CATDOG_RANK": ["k8s/a.py:5"],
        "catdog.dev/recipe": ["k8s/a.py:2"],
        "state.json": ["k8s/a.py:2", "k8s/a.py:5"],
    }


def test_the_table_is_printed_as_text_and_as_json(checkout: list[Source]) -> None:
    command = [sys.executable, "-m", "tests.structure", str(REPOSITORY)]
    text = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60).stdout
    found = measure(checkout)
    assert f"{found.longest_file.lines}\n    {found.longest_file.where}\n" in text
    command += ["-o", "json"]
    text = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60).stdout
    assert json.loads(text)["rooms"] == found.rooms


def test_a_folder_without_the_packages_is_usage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.structure", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no Python files" in done.stderr
