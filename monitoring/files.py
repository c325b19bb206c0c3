"""The files that are made from this package: dashboards, rules, the tables in docs/runbooks.md."""

import json
from pathlib import Path

from monitoring import grafana, rules
from monitoring.alerts import RUNBOOKS
from monitoring.dashboards import DASHBOARDS

ROOT = Path(__file__).parents[1]
CHART = Path("helm") / "catdog"
BEGIN = "<!-- Made by `make monitoring` from monitoring/alerts.py; do not edit. -->\n"
END = "<!-- End of what is made. -->\n"


def made(root: Path = ROOT) -> dict[Path, str]:
    """What each file should have; its path is relative to the root of the source.

    Raises:
        ValueError: docs/runbooks.md has no place for the tables.
    """
    dashboards = {
        CHART / "dashboards" / f"{one.uid}.json": json.dumps(grafana.to_json(one), indent=1, ensure_ascii=False) + "\n"
        for one in DASHBOARDS
    }
    book = Path(RUNBOOKS)
    return {
        **dashboards,
        CHART / "rules" / "catdog.yaml": rules.as_yaml(),
        book: with_tables((root / book).read_text()),
    }


def with_tables(book: str) -> str:
    """The runbooks with the tables as they should be. Raises ValueError if they have no place for them."""
    before, begin, rest = book.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{RUNBOOKS} has no lines {BEGIN.strip()!r} and {END.strip()!r}")
    return f"{before}{begin}\n{rules.tables()}\n{end}{after}"


def write(root: Path = ROOT) -> list[Path]:
    """Write the files that differ, remove dashboards that are no more, and return the paths of both."""
    wanted = made(root)
    changed = [path for path, text in wanted.items() if not _is(root / path, text)]
    for path in changed:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(wanted[path])
    old = [one.relative_to(root) for one in (root / CHART / "dashboards").glob("*.json")]
    gone = [path for path in old if path not in wanted]
    for path in gone:
        (root / path).unlink()
    return changed + gone


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text
