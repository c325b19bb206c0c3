"""A run whose worker crashes again and again ends itself, names the first cause, and can be resumed."""

from pathlib import Path
from typing import Any

import pytest

from tests.cluster import api
from tests.e2e.kit import Site, until

pytestmark = [pytest.mark.timeout(1200, func_only=True), pytest.mark.leaves]  # setting up may build for minutes

LIMIT = 400.0  # the controllers' back-off, and a minute of our own
ENDLESS = ("--gpus", 0, "--recipe", "augmented", "--model", "small", "--image-size", 48, "--batch-size", 16)
ENDLESS += ("--epochs", 5000, "--checkpoint-every", 100_000, "--grace-period", 30)


def begun(site: Site, name: str, before: set[str]) -> str:
    """The writer of an attempt that runs and is not one of those before; empty while there is none."""
    state = site.state(name)
    writer = str(state.get("writer", ""))
    return writer if state.get("state") == "running" and writer not in before else ""


def worker(site: Site, name: str, rank: int) -> Any:
    """The pod of a rank that runs now; None while there is none."""
    running = [pod for pod in site.pods(name) if pod["status"]["phase"] == "Running"]
    index = "batch.kubernetes.io/job-completion-index"
    return next((pod for pod in running if pod["metadata"]["labels"][index] == str(rank)), None)


def test_a_crash_loop_ends_with_79_and_the_first_cause_and_can_be_resumed(site: Site, data: tuple[Path, str]) -> None:
    """A JobSet, which cannot reset its count of restarts. Real processes do the same in the unit tests, in seconds."""
    name, seen = "crash-loop", set[str]()
    site.submit(name, *ENDLESS, "--workers", 2, "--shape", "jobset", "--data", data[1], "--no-follow")
    for attempt in range(3):
        writer = until(f"attempt {attempt} of {name}", lambda: begun(site, name, seen), limit=LIMIT)
        seen.add(writer)
        pod = until(f"the victim of {name}", lambda: worker(site, name, 1))
        api.kill_container(site.cluster, pod["metadata"]["name"], namespace=site.namespace)
    state = until(f"{name} has failed", lambda: site.ended(name), limit=LIMIT)
    assert (state["state"], state["exit_code"]) == ("failed", 79), state
    told = site.answer("why", name)["causes"][0]
    assert told["kind"] == "no-progress", told
    assert "3 attempts in a row have ended without any checkpoint" in told["cause"]
    assert "exit code 75: a peer was lost: rank 1" in told["cause"]
    assert f"catdog resume {name}" in told["next"]

    site.catdog("resume", name, "--no-follow")
    until(f"{name} runs again", lambda: begun(site, name, seen), limit=LIMIT)
    site.catdog("delete", name)
