"""`--watch`, in a terminal and without one, and the other forms of `catdog list`."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner, Result

from k8s.actions import folders
from k8s.actions.folders import States
from k8s.api import client as api
from k8s.cli import app
from k8s.terminal import follow as following
from k8s.terminal import listing
from tests.unit.k8s.api.api_server import Api, serve
from tests.unit.k8s.explain.sightings import state
from tests.unit.k8s.explain.worked import WORK

REPOSITORY = Path(__file__).parents[4]
MAP = "/api/v1/namespaces/ml/configmaps/catdog-platform"
CHART = "schema: 1\nimage: catdog:1\nruns: gs://models/runs\npricePerGpuHour: 2.5\ncurrency: EUR\n"


def catdog(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def write(folder: Path, word: str = "running", **more: Any) -> None:
    folder.mkdir(exist_ok=True)
    told = {**state(word, **WORK), "updated": datetime.now(UTC).isoformat(), **more}
    (folder / "new").write_text(json.dumps(told))
    (folder / "new").replace(folder / "state.json")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(following, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(listing, "POLL_SECONDS", 0.02)


class TestStatus:
    def test_without_a_terminal_it_is_a_line_per_change_until_the_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = tmp_path / "r"
        write(run)
        looks = iter([{}, {}, {"step": 240}, {"step": 240}])
        read = folders.read

        def changing(uri: str, name: str) -> Any:
            if name == "state.json" and (more := next(looks, None)) is not None:
                write(run, **more)
            elif name == "state.json":
                write(run, "failed", reason="no disk", exit_code=74)
            return read(uri, name)

        monkeypatch.setattr(folders, "read", changing)
        result = catdog("status", str(run), "--watch")
        assert result.exit_code == 0, result.stderr
        first, second, *rest = result.stdout.splitlines()
        assert first == (
            f"{run}: running, training, epoch 2, step 120 of 1,890, loss 0.4312, 812 examples/s, ETA 1 h 10 min"
        )
        assert "step 240" in second
        assert rest[0] == f"{run} has failed"
        assert any("exit code 74" in line for line in rest)

    def test_a_run_that_has_ended_is_shown_at_once(self, tmp_path: Path) -> None:
        write(tmp_path / "r", "succeeded")
        result = catdog("status", str(tmp_path / "r"), "--watch")
        assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'r'} has succeeded\n")

    def test_a_run_that_does_not_exist_is_missing(self, tmp_path: Path) -> None:
        assert catdog("status", str(tmp_path / "none" / "r"), "--watch").exit_code == 3

    def test_prices_of_a_run_in_a_folder_are_the_profile_s(self, tmp_path: Path) -> None:
        write(tmp_path / "r")
        profile = tmp_path / "config" / "catdog" / "profile.yaml"
        profile.parent.mkdir(parents=True)
        profile.write_text("pricePerGpuHour: 2.5\ncurrency: EUR\n")
        text = catdog("status", str(tmp_path / "r")).stdout
        assert "  cost        4.81 GPU-hours (12.01 EUR) so far, 4.68 (11.69 EUR) to finish, 0.10 (0.25 EUR)" in text
        cost = json.loads(catdog("status", str(tmp_path / "r"), "-o", "json").stdout)["cost"]
        assert cost["amount"] == {"so_far": 12.0139, "to_finish": 11.6944, "lost": 0.25}
        assert (cost["unit"], cost["count"], cost["currency"]) == ("GPU", 4, "EUR")

    def test_json_and_watching_are_a_contradiction(self, tmp_path: Path) -> None:
        for command in (("status", str(tmp_path)), ("list",)):
            result = catdog(*command, "--watch", "-o", "json")
            assert (result.exit_code, "--watch is for people" in result.stderr) == (2, True)


class Terminal:
    """A terminal to start a process on."""

    def __init__(self, columns: int) -> None:
        self._mine, self.its = pty.openpty()
        fcntl.ioctl(self.its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._written = bytearray()
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._mine, 65536):
                with self._changed:
                    self._written.extend(data)
                    self._changed.notify_all()
        except OSError:  # nobody has it open any more
            return

    def await_text(self, text: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: text.encode() in self._written, timeout=60), self._written.decode()

    def close(self) -> str:
        """All that was written to it."""
        self._reader.join(10)
        os.close(self._mine)
        return self._written.decode()


@pytest.mark.parametrize("ends_by", ["Ctrl-C", "the run's end"])
def test_on_a_terminal_it_is_drawn_until_the_end_or_ctrl_c(tmp_path: Path, ends_by: str) -> None:
    run = tmp_path / "r"
    write(run)
    terminal = Terminal(100)
    environment = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    words = [sys.executable, "-c", "from k8s.cli import main; main()", "status", str(run), "--watch"]
    its = terminal.its
    process = subprocess.Popen(
        words, stdin=its, stdout=its, stderr=its, cwd=REPOSITORY, env=environment, start_new_session=True
    )
    os.close(its)
    terminal.await_text("heartbeat")
    if ends_by == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        write(run, "failed")
    assert process.wait(60) == 0
    last = terminal.close().rpartition("\x1b[2K")[2].replace("\r", "")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", last).splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert "\x1b[3" not in last  # NO_COLOR
    assert lines[-1].endswith("\x1b[?25h")  # the cursor is back
    assert lines[0].endswith("r  running, training" if ends_by == "Ctrl-C" else "r  failed")
    assert lines[1].split(maxsplit=1) == ["progress", "epoch 2, step 120 of 1,890" + " " * (90 - 26)]


class TestList:
    @pytest.fixture(autouse=True)
    def cluster(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
        server = Api()
        server.objects[MAP] = {"kind": "ConfigMap", "metadata": {}, "data": {"platform.yaml": CHART}}
        server.objects["/apis/jobset.x-k8s.io/v1alpha2"] = {"kind": "APIResourceList"}
        monkeypatch.setattr(api, "_FIRST_WAIT", 0.001)
        found = {
            "gs://models/runs/old": state("succeeded", exit_code=0, **WORK),
            "gs://models/runs/before": state("failed", exit_code=66),
        }
        closed = {"gs://models/runs/closed": "no permission"}
        monkeypatch.setattr(folders, "states", lambda runs_uri, uris: States(found, closed, ""))
        summary = {"test": {"accuracy": 0.93}}

        def read(uri: str, name: str) -> Any:
            assert uri not in closed
            return (summary if uri.endswith("/old") else None), ""

        monkeypatch.setattr(folders, "read", read)
        with serve(server) as made:
            monkeypatch.setattr("k8s.actions.installation.connect", lambda context, namespace: made)
            yield server

    def test_wide_has_goodput_and_cost(self) -> None:
        heading, *rows = catdog("list", "-o", "wide").stdout.splitlines()
        assert heading.split()[-4:] == ["ETA", "GOODPUT", "HOURS", "COST"]
        assert any(line.endswith("88.9%    4.81 GPU-h  12.01 EUR") for line in rows)
        assert any(line.endswith("folder") for line in rows)

    def test_json_has_them_too(self) -> None:
        rows = {one["name"]: one for one in json.loads(catdog("list", "-o", "json").stdout)}
        old, before = rows["old"], rows["before"]
        assert (old["goodput"], old["cost"]["amount"]["so_far"]) == (pytest.approx(0.8894, abs=1e-4), 12.0139)
        assert (before["goodput"], before["cost"], before["exit_code"]) == (None, None, 66)

    def test_prometheus(self) -> None:
        result = catdog("list", "-o", "prometheus")
        assert result.exit_code == 0
        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(result.stdout)
            for sample in family.samples
        }
        assert found[("catdog_listed_accuracy", "old", "ml", "test")] == 0.93
        assert found[("catdog_listed_run_state", "before", "ml", "failed")] == 1
        assert found[("catdog_listed_exit_code", "before", "ml")] == 66
        assert found[("catdog_listed_cost", "old", "ml")] == 12.0139

    def test_watching_ends_by_ctrl_c(self, monkeypatch: pytest.MonkeyPatch) -> None:
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                raise KeyboardInterrupt

        monkeypatch.setattr(listing.time, "sleep", sleep)
        result = catdog("list", "--watch")
        assert result.exit_code == 0, result.stderr
        assert [line.split()[0] for line in result.stdout.splitlines()] == ["NAME", "old", "before", "closed"]
