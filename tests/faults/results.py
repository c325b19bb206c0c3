"""What came of each cell: one JSON object a line, appended as cells are run, committed with the code."""

import dataclasses
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.jsonl")
AS_EXPECTED = "as expected"


@dataclass(frozen=True)
class Outcome:
    """What happened in a cell, or in a soak. Seconds are None where there was nothing to detect or to resume."""

    cell: str
    code: int
    happened: str
    detect_seconds: float | None
    resume_seconds: float | None
    steps_lost: int
    why: str
    verdict: str
    revision: str = ""
    soak: dict[str, Any] | None = None


def read(path: Path = RESULTS) -> dict[str, Outcome]:
    """The newest outcome of each cell, by its name."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
    return {row["cell"]: Outcome(**row) for row in rows}


def append(outcome: Outcome, path: Path = RESULTS) -> None:
    """One more line; it counts instead of an older one of the same cell."""
    kept = {name: value for name, value in dataclasses.asdict(outcome).items() if value is not None or name != "soak"}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(kept, ensure_ascii=False) + "\n")


def revision() -> str:
    """The commit that is checked out, with + if something is changed."""
    here = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "../../trainer", "../../k8s"], cwd=here, capture_output=True, text=True
    )
    return commit.stdout.strip() + ("+" if changed.stdout else "")
