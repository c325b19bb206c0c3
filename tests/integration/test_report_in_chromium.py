"""The report in a real browser: nothing is fetched from elsewhere, and every image decodes."""

import numpy as np
import pytest

from tests.browser import dumped, foreign, needs_chromium, probed, proxy, recorded
from trainer.telemetry.figures.confusion import confusion_png
from trainer.telemetry.figures.curves import curves_png
from trainer.telemetry.figures.photos import Mistake, augmentation_png, mistakes_png
from trainer.telemetry.report import ReportInput, render

pytestmark = needs_chromium

LEAK = '<img src="http://example.test/leak.png">'


def page():
    random = np.random.default_rng(0)
    history = [
        {
            "epoch": epoch,
            "step": epoch * 63,
            "train": {"loss": 0.7 / epoch, "accuracy": 1 - 0.5 / epoch},
            "valid": {"loss": 0.4 + 0.01 * abs(epoch - 9), "accuracy": 0.8 - 0.002 * abs(epoch - 12)},
            "learning_rate": 0.001,
            "examples_per_second": 60.0,
            "seconds": 33.0,
        }
        for epoch in range(1, 31)
    ]
    labels, confusion = ["<script>", "dogs"], [[40, 10], [5, 45]]
    pictures = random.integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    return render(
        ReportInput(
            config={"recipe": "article", "epochs": 30, "data": "gs://bucket/" + "very-long-name" * 20},
            state={"state": "succeeded"},
            history=history,
            summary={
                "test": {
                    **{"accuracy": 0.85, "examples": 100, "confusion": confusion, "ece": 0.0197},
                    "thresholds": [{"threshold": 0.95, "answered": 41, "share": 0.41, "accuracy": 0.98}],
                },
                "calibration": {
                    "temperature": 1.83,
                    "valid": {"loss_before": 0.5211, "loss_after": 0.4467, "ece_before": 0.0823, "ece_after": 0.0197},
                },
                "labels": labels,
            },
            figures={
                "curves": curves_png(history),
                "augmentation": augmentation_png(pictures[0], pictures),
                "confusion": confusion_png(np.array(confusion), labels),
                "mistakes": mistakes_png([Mistake(pictures[0], "test/dogs/1.jpg", "dogs", "<script>", 0.9)]),
            },
            rejected=[{"path": "https://example.test/a.jpg", "reason": "<img src='http://example.test/b.png'>"}],
        )
    )


@pytest.mark.parametrize("width", [500, 1200])
def test_images_decode_nothing_is_fetched_and_the_page_does_not_scroll_sideways(tmp_path, width):
    with proxy() as (address, asked):
        dom = dumped(probed(page()), tmp_path, address, width)
        widths = recorded(dom, "widths").split(",")
        assert len(widths) == 4
        assert all(int(width) > 0 for width in widths)
        assert recorded(dom, "fetched") == ""
        assert foreign(asked) == []
        assert int(recorded(dom, "overflow")) <= 0


def test_the_probe_sees_a_broken_image_and_a_request(tmp_path):
    with proxy() as (address, asked):
        broken = probed(page()).replace("data:image/png;base64,iVBOR", "data:image/png;base64,AAAAA", 1)
        dom = dumped(broken.replace("</main>", LEAK + "</main>"), tmp_path, address)
        assert recorded(dom, "widths").split(",").count("0") == 2
        assert recorded(dom, "fetched") == "http://example.test/leak.png"
        assert foreign(asked) == ["http://example.test/leak.png"]


def test_the_policy_of_the_page_stops_a_request(tmp_path):
    with proxy() as (address, asked):
        dumped(page().replace("</main>", LEAK + "</main>"), tmp_path, address)
        assert foreign(asked) == []
