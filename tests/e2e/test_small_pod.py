"""A pod with little memory and disk trains on many times as much from the bucket, and is neither killed nor evicted.

By default on 1 GiB; CATDOG_E2E_GIB=10 takes ten, which is 5 minutes and as much disk on this machine.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.e2e.kit import Site, until
from tests.e2e.usage import Usage, watched
from tests.plenty import Plenty, photograph
from trainer.storage.opening import open_storage

pytestmark = pytest.mark.timeout(1800, func_only=True)  # setting up may build for minutes

GIB = 1 << 30
TOTAL = float(os.environ.get("CATDOG_E2E_GIB", "1")) * GIB
BATCH = 64


@dataclass(frozen=True)
class Size:
    """Limits of a pod in GiB, and the sides of the pictures that it trains on."""

    memory: float
    disk: float
    sides: tuple[int, int]
    packed: bool
    input: str


SIZES = {
    "packed": Size(2, min(1, TOTAL / GIB / 4), (1600, 1200), packed=True, input="auto"),
    "photographs": Size(2, min(1, TOTAL / GIB / 4), (4000, 3000), packed=False, input="stream"),
}


@pytest.mark.parametrize("kind", SIZES)
def test_it_trains(new_site: Callable[..., Site], image: str, kind: str) -> None:
    size = SIZES[kind]
    limits = {"memory": f"{size.memory * 1024:.0f}Mi", "ephemeralStorage": f"{size.disk * 1024:.0f}Mi"}
    site = new_site(image, resources={"cpu": "500m", **limits})
    pictures = [photograph(seed, *size.sides) for seed in range(4)]
    plenty = Plenty(pictures, {"train": int(TOTAL / 2 / (sum(map(len, pictures)) / 4)), "valid": 8})
    stored = plenty.store(open_storage(f"{site.bucket}/data"), size.packed)
    assert stored > 0.95 * TOTAL

    words = ("--recipe", "augmented", "--model", "small", "--image-size", 160, "--batch-size", BATCH, "--epochs", 1)
    words += ("--input", size.input, "--data", f"{site.bucket}/data", "--gpus", 0, "--no-follow")
    site.submit("small", *words)
    container = until("its container runs", lambda: running(site))
    with watched(container) as usage:
        site.catdog("wait", "small", "--timeout", 1500, timeout=1600)
    log = site.catdog("logs", "small").out
    told = next(line for line in log.splitlines() if "input: " in line)
    steps = site.state("small")["step"]
    print(f"{kind}: {stored >> 20} MiB in {limits}: {usage}; {steps} steps; {told}")
    assert "input: stream" in told
    fine(site, usage, size)


def running(site: Site) -> str:
    """The container of the run's pod, once it runs."""
    for pod in site.pods("small"):
        for status in pod["status"].get("containerStatuses", ()):
            if "running" in status["state"]:
                return str(status["containerID"])
    return ""


def fine(site: Site, usage: Usage, size: Size) -> None:
    """Check that one container, never restarted, has done all, within its limits."""
    [pod] = site.pods("small")
    [status] = pod["status"]["containerStatuses"]
    assert (status["restartCount"], status["state"]["terminated"]["reason"]) == (0, "Completed"), status
    state = site.state("small")
    assert (state["state"], state["restarts"]) == ("succeeded", 0), state
    reasons = {one["reason"] for one in site.get("events")["items"]}
    assert not reasons & {"Evicted", "OOMKilling", "BackOff"}, reasons
    assert 0 < usage.held < 0.8 * size.memory * GIB, usage
    assert 0 < usage.disk < 0.8 * size.disk * GIB, usage
