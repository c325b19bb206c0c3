"""Record what is created on the machine before it is created, so that `down` can undo it after any crash.

One JSON file per thing, `records/KIND-NAME.json`, written as a temporary file and renamed: after a crash it is complete
or absent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.layout import Layout


def _file(layout: Layout, kind: str, name: str) -> Path:
    return layout.records / f"{kind}-{name.replace('/', '%')}.json"


def remember(layout: Layout, kind: str, name: str, **details: Any) -> None:
    """Write, or replace, the record of one thing."""
    layout.records.mkdir(parents=True, exist_ok=True)
    file = _file(layout, kind, name)
    side = file.with_suffix(".tmp")
    side.write_text(json.dumps({"kind": kind, "name": name, **details}))
    side.rename(file)


def forget(layout: Layout, kind: str, name: str) -> None:
    """Remove the record of a thing that is gone."""
    _file(layout, kind, name).unlink(missing_ok=True)


def remembered(layout: Layout, kind: str) -> dict[str, dict[str, Any]]:
    """All records of `kind`, by name, sorted."""
    found = {}
    for file in sorted(layout.records.glob(f"{kind}-*.json")):
        record = json.loads(file.read_text())
        found[record["name"]] = record
    return found
