"""Random faults over one long run of two workers in the real cluster: a JobSet, which starts again by itself."""

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import runs
from tests.cluster import api, programs
from tests.e2e.kit import Site
from tests.faults.cluster import state_of
from tests.faults.results import Outcome
from tests.faults.soak import LONGEST_WAIT, STEPS_PER_EPOCH, Planned, Progress, outcome_of, plan
from trainer.exits import Exit
from trainer.storage.opening import open_storage

PICTURES = (160, 10, 10)  # of each class, 20 steps an epoch
STEPS_PER_FAULT = 300  # of which many are made while storage is away
EVERY = 0.3  # seconds between looks
ENDING = ("SIGKILL", "SIGTERM")
OPTIONS = ("--recipe", "augmented", "--model", "small", "--image-size", 64, "--batch-size", 16, "--deterministic")
OPTIONS += ("--precision", "float32", "--checkpoint-every", 10)


def soak(site: Site, folder: Path, faults: int, seed: int) -> Outcome:
    """Train undisturbed on this machine, then in the cluster with `faults` faults drawn with `seed`."""
    data = runs.drawn(folder / "data", *PICTURES)
    stored = open_storage(f"{site.bucket}/soak")
    for path in sorted(data.rglob("*.jpg")):
        stored.write(path.relative_to(data).as_posix(), path)
    options = (*OPTIONS, "--epochs", max(2, faults * STEPS_PER_FAULT // STEPS_PER_EPOCH))
    runs.command("train", *options, "--data", data, "--run", folder / "undisturbed", limit=3600)
    name, began = f"soak-{seed}", time.monotonic()
    words = ("--gpus", 0, "--workers", 2, "--shape", "jobset", "--data", stored.uri, *options)
    site.submit(name, *words, "--max-restarts", 3 * faults, "--no-follow")
    run, left = Disturbed(site, name), plan(faults, seed)
    with run.listening():
        while left and run.goes_on:
            run.befall(left.pop(0))
        run.wait(lambda: False, 3600)
        if run.state == "succeeded":
            site.catdog("wait", name)  # the workers have ended too
    minutes = (time.monotonic() - began) / 60
    cell, uri = f"soak/jobset/{faults}-faults/seed-{seed}", site.folder(name).uri
    undisturbed = runs.last(folder / "undisturbed")
    return outcome_of(cell, uri, undisturbed, run.progress, len(left), minutes, run.attempt)


@dataclass
class Disturbed:
    """A run, and what was seen of it: its attempt, the step of that, and at which step each attempt began."""

    site: Site
    name: str
    progress: Progress = field(default_factory=Progress)
    state: str = ""
    last: str = ""  # the kind of the last fault
    attempt: int = 0
    step: int = 0
    began: list[int] = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended, nor stood still for longer than anybody should wait."""
        return not self.progress.problem and self.state != "succeeded"

    def befall(self, fault: Planned) -> None:
        """Do it when its moment has come: after a step, or early in an attempt, and never a third time in a row to an
        attempt that has saved nothing, which would end the run."""
        after, at = self.attempt, self.step
        renewed = self.last in ENDING or self.attempt == 0

        def moment() -> bool:
            if self.attempt > after:
                return fault.early or self.step > self.began[-1]
            return not renewed and self.step > at

        self.wait(moment)
        if len(self.began) > 1 and self.began[-1] == self.began[-2]:
            self.wait(lambda: self.site.saved_step(self.name) > self.began[-1])
        self.wait(lambda: False, fault.delay)
        while self.goes_on and not self._inject(fault):
            self.wait(lambda: False, 1.0)
        self.progress.injected[fault.kind] += 1
        self.last = fault.kind
        print(f"{self.progress.injected.total()}: {fault} at step {self.step} of attempt {self.attempt}", flush=True)

    def _inject(self, fault: Planned) -> bool:
        """Whether it could be done: a worker that is being started again cannot be stopped."""
        cluster, namespace = self.site.cluster, self.site.namespace
        if fault.kind == "storage away":
            api.stop_gcs(cluster)
            try:
                self.wait(lambda: False, fault.seconds)
            finally:
                api.start_gcs(cluster)
            return True
        try:
            pod = self.site.pods(self.name)[fault.rank]["metadata"]["name"]
            if fault.kind == "SIGTERM":
                api.kubectl(cluster, "-n", namespace, "delete", "pod", pod, "--wait=false")
                return True
            api.kill_container(cluster, pod, namespace=namespace, signal=fault.kind)
        except (IndexError, api.ClusterError):
            return False
        if fault.kind == "SIGSTOP":
            self.wait(lambda: False, fault.seconds)
            with suppress(api.ClusterError):  # its pod was deleted meanwhile
                api.kill_container(cluster, pod, namespace=namespace, signal="SIGCONT")
        return True

    def wait(self, ready: Callable[[], bool], seconds: float = LONGEST_WAIT) -> None:
        """Look until it is so, or has been so many seconds, or the run does not go on."""
        deadline = time.monotonic() + seconds
        while self.goes_on and not ready() and time.monotonic() < deadline:
            time.sleep(EVERY)
            self._look()

    def _look(self) -> None:
        found: dict[str, Any] = {}
        with suppress(Exception):  # storage may be away
            found = state_of(self.site, self.name)
        now = time.monotonic()
        if found:
            self.state = found["state"]
            attempt, step = int(found.get("attempt", 0)), int(found["step"])
            if attempt > self.attempt:
                self.attempt, self.step = attempt, step
                self.began.append(step)
            elif step > self.step:
                self.step = step
                self.progress.waits.append(now - self.progress.moved)
                self.progress.moved = now
        if now - self.progress.moved > LONGEST_WAIT:
            self.progress.problem = f"no step for {LONGEST_WAIT:.0f} s"
        elif self.state == "failed" and found and found["exit_code"] != Exit.PEER_LOST:  # after that it goes on
            self.progress.problem = f"the run failed with {found['exit_code']}: {found['reason']}"

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count how the containers of its workers end, for the duration of the block."""
        kubectl = programs.folder(programs.KUBERNETES) / "kubectl"
        template = "{.metadata.uid} {.status.containerStatuses[0].state.terminated.exitCode}{'\\n'}"
        words = ["get", "pods", "-l", f"app.kubernetes.io/instance={self.name}", "-w", "-o", f"jsonpath={template}"]
        argv = [str(kubectl), "--kubeconfig", str(self.site.cluster.kubeconfig), "-n", self.site.namespace, *words]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            thread = threading.Thread(target=self._listen, args=(process,), daemon=True)
            thread.start()
            try:
                yield
            finally:
                process.terminate()
                thread.join(10)

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        codes: dict[str, int] = {}
        for line in process.stdout:
            uid, _, code = line.strip().partition(" ")
            if code:
                codes[uid] = int(code)
                self.progress.codes = Counter(codes.values())
