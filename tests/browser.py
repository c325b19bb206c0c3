"""A page in a real browser, measured: what it fetches, whether its images decode, whether it scrolls sideways."""

import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_chromium = pytest.mark.skipif(
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
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A loopback proxy that refuses everything and keeps what it was asked for."""
    asked: list[str] = []

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
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def dumped(text: str, folder: Path, proxy_address: str, width: int = 1200) -> str:
    """Return the page's elements after it was loaded in a window that wide, in pixels; Chromium has none below 500."""
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={folder / 'profile'}", f"--proxy-server={proxy_address}", f"--window-size={width},900"),
        *("--virtual-time-budget=1000", "--dump-dom", file.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True)
    return done.stdout


def probed(text: str) -> str:
    """Return the page with its policy replaced by a script that measures it."""
    assert POLICY.search(text)
    return POLICY.sub(PROBE, text)


def recorded(dom: str, name: str) -> str:
    """Return what the probe measured: fetched, widths, or overflow."""
    found = re.search(rf'data-{name}="([^"]*)"', dom)
    assert found, "the probe did not run"
    return found[1]


def foreign(asked: list[str]) -> list[str]:
    """Return what the page asked for: Chromium itself asks Google for the time and for sign-in, whatever the page."""
    hosts = [(path, path.split("://")[-1].split("/")[0].split(":")[0]) for path in asked]
    return [path for path, host in hosts if not host.endswith((".google.com", ".googleapis.com", ".gvt1.com"))]
