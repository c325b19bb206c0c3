from typing import Any

import pytest

from trainer.process.activity import Doing
from trainer.telemetry.profiled import of_run
from trainer.telemetry.profiler import document
from trainer.telemetry.report import ReportInput, render
from trainer.telemetry.traces import Op, Trace

TOLD = {"steps": 10, "last_step": 16, "seconds": 2.0}
SPENT = {Doing.WAITING: 0.1, Doing.TRAINING: 1.7, Doing.VALIDATING: 0.2, Doing.COPYING: 0.0}


def test_the_parts_add_up_to_the_whole() -> None:
    found = document(TOLD, SPENT, 0.05, Trace(10, 1.6, 1.5, (Op("Conv2D", 40, 1.2),)))
    assert found["parts"] == pytest.approx(
        {"input": 0.1, "hooks": 0.05, "call": 1.6, "results": 0.05, "validating": 0.2}
    )
    assert sum(found["parts"].values()) == pytest.approx(found["seconds"])
    assert found["busy"] == 0.75
    without = document(TOLD, SPENT, 0.05, None)
    assert without["parts"] == pytest.approx({"input": 0.1, "hooks": 0.05, "step": 1.65, "validating": 0.2})
    assert "ops" not in without


def test_the_report_shows_parts_and_ops_a_step() -> None:
    found = of_run(document(TOLD, SPENT, 0.05, Trace(10, 1.6, 1.5, (Op("Conv2D", 40, 1.2),))))
    assert found is not None
    assert (found.steps, found.seconds, found.busy) == (10, 0.2, 0.75)
    assert [row.title for row in found.parts][:2] == ["Call of the step", "Validating"]
    assert found.parts[0].share == pytest.approx(0.8)
    (op,) = found.ops
    assert (op.title, op.times, op.seconds, op.share) == ("Conv2D", 4.0, pytest.approx(0.12), pytest.approx(0.6))
    page = render(ReportInput({}, profile=document(TOLD, SPENT, 0.05, Trace(10, 1.6, 1.5, (Op("Conv2D", 40, 1.2),)))))
    assert "A step, profiled" in page
    assert "<code>Conv2D</code>" in page
    assert "A step, profiled" not in render(ReportInput({}))


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        {},
        {"steps": 0, "seconds": 1.0},
        {"steps": 1, "seconds": float("nan")},
        {"steps": "ten", "seconds": 1.0},
        {"steps": 1, "seconds": 1.0, "parts": [], "ops": {"op": 1}},
        {"steps": 1, "seconds": 1.0, "parts": {"input": "x", "<b>": 1.0}, "ops": [None, {"op": "<i>"}], "busy": "y"},
    ],
)
def test_an_odd_document_makes_no_odd_page(odd: Any) -> None:
    page = render(ReportInput({}, profile=odd))
    assert "<b>" not in page
    assert "<i>" not in page
