"""The life of a run through its commands: cancel, resume on fewer workers, list, status, logs, doctor, delete."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests import runs
from tests.e2e.kit import LONG, Site, until
from trainer.training.checkpoint import Snapshot

pytestmark = pytest.mark.timeout(600, func_only=True)  # setting up may build for minutes

NAME = "storied"


def objects(site: Site) -> list[str]:
    found = site.get("jobs,jobsets,services,pods", "-l", f"app.kubernetes.io/instance={NAME}")["items"]
    return [f"{one['kind']}/{one['metadata']['name']}" for one in found]


def listed(site: Site) -> dict[str, str]:
    """Phase by name, from `catdog list`."""
    return {str(row["name"]): str(row["phase"]) for row in site.answer("list")}


COUNTED = """
import sys
from k8s.api import client
from k8s.cli import main
asked, send = [], client._open
client._open = lambda *given, **named: asked.append(given) or send(*given, **named)
sys.argv = ["catdog", "list", "--namespace", sys.argv[1]]
try:
    main()
finally:
    print(len(asked), file=sys.stderr)
"""


def requests_of_a_listing(site: Site) -> int:
    """How many requests to the API server `catdog list` makes."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, site.namespace],
        env={**os.environ, **site.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return int(done.stderr.split()[-1])


def test_a_cancelled_run_resumes_with_fewer_workers_and_is_deleted_on_request(
    site: Site, data: tuple[Path, str], undisturbed: Snapshot, tmp_path: Path
) -> None:
    site.submit(NAME, "--gpus", 0, "--workers", 2, "--data", data[1], *LONG, "--no-follow")
    until("a checkpoint is there", lambda: site.saved_step(NAME) >= 20)
    assert listed(site)[NAME] == site.status(NAME)["phase"] == "running"
    site.catdog("cancel", NAME)
    assert objects(site) == []
    state = site.state(NAME)
    assert (state["state"], state["exit_code"]) == ("cancelled", 143), state
    assert state["step"] == site.saved_step(NAME) < undisturbed.state.step
    assert listed(site)[NAME] == site.status(NAME)["phase"] == "cancelled"

    site.catdog("resume", NAME, "--gpus", 0, "--workers", 1, "--no-follow")
    said = site.catdog("logs", NAME, "--follow", timeout=400).out
    assert f"step {state['step']}" in said, "it did not say where it resumes:\n" + said
    until("the run has succeeded", lambda: site.status(NAME)["phase"] == "succeeded")
    assert listed(site)[NAME] == "succeeded"
    assert json.loads(site.catdog("wait", NAME, "-o", "json").out)["phase"] == "succeeded"
    assert requests_of_a_listing(site) <= 6
    assert runs.differing(runs.last(site.folder(NAME).uri), undisturbed) == []

    by_name = site.answer("evaluate", NAME, "--data", data[0])
    assert by_name["accuracy"] == json.loads(site.folder(NAME).read("summary.json"))["test"]["accuracy"]

    bundle = tmp_path / "bundle.tar.gz"
    site.catdog("doctor", NAME, "--bundle", bundle)
    with tarfile.open(bundle) as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert {"checks.json", "why.txt", "run.json", "state.json", "config.json"} <= names, names
    assert any(name.startswith(NAME) and name.endswith(".txt") for name in names), names

    site.catdog("delete", NAME)
    assert objects(site) == []
    assert listed(site)[NAME] == site.status(NAME)["phase"] == "succeeded"
    assert site.folder(NAME).stat("model/model.keras") is not None
    site.catdog("delete", NAME, "--folder", "--yes")
    assert list(site.folder(NAME).list()) == []
    site.catdog("status", NAME, code=3)
    assert NAME not in listed(site)
