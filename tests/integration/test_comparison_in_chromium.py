"""The comparison of runs in a real browser: one file, nothing fetched, and only its tables scroll sideways."""

import re

import pytest

from tests.browser import dumped, foreign, needs_chromium, probed, proxy, recorded
from tests.unit.trainer.telemetry import run_folders
from trainer.compare import compare
from trainer.requests import CompareRequest

pytestmark = needs_chromium

FRAME = """<body style="margin: 0"><iframe style="border: 0; width: 375px; height: 800px" srcdoc="{}"></iframe><script>
addEventListener("load", () => {{
  const inner = document.querySelector("iframe").contentDocument.documentElement;
  document.documentElement.dataset.overflow = inner.scrollWidth - 375;
}});
</script>"""
"""A window of a phone: Chromium has none narrower than 500 pixels."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    names = ["first", "a-name-without-any-place-to-break-it" * 3, "third", "<b>"]
    made = [run_folders.finished, run_folders.running, run_folders.old, run_folders.finished]
    runs = [str(run_folders.write(folder / name, one())) for name, one in zip(names, made, strict=True)]
    compare(CompareRequest(tuple(runs), html=str(folder / "page.html")))
    return (folder / "page.html").read_text().replace("<details>", "<details open>")


@pytest.mark.parametrize("width", [500, 1280])
def test_the_curves_decode_nothing_is_fetched_and_the_page_does_not_scroll_sideways(tmp_path, page, width):
    with proxy() as (address, asked):
        dom = dumped(probed(page), tmp_path, address, width)
    assert int(recorded(dom, "widths")) == 1800
    assert recorded(dom, "fetched") == ""
    assert foreign(asked) == []
    assert int(recorded(dom, "overflow")) <= 0


def test_on_a_phone_too_the_page_does_not_scroll_sideways(tmp_path, page):
    def overflow(text):
        escaped = text.replace("&", "&amp;").replace('"', "&quot;")
        with proxy() as (address, _):
            return int(recorded(dumped(FRAME.format(escaped), tmp_path, address), "overflow"))

    assert overflow(page) <= 0
    assert overflow(re.sub(r"\.scroll \{[^}]*\}", "", page)) > 0
