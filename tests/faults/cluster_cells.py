"""The cells of the matrix that need the cluster; started by `python -m tests.faults run`, with the fixtures of
tests/e2e. Not collected otherwise."""

import os
from pathlib import Path

import pytest

from tests.e2e.kit import Site
from tests.faults import results
from tests.faults.cluster import ENV_CELLS, ENV_SOAK, LIMIT, run_cell
from tests.faults.cluster_soak import soak
from tests.faults.table import Cell, possible
from trainer.training.checkpoint import Snapshot

ASKED = os.environ.get(ENV_CELLS, "").split(",")
SOAKS = [tuple(map(int, one.split("/"))) for one in os.environ.get(ENV_SOAK, "").split()]


@pytest.mark.timeout(LIMIT + 900, func_only=True)
@pytest.mark.parametrize("cell", [cell for cell in possible() if cell.name in ASKED], ids=lambda cell: cell.name)
def test_cell(site: Site, data: tuple[Path, str], undisturbed: Snapshot, cell: Cell) -> None:
    outcome = run_cell(site, data[1], undisturbed, cell)
    results.append(outcome)
    assert outcome.verdict == results.AS_EXPECTED, outcome


@pytest.mark.timeout(7200, func_only=True)
@pytest.mark.parametrize(("faults", "seed"), SOAKS)
def test_soak(site: Site, tmp_path: Path, faults: int, seed: int) -> None:
    outcome = soak(site, tmp_path, faults, seed)
    results.append(outcome)
    assert outcome.verdict == results.AS_EXPECTED, outcome
