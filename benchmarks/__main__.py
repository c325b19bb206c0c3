"""All comparisons, one after the other, and one table: figure, ours, theirs, ratio, target, met or not, machine.

    python -m benchmarks [NAME…] [--out DIR]

Each runs in a process of its own and leaves DIR/NAME.json; with --out benchmarks the figures that the documents tell
are replaced. Nothing else should run on the machine. With CATDOG_TEST_DATA, a data set in folders, those that
can use real pictures do.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import table

COMPARISONS: dict[str, tuple[str, ...]] = {
    "limit": ("--steps", "4"),
    "storage_reads": ("--objects", "1000"),
    "checkpoint_cost": ("--saves", "10"),
    "second_epoch": (),
    "observer_cost": (),
    "feeds": (),
    "index_scale": (),
    "collective": (),
}
"""Module of this package → its arguments here. A new comparison goes here: its `main` hands a table.Result of the same
name to table.publish. All together should take no more than 20 minutes on two idle cores."""
if DATA := os.environ.get("CATDOG_TEST_DATA", ""):
    COMPARISONS |= dict.fromkeys(("streaming", "memory"), ("--data", DATA))


def run(names: list[str], folder: Path) -> int:
    """Run comparisons and show one table; how many of them failed."""
    results, failed = [], 0
    for name in names:
        began = time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.{name}", "--out", str(folder), *COMPARISONS[name]]
        done = subprocess.run(command, stdout=subprocess.DEVNULL)  # its table is part of ours
        print(f"{name}: {time.monotonic() - began:.0f} s, exit {done.returncode}", file=sys.stderr)
        if done.returncode:
            failed += 1
        else:
            results.append(table.of_json(json.loads((folder / f"{name}.json").read_text())))
    table.show(results)
    return failed


def main() -> int:
    """Run what was named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMPARISONS)}; default: all")
    parser.add_argument("--out", type=Path, default=table.FOLDER, help="folder for the JSON (default: %(default)s)")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(COMPARISONS):
        parser.error(f"no comparison {min(unknown)!r}")
    return 1 if run(asked.names or list(COMPARISONS), asked.out) else 0


if __name__ == "__main__":
    raise SystemExit(main())
