"""`catdog report` of a folder whose files somebody else wrote: a page, or one line and a code."""

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import odd
from tests.unit.trainer.folder.test_odd_files import VALID
from trainer import contract
from trainer.exits import Exit, ExitError
from trainer.inference import report
from trainer.requests import ReportRequest

SUMMARY = {
    "recipe": "baseline",
    "parameters": 5,
    "best_epoch": 1,
    "labels": ["cat", "dog"],
    "valid": {"accuracy": 0.5, "loss": 1.0, "accuracy_interval": [0.4, 0.6]},
    "test": {"accuracy": 0.5, "loss": 1.0, "examples": 4, "confusion": [[1, 1], [1, 1]], "recall": [0.5, None]},
    "examples_per_second": 4.0,
    "goodput": 0.9,
    "wall_seconds": 4.0,
    "stages": [{"doing": "compiling", "seconds": 2.0, "peak_bytes": 2**20}],
    "memory": {"peak_bytes": 2**21, "pixel_bytes": 2**19},
}
FILES: dict[str, Any] = {
    contract.CONFIG: VALID[contract.CONFIG],
    contract.STATE: VALID[contract.STATE],
    contract.METRICS: VALID[contract.METRICS],
    contract.SUMMARY: SUMMARY,
    contract.REJECTED: [{"path": "a.png", "reason": "x"}],
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(data=st.data())
def test_a_report_is_made_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    spoilt = data.draw(st.sampled_from([*FILES, contract.FIGURES["confusion"]]))
    for name, value in FILES.items():
        (tmp_path / name).write_text(json.dumps(value))
    (tmp_path / spoilt).parent.mkdir(exist_ok=True)
    (tmp_path / spoilt).write_bytes(data.draw(odd.files(FILES.get(spoilt, {"a": 1}))))
    error = odd.refusal(lambda: report(ReportRequest(str(tmp_path))), ExitError)
    if error is not None:
        assert error.code == Exit.RUN_REFUSED
        assert str(tmp_path) in error.message


def test_the_files_here_give_a_report(tmp_path: Path) -> None:
    for name, value in FILES.items():
        (tmp_path / name).write_text(json.dumps(value))
    assert report(ReportRequest(str(tmp_path))) == Exit.DONE
