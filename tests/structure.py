"""The structure of the code in numbers: `python -m tests.structure [FOLDER] [-o json]`.

Measures `trainer/` and `k8s/` of this checkout, or of another folder that has them (such as an old revision). Terms:

- room: a module or package directly below trainer/ or k8s/. Arrow: an import from one room into another, counted once.
- circle: files that import each other, directly or through others.
- contract word: a name that other tools rely on (a file of the run folder, a CATDOG_ variable, a label). Each is
  typed in one place; everything else uses that constant.

Imports below `if TYPE_CHECKING:` do not run and do not count; those inside functions do. Standard library only.
"""

import argparse
import ast
import dataclasses
import io
import json
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("trainer", "k8s")
MOST_LINES = 350
# docs/contracts.md, "Run folder".
RUN_FOLDER = (
    "config.json",
    "state.json",
    "metrics.jsonl",
    "summary.json",
    "report.html",
    "rejected.json",
    "profile.json",
    "lease.json",
    "attempt.json",
    "MANIFEST.json",
)
PREFIXES = (
    "CATDOG_",
    "app.kubernetes.io/",
    "catdog.dev/",
    "batch.kubernetes.io/",
    "jobset.sigs.k8s.io/",
    "kueue.x-k8s.io/",
)
_PREFIXED = re.compile(f"(?:{'|'.join(map(re.escape, PREFIXES))})[A-Za-z0-9_.-]*")
# What is too slow to import at start-up, as a comment or docstring names it; not "Kubernetes", nor a label's domain.
_DEAR = re.compile(
    r"TensorFlow|tensorflow|Matplotlib|mlflow|google\.cloud|(?<![\w./])kubernetes(?![\w./-])|--help need"
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A Python file: its dotted name (of an `__init__.py`: the package's), and its path relative to the folder."""

    module: str
    path: str
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


@dataclass(frozen=True)
class Length:
    """How long a file or function is. `where` is a path, or a path, a line and the function's name."""

    where: str
    lines: int


@dataclass(frozen=True)
class LateImport:
    """An import inside a function. `explained`: the function or module says why (`late_imports`)."""

    where: str
    what: str
    explained: bool


@dataclass(frozen=True)
class Structure:
    """The table. `words` lists for each contract word the places (path:line) where it is typed."""

    files: int
    lines: int
    rooms: list[str]
    arrows: list[tuple[str, str]]
    circles: list[list[str]]
    longest_file: Length
    longest_function: Length
    long_files: list[Length]
    late_imports: list[LateImport]
    words: dict[str, list[str]]


def read(folder: Path) -> list[Source]:
    """The Python files of trainer/ and k8s/ below `folder`, ordered by path."""
    found = []
    for path in sorted(path for package in PACKAGES for path in (folder / package).rglob("*.py")):
        inside = path.relative_to(folder)
        parts = inside.parent.parts if inside.name == "__init__.py" else inside.with_suffix("").parts
        text = path.read_text()
        found.append(Source(".".join(parts), inside.as_posix(), text, ast.parse(text)))
    return found


def measure(sources: Sequence[Source]) -> Structure:
    """Measure everything. Raises ValueError if there is nothing to measure."""
    if not sources:
        raise ValueError(f"no Python files in {' or '.join(f'{package}/' for package in PACKAGES)}")
    edges = file_imports(sources)
    files = file_lengths(sources)
    return Structure(
        files=len(sources),
        lines=sum(one.lines for one in files),
        rooms=rooms(sources),
        arrows=arrows(edges),
        circles=circles(edges),
        longest_file=files[0],
        longest_function=function_lengths(sources)[0],
        long_files=[one for one in files if one.lines > MOST_LINES],
        late_imports=late_imports(sources),
        words=contract_words(sources),
    )


def room(module: str) -> str:
    """The room of a module: trainer.storage.gcs is in trainer.storage. Empty for the package `trainer` itself."""
    return ".".join(module.split(".")[:2]) if "." in module else ""


def rooms(sources: Iterable[Source]) -> list[str]:
    return sorted({room(source.module) for source in sources} - {""})


def arrows(edges: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
    """(from, to) for every two different rooms where the first imports the second."""
    pairs = {(room(module), room(other)) for module, others in edges.items() for other in others}
    return sorted((one, other) for one, other in pairs if one and other and one != other)


def file_imports(sources: Sequence[Source]) -> dict[str, set[str]]:
    """Module → the modules among `sources` that it imports."""
    known = {source.module for source in sources}
    return {
        source.module: {
            module
            for statement, _ in _imports(source.tree)
            for name in _imported(statement, source)
            if (module := _module(name, known)) and module != source.module
        }
        for source in sources
    }


def circles(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module."""
    reached = {module: _reached(module, edges) for module in edges}
    components = {
        tuple(sorted(other for other in reached[module] if module in reached.get(other, ()))) for module in edges
    }
    return sorted(list(component) for component in components if len(component) > 1)


def file_lengths(sources: Iterable[Source]) -> list[Length]:
    """Longest first."""
    return sorted((Length(source.path, source.lines) for source in sources), key=lambda one: (-one.lines, one.where))


def function_lengths(sources: Iterable[Source]) -> list[Length]:
    """Longest first; from `def` to the last line, decorators and nested functions included."""
    found = [
        Length(f"{source.path}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - _first_line(node) + 1)
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, _Function)
    ]
    return sorted(found, key=lambda one: (-one.lines, one.where))


def late_imports(sources: Iterable[Source]) -> list[LateImport]:
    """The imports inside functions.

    One is explained if TensorFlow, mlflow, kubernetes or google.cloud, or what --help need not spend (its CPU is
    limited), is named in a comment or docstring of the function, in the comment above it, or in the module's docstring
    or its comments at the left edge; or if the function calls `quiet.import_tensorflow()`.
    """
    return [
        LateImport(
            f"{source.path}:{statement.lineno}",
            ast.unparse(statement),
            _calls_import_tensorflow(functions[0]) or bool(_DEAR.search(_remarks(source, functions))),
        )
        for source in sources
        for statement, functions in _imports(source.tree)
        if functions
    ]


def contract_words(sources: Iterable[Source]) -> dict[str, list[str]]:
    """Contract word → the places where it is typed: string literals and parts of f-strings, but not docstrings."""
    found: dict[str, list[str]] = {}
    for source in sources:
        for node, in_f_string in _literals(source.tree):
            if word := _contract_word(str(node.value), in_f_string):
                found.setdefault(word, []).append(f"{source.path}:{node.lineno}")
    return dict(sorted(found.items()))


def _contract_word(text: str, in_f_string: bool) -> str:
    name = text.strip("/") if in_f_string else text  # f"{folder}/state.json"
    if name in RUN_FOLDER:
        return name
    prefixed = _PREFIXED.match(text)
    return prefixed[0] if prefixed else ""


def _literals(tree: ast.Module) -> Iterator[tuple[ast.Constant, bool]]:
    """String literals and whether each is part of an f-string; bare ones, such as docstrings, are left out."""
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node, id(node) in parts


def _imports(
    node: ast.AST, functions: tuple[_Function, ...] = ()
) -> Iterator[tuple[ast.Import | ast.ImportFrom, tuple[_Function, ...]]]:
    """Import statements that can run, each with the functions around it, outermost first."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, functions
        elif isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from _imports(ast.Module(child.orelse, []), functions)
        else:
            yield from _imports(child, (*functions, child) if isinstance(child, _Function) else functions)


def _imported(statement: ast.Import | ast.ImportFrom, source: Source) -> list[str]:
    """Dotted names: `from trainer.data import cache` gives trainer.data.cache, whether that is a module or not."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    base = statement.module or ""
    if statement.level:
        up = statement.level - source.path.endswith("/__init__.py")
        parts = source.module.split(".")
        base = ".".join([*parts[: len(parts) - up], *([base] if base else [])])
    return [f"{base}.{alias.name}" for alias in statement.names]


def _module(name: str, known: set[str]) -> str:
    """The longest prefix of a dotted name that is a known module; empty if there is none."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def _reached(start: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
    """What can be reached from `start`, including itself."""
    seen, todo = {start}, [start]
    while todo:
        new = set(edges.get(todo.pop(), ())) - seen
        seen |= new
        todo += new
    return seen


def _first_line(function: _Function) -> int:
    return min([function.lineno, *(one.lineno for one in function.decorator_list)])


def _calls_import_tensorflow(function: _Function) -> bool:
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(ast.unparse(called).split(".")[-1] == "import_tensorflow" for called in calls)


def _remarks(source: Source, functions: Sequence[_Function]) -> str:
    """Docstrings and comments that may say why an import is inside a function: its own and the module's."""
    first, last = _first_line(functions[0]) - 1, functions[0].end_lineno or 0
    docstrings = [ast.get_docstring(node) or "" for node in (source.tree, *functions)]
    comments = [text for line, column, text in _comments(source.text) if column == 0 or first <= line <= last]
    return "\n".join([*docstrings, *comments])


def _comments(text: str) -> list[tuple[int, int, str]]:
    """(line, column, comment) of each."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [(*token.start, token.string) for token in tokens if token.type == tokenize.COMMENT]


def as_text(found: Structure) -> str:
    """The table as text: one number per row, and below it what needs fixing."""
    unexplained = [one for one in found.late_imports if not one.explained]
    repeated = {word: places for word, places in found.words.items() if len(places) > 1}
    rows: list[tuple[str, int, list[str]]] = [
        ("files", found.files, []),
        ("lines", found.lines, []),
        ("rooms", len(found.rooms), []),
        ("arrows between rooms", len(found.arrows), []),
        ("circles of files", len(found.circles), [" ".join(circle) for circle in found.circles]),
        ("longest file", found.longest_file.lines, [found.longest_file.where]),
        ("longest function", found.longest_function.lines, [found.longest_function.where]),
        (
            f"files above {MOST_LINES} lines",
            len(found.long_files),
            [f"{one.lines:5} {one.where}" for one in found.long_files],
        ),
        ("imports inside functions", len(found.late_imports), []),
        ("  without a reason", len(unexplained), [f"{one.where} {one.what}" for one in unexplained]),
        ("places with a contract word", sum(map(len, found.words.values())), []),
        (
            "  words in several places",
            len(repeated),
            [f"{word}: {' '.join(places)}" for word, places in repeated.items()],
        ),
    ]
    width = max(len(name) for name, _, _ in rows)
    lines = []
    for name, value, details in rows:
        lines.append(f"{name:<{width}} {value:6}")
        lines += [f"    {detail}" for detail in details]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.structure", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1], metavar="FOLDER")
    parser.add_argument("-o", dest="output", choices=("text", "json"), default="text")
    asked = parser.parse_args()
    try:
        found = measure(read(asked.folder))
    except ValueError as error:
        parser.error(f"{asked.folder}: {error}")
    print(json.dumps(dataclasses.asdict(found), indent=2) if asked.output == "json" else as_text(found))


if __name__ == "__main__":
    main()
