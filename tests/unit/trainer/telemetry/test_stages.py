"""Time and memory by stage, from summary.json of any version."""

from typing import Any

import pytest

from trainer.process.activity import BEFORE, Doing
from trainer.telemetry.report import ReportInput, render
from trainer.telemetry.stages import Stage, of_summary

MIB = 2**20


def told(doing: str, seconds: float, peak: int | None = None) -> dict[str, Any]:
    return {"doing": doing, "seconds": seconds, "peak_bytes": peak}


SUMMARY: dict[str, Any] = {
    "stages": [
        told(BEFORE, 0.5),
        told(str(Doing.IMPORTING), 3.0, 500 * MIB),
        told(str(Doing.COMPILING), 4.0, 900 * MIB),
        told(str(Doing.TRAINING), 100.0, 1000 * MIB),
        told(str(Doing.TESTING), 8.0, 750 * MIB),
        told(str(Doing.EXPORTING), 1.5, 800 * MIB),
    ],
    "memory": {"peak_bytes": 1001 * MIB, "pixel_bytes": 370 * MIB},
}


def test_stages_keep_their_order_and_bars_go_by_memory() -> None:
    found = of_summary(SUMMARY)
    assert found is not None
    assert found.rows[0] == Stage(BEFORE, 0.5, None, 0.0)
    assert found.rows[4] == Stage("testing the model", 8.0, 750 * MIB, 0.75)
    assert (found.peak_bytes, found.pixel_bytes) == (1001 * MIB, 370 * MIB)


def test_what_comes_before_the_first_step_and_after_the_last_is_summed() -> None:
    found = of_summary(SUMMARY)
    assert found is not None
    assert (found.until_first_step, found.after_last_step) == (7.5, 9.5)


@pytest.mark.parametrize(
    "odd",
    [None, {}, 5, [5], [{}], [{"doing": 5, "seconds": 1.0}], [told("x", -1.0)], [told("x", 1e300)], [told("x", True)]],
)
def test_what_is_no_stage_is_left_out(odd: Any) -> None:
    assert of_summary({"stages": odd}) is None
    found = of_summary({"stages": [*(odd if isinstance(odd, list) else ()), told("y", 1.0, -5)]})
    assert found is not None
    assert found.rows == (Stage("y", 1.0, None, 0.0),)
    assert (found.peak_bytes, found.pixel_bytes) == (None, None)


def test_the_page_has_the_table_and_says_what_the_pictures_take() -> None:
    page = render(ReportInput(config={}, summary=SUMMARY))
    assert "7.5 s from the start to the end of the first step, 9.5 s from the last step" in page
    assert "at most 1,001 MiB, 370 MiB of them decoded pictures." in page
    assert page.count('<td class="number">1,000 MiB</td>') == 1
    assert "by stage" not in render(ReportInput(config={}, summary={}))
