"""Each import contract of pyproject.toml is broken once per forbidden import, and import-linter detects it.

The graph of this checkout's imports is built once; a forbidden import is an edge added to a copy. The forbidden imports
are read from the contracts, so a change to them needs no change here.
"""

import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.domain.helpers import MissingImport

REPOSITORY = Path(__file__).parents[2]
CONFIGURATION = read_configuration(str(REPOSITORY / "pyproject.toml"))
SESSION: dict[str, Any] = CONFIGURATION["session_options"]
CONTRACTS: dict[str, dict[str, Any]] = {one["id"]: one for one in CONFIGURATION["contracts_options"]}
TYPES = {"forbidden": ForbiddenContract, "layers": LayersContract}
LINT = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]


def is_set(options: dict[str, Any], name: str) -> bool:
    return str(options.get(name)) == "True"  # import-linter makes text of TOML's booleans


@dataclass(frozen=True)
class Arrow:
    """An import from one module or package into another that a contract forbids."""

    contract: str
    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.contract}: {self.source} -> {self.target}"


def forbidden(options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for source in options["source_modules"]:
        for target in options["forbidden_modules"]:
            if source != target.split(".")[0]:
                yield source, target


def upward(options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """From each layer to the one above it, and between the modules of a layer that may not import each other."""
    layers = [[name.strip(" ()") for name in re.split("[|:]", layer)] for layer in options["layers"]]
    for container in options["containers"]:
        for upper, lower in itertools.pairwise(layers):
            yield from ((f"{container}.{one}", f"{container}.{other}") for one in lower for other in upper)
        for names, layer in zip(layers, options["layers"], strict=True):
            pairs = ((one, other) for one in names for other in names if one != other and "|" in layer)
            yield from ((f"{container}.{one}", f"{container}.{other}") for one, other in pairs)


ARROWS = [
    Arrow(name, source, target)
    for name, options in CONTRACTS.items()
    for source, target in {"forbidden": forbidden, "layers": upward}[options["type"]](options)
]

CONTAINERS = [(name, package) for name, options in CONTRACTS.items() for package in options.get("containers", ())]


@pytest.fixture(scope="module")
def built() -> grimp.ImportGraph:
    return grimp.build_graph(
        *SESSION["root_packages"],
        include_external_packages=is_set(SESSION, "include_external_packages"),
        exclude_type_checking_imports=is_set(SESSION, "exclude_type_checking_imports"),
        cache_dir=None,
    )


@pytest.fixture
def graph(built: grimp.ImportGraph) -> grimp.ImportGraph:
    return deepcopy(built)


def is_kept(graph: grimp.ImportGraph, options: dict[str, Any]) -> bool:
    contract = TYPES[options["type"]](options["name"], SESSION, options)
    return bool(contract.check(deepcopy(graph), verbose=False).kept)


def modules_of(graph: grimp.ImportGraph, name: str) -> list[str]:
    """A package's modules, or the module itself. A library that nothing imports yet is put into the graph."""
    if name not in graph.modules:
        assert name.split(".")[0] not in SESSION["root_packages"], f"{name} does not exist"
        graph.add_module(name, is_squashed=True)
    inside = set() if graph.is_module_squashed(name) else graph.find_descendants(name)
    return sorted(inside) or [name]


def add_wrong_import(graph: grimp.ImportGraph, arrow: Arrow) -> None:
    """Add the first import along `arrow` that is not there and that no exception of the contract allows."""
    exceptions = CONTRACTS[arrow.contract].get("ignore_imports", ())
    for importer in modules_of(graph, arrow.source):
        for imported in modules_of(graph, arrow.target):
            if graph.direct_import_exists(importer=importer, imported=imported):
                continue
            graph.add_import(importer=importer, imported=imported, line_number=1, line_contents=f"import {imported}")
            edge = {"importer": importer, "imported": imported}
            if not any(edge in graph.find_matching_direct_imports(exception) for exception in exceptions):
                return
            graph.remove_import(importer=importer, imported=imported)
    pytest.fail(f"{arrow}: the exceptions allow every import")


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_contract_holds_as_it_stands(graph: grimp.ImportGraph, name: str) -> None:
    assert is_kept(graph, CONTRACTS[name])


@pytest.mark.parametrize("arrow", ARROWS, ids=str)
def test_an_import_against_the_arrow_breaks_the_contract(graph: grimp.ImportGraph, arrow: Arrow) -> None:
    add_wrong_import(graph, arrow)
    assert not is_kept(graph, CONTRACTS[arrow.contract])


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, options in CONTRACTS.items()
        if options["type"] == "forbidden" and not is_set(options, "allow_indirect_imports")
    ],
)
def test_an_import_through_another_module_breaks_it_too(graph: grimp.ImportGraph, name: str) -> None:
    source, target = next(forbidden(CONTRACTS[name]))
    chain = [modules_of(graph, source)[0], "between", modules_of(graph, target)[0]]
    for importer, imported in itertools.pairwise(chain):
        graph.add_import(importer=importer, imported=imported)
    assert not is_kept(graph, CONTRACTS[name])


@pytest.mark.parametrize("name", CONTRACTS)
def test_an_exception_that_nothing_needs_is_an_error(graph: grimp.ImportGraph, name: str) -> None:
    options = CONTRACTS[name]
    exceptions = [*options.get("ignore_imports", ()), "trainer.nothing -> k8s.nothing"]
    with pytest.raises(MissingImport, match=r"trainer\.nothing -> k8s\.nothing"):
        is_kept(graph, {**options, "ignore_imports": exceptions})


@pytest.mark.parametrize(("name", "package"), CONTAINERS)
def test_a_module_that_no_layer_names_is_an_error(graph: grimp.ImportGraph, name: str, package: str) -> None:
    graph.add_module(f"{package}.newcomer")
    assert not is_kept(graph, CONTRACTS[name])


def test_every_package_has_layers() -> None:
    assert set(SESSION["root_packages"]) <= {package for _, package in CONTAINERS}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The Python files of the packages, and pyproject.toml."""
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for package in SESSION["root_packages"]:
        for path in (REPOSITORY / package).rglob("*.py"):
            to = tmp_path / path.relative_to(REPOSITORY)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
    return tmp_path


def lint(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(LINT, cwd=folder, capture_output=True, text=True, timeout=60)


def test_lint_imports_fails_for_a_new_file_with_a_wrong_import(copy: Path) -> None:
    assert lint(copy).returncode == 0
    arrow = ARROWS[0]
    (copy / arrow.source.replace(".", "/") / "newcomer.py").write_text(f"import {arrow.target}\n")
    done = lint(copy)
    assert done.returncode == 1
    assert f"{CONTRACTS[arrow.contract]['name']} BROKEN\n" in done.stdout
    assert done.stdout.count(f"{arrow.source}.newcomer") >= 2  # as an importer, and as a module without a layer
