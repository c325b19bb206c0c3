"""Runs the fault matrix.

    python -m tests.faults run [--only TEXT] [--shard I/N] [--again]   the cells that results.jsonl lacks
    python -m tests.faults soak [--cluster] [--faults N] [--seed S]    random faults over one long run
    python -m tests.faults page                                        write docs/faults.md

Each outcome is appended to tests/faults/results.jsonl, and the page is written. Exit code 1 if a cell did not come to
what was expected.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tests.faults import injectors, local, page, results, soak, table
from tests.servers import FakeGcs, fake_gcs_server


def chosen(only: str, shard: str, again: bool) -> list[table.Cell]:
    """The cells to run: those that ONLY names, the part I of N, without those that have a result."""
    done = {} if again else results.read()
    asked = [one.split() for one in only.split(",")]
    cells = list(dict.fromkeys(c for one in asked for c in table.possible() if all(word in c.name for word in one)))
    index, _, count = shard.partition("/")
    mine = cells[int(index) - 1 :: int(count)] if shard else cells
    return [cell for cell in mine if cell.name not in done]


def run(cells: list[table.Cell]) -> bool:
    """Run cells one after another; whether all came to what was expected."""
    here = [cell for cell in cells if cell.shape in table.LOCAL and not _needs_own_network(cell)]
    fine = True
    for cell in [cell for cell in cells if _needs_own_network(cell)]:
        again = [sys.executable, "-m", "tests.faults", "run", "--again", "--only", cell.name]
        environment = {**os.environ, "CATDOG_FAULTS_NETWORK": "1"}
        fine = subprocess.run(injectors.in_a_network_of_its_own(again), env=environment).returncode == 0 and fine
    if here:
        fine = _run_here(here) and fine
    if there := [cell for cell in cells if cell.shape in table.CLUSTER]:
        fine = _cluster().run(there) and fine
    return fine


def _cluster() -> ModuleType:
    """It needs the cluster's programs, which local cells do not."""
    from tests.faults import cluster

    return cluster


def _needs_own_network(cell: table.Cell) -> bool:
    local_loss = cell.fault == "packet loss" and cell.shape in table.LOCAL
    return local_loss and "CATDOG_FAULTS_NETWORK" not in os.environ


def _run_here(cells: list[table.Cell]) -> bool:
    fine = True
    with _served() as (folder, server):
        shared = local.bench(folder, server)
        for cell in cells:
            began = time.monotonic()
            try:
                outcome = local.run_cell(cell, shared)
            except (AssertionError, TimeoutError, OSError, RuntimeError):
                traceback.print_exc()
                print(f"{cell.name}: could not be run", flush=True)
                fine = False
                continue
            results.append(outcome)
            print(f"{cell.name}: {outcome.code}, {outcome.verdict} ({time.monotonic() - began:.0f} s)", flush=True)
            fine = fine and outcome.verdict == results.AS_EXPECTED
    return fine


def soak_once(faults: int, seed: int) -> bool:
    """One soak; whether it came to what was expected."""
    with _served() as (folder, server):
        outcome = soak.soak(folder, server, faults, seed)
    results.append(outcome)
    print(f"{outcome.cell}: {outcome.verdict}; {outcome.soak}", flush=True)
    return outcome.verdict == results.AS_EXPECTED


@contextmanager
def _served() -> Iterator[tuple[Path, FakeGcs]]:
    """A folder and a storage server, for this process and its children."""
    with tempfile.TemporaryDirectory(prefix="catdog-faults-") as folder, fake_gcs_server() as server:
        os.environ |= {"STORAGE_EMULATOR_HOST": server.url, "NO_PROXY": "127.0.0.1"}
        yield Path(folder), server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", formatter_class=argparse.RawTextHelpFormatter)
    parser.description = __doc__
    verbs = parser.add_subparsers(dest="verb", required=True)
    running = verbs.add_parser("run")
    running.add_argument(
        "--only", default="", help="words that a cell's name must contain, such as one/SIGKILL; A,B: either"
    )
    running.add_argument("--shard", default="", metavar="I/N")
    running.add_argument("--again", action="store_true", help="also cells that have a result")
    soaking = verbs.add_parser("soak")
    soaking.add_argument("--faults", type=int, default=100)
    soaking.add_argument("--seed", type=int, default=1)
    soaking.add_argument("--cluster", action="store_true", help="two workers as a JobSet instead of local ones")
    verbs.add_parser("page")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what a fault has broken is mended
    fine = True
    if asked.verb == "soak":
        once = _cluster().run_soak if asked.cluster else soak_once
        fine = once(asked.faults, asked.seed)
    elif asked.verb == "run":
        fine = run(chosen(asked.only, asked.shard, asked.again))
    page.write()
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
