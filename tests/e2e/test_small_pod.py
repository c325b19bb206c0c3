"""A pod with little memory and disk trains on several times as much from the bucket, and is neither killed nor evicted.

By default on 1 GiB, for some steps. CATDOG_E2E_GIB=10 takes 10 GiB of pictures as phones make them, packed, and as
cameras do, loose, for an epoch of each: half an hour, and as much disk on this machine.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.e2e.kit import Site, until
from tests.e2e.usage import Usage, watched
from tests.plenty import Plenty, photograph
from trainer.storage.opening import open_storage

pytestmark = pytest.mark.timeout(2400, func_only=True)  # setting up may build for minutes

GIB = 1 << 30
ASKED = float(os.environ.get("CATDOG_E2E_GIB", "0"))


@dataclass(frozen=True)
class Case:
    """Pictures of so many GiB, with these sides; the pod's limits in GiB; and options of the run."""

    pictures: float
    sides: tuple[int, int]
    packed: bool
    memory: float
    disk: float
    options: tuple[object, ...] = ()


CASES = {"some": Case(1, (640, 480), True, 2, 0.25, ("--steps", 40))}
if ASKED:
    CASES = {
        "phone": Case(ASKED, (1600, 1200), True, 2, 1),
        "camera": Case(ASKED, (4000, 3000), False, 2, 1, ("--input", "stream")),
    }


@pytest.mark.parametrize("name", CASES)
def test_it_trains_within_its_limits(new_site: Callable[..., Site], image: str, name: str) -> None:
    case = CASES[name]
    limits = {"memory": f"{case.memory * 1024:.0f}Mi", "ephemeralStorage": f"{case.disk * 1024:.0f}Mi"}
    site = new_site(image, resources={"cpu": "500m", **limits})
    stored = fill(site, case)
    words = ("--recipe", "augmented", "--model", "small", "--image-size", 160, "--batch-size", 64, "--epochs", 1)
    site.submit(name, *words, *case.options, "--data", f"{site.bucket}/data", "--gpus", 0, "--no-follow")
    with watched(until("its container runs", lambda: running(site, name))) as usage:
        site.catdog("wait", name, "--timeout", 2000, code=None, timeout=2100)
    told = [line for line in site.catdog("logs", name).out.splitlines() if "input: " in line]
    state = site.state(name)
    print(f"{name}: {stored >> 20} MiB in {limits}: {usage}; {state['step']} steps; {told}")
    assert "input: stream" in told[0]
    fine(site, name, usage, case)


def fill(site: Site, case: Case) -> int:
    """Make the data set; returns its bytes."""
    pictures = [photograph(seed, *case.sides) for seed in range(4)]
    count = int(case.pictures * GIB / 2 / (sum(map(len, pictures)) / len(pictures)))
    stored = Plenty(pictures, {"train": count, "valid": 8}).store(open_storage(f"{site.bucket}/data"), case.packed)
    assert stored > 0.99 * case.pictures * GIB
    return stored


def running(site: Site, name: str) -> str:
    """The container of the run's pod, once it runs."""
    for pod in site.pods(name):
        for status in pod["status"].get("containerStatuses", ()):
            if "running" in status["state"]:
                return str(status["containerID"])
    return ""


def fine(site: Site, name: str, usage: Usage, case: Case) -> None:
    """Check that one container, never started again, has done all, with a fifth of its limits to spare."""
    [pod] = site.pods(name)
    [status] = pod["status"]["containerStatuses"]
    ended = status["state"].get("terminated", {})
    assert (status["restartCount"], ended.get("reason")) == (0, "Completed"), (status, usage)
    state = site.state(name)
    assert (state["state"], state["restarts"]) == ("succeeded", 0), state
    reasons = {one["reason"] for one in site.get("events")["items"]}
    assert not reasons & {"Evicted", "OOMKilling", "BackOff"}, reasons
    assert 0 < usage.held < 0.8 * case.memory * GIB, usage
    assert 0 < usage.disk < 0.8 * case.disk * GIB, usage
