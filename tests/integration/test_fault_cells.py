"""The quickest cells of the fault matrix (`make faults` runs all): each comes to what the table expects."""

import pytest

from tests.faults import injectors, local
from tests.faults.results import AS_EXPECTED
from tests.faults.table import QUICK, Cell, possible
from tests.servers import FakeGcs

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(not injectors.is_root(), reason="cgroups and mounts need Linux and root"),
]


@pytest.fixture(scope="module")
def bench(gcs_server: FakeGcs, tmp_path_factory: pytest.TempPathFactory) -> local.Bench:
    return local.bench(tmp_path_factory.mktemp("faults"), gcs_server)


@pytest.mark.parametrize("cell", [cell for cell in possible() if cell.name in QUICK], ids=lambda cell: cell.name)
def test_a_fault_comes_to_what_is_expected_and_no_bit_differs(
    bench: local.Bench, monkeypatch: pytest.MonkeyPatch, cell: Cell
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", bench.server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    outcome = local.run_cell(cell, bench)
    assert outcome.verdict == AS_EXPECTED, outcome
