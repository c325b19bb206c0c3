"""The report in a real browser: nothing is fetched from elsewhere, and every image decodes."""

import http.server
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest

from trainer.telemetry.figures.confusion import confusion_png
from trainer.telemetry.figures.curves import curves_png
from trainer.telemetry.figures.photos import Mistake, augmentation_png, mistakes_png
from trainer.telemetry.report import ReportInput, render

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH (Debian: apt-get install chromium)"
)

PROBE = """<script>
addEventListener("load", () => {
  const widths = [...document.images].map(image => image.complete ? image.naturalWidth : -1);
  const fetched = performance.getEntriesByType("resource").map(entry => entry.name);
  document.documentElement.dataset.fetched = fetched.filter(name => !name.startsWith("data:")).join(" ");
  document.documentElement.dataset.widths = widths.join(",");
  document.documentElement.dataset.overflow = document.documentElement.scrollWidth - innerWidth;
});
</script>"""
LEAK = '<img src="http://example.test/leak.png">'
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


@pytest.fixture
def proxy():
    """A loopback proxy that refuses everything and keeps what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(502)

        do_CONNECT = do_POST = do_HEAD = do_GET

        def log_message(self, *_):
            """Keep the test output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


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


def dumped(text, folder, proxy_address, width=1200):
    file = folder / "report.html"
    file.write_text(text, encoding="utf-8")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={folder / 'profile'}", f"--proxy-server={proxy_address}", f"--window-size={width},900"),
        *("--virtual-time-budget=1000", "--dump-dom", file.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True)
    return done.stdout


def probed(text):
    """Return the page with its policy replaced by a script that measures it."""
    assert POLICY.search(text)
    return POLICY.sub(PROBE, text)


def recorded(dom, name):
    found = re.search(rf'data-{name}="([^"]*)"', dom)
    assert found, "the probe did not run"
    return found[1]


def foreign(asked):
    """Return what the page asked for: Chromium itself asks Google for the time and for sign-in, whatever the page."""
    hosts = [(path, path.split("://")[-1].split("/")[0].split(":")[0]) for path in asked]
    return [path for path, host in hosts if not host.endswith((".google.com", ".googleapis.com", ".gvt1.com"))]


@pytest.mark.parametrize("width", [500, 1200])
def test_images_decode_nothing_is_fetched_and_the_page_does_not_scroll_sideways(tmp_path, proxy, width):
    address, asked = proxy
    dom = dumped(probed(page()), tmp_path, address, width)
    widths = recorded(dom, "widths").split(",")
    assert len(widths) == 4
    assert all(int(width) > 0 for width in widths)
    assert recorded(dom, "fetched") == ""
    assert foreign(asked) == []
    assert int(recorded(dom, "overflow")) <= 0


def test_the_probe_sees_a_broken_image_and_a_request(tmp_path, proxy):
    address, asked = proxy
    broken = probed(page()).replace("data:image/png;base64,iVBOR", "data:image/png;base64,AAAAA", 1)
    dom = dumped(broken.replace("</main>", LEAK + "</main>"), tmp_path, address)
    assert recorded(dom, "widths").split(",").count("0") == 2
    assert recorded(dom, "fetched") == "http://example.test/leak.png"
    assert foreign(asked) == ["http://example.test/leak.png"]


def test_the_policy_of_the_page_stops_a_request(tmp_path, proxy):
    address, asked = proxy
    dumped(page().replace("</main>", LEAK + "</main>"), tmp_path, address)
    assert foreign(asked) == []
