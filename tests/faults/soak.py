"""Many random faults over one long run of two local workers, which ends with the bits of the undisturbed run."""

import json
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests import runs
from tests.faults import injectors
from tests.faults.results import AS_EXPECTED, Outcome, revision
from tests.faults.watched import Watched, watched
from tests.servers import FakeGcs, FaultProxy, Faults, fault_proxy
from trainer.config import RunConfig
from trainer.contract import SUMMARY
from trainer.storage.opening import open_storage
from trainer.training.checkpoint import Snapshot
from trainer.workers.standing import SILENT_SECONDS

KINDS = ("SIGKILL", "SIGTERM", "SIGSTOP", "storage away")
STEPS_PER_FAULT = 150
STEPS_PER_EPOCH = 20
LONGEST_STOP, LONGEST_OUTAGE = 25.0, 20.0
LONGEST_WAIT = 300.0
"""Seconds that nothing may be waited for longer."""
ENDINGS = (137, 143, 75)
"""How an attempt may end: killed; stopped; a worker that stood still was given up by the others, and then went on."""


@dataclass(frozen=True)
class Planned:
    """One fault. `delay` counts from the start of the attempt if `early`, else from its first step, or from the fault
    before; it and `seconds`, how long the fault lasts, are in seconds."""

    kind: str
    rank: int
    early: bool
    delay: float
    seconds: float


def plan(faults: int, seed: int) -> list[Planned]:
    """The same faults for the same seed."""
    draw = random.Random(seed)
    planned = []
    for _ in range(faults):
        kind, early = draw.choice(KINDS), draw.random() < 0.2
        longest = {"SIGSTOP": LONGEST_STOP, "storage away": LONGEST_OUTAGE}.get(kind, 0.0)
        delay, seconds = draw.uniform(0.0, 5.0), draw.uniform(min(1.0, longest), longest)
        planned.append(Planned(kind, draw.randrange(2), early, delay, seconds))
    return planned


@dataclass
class Progress:
    """What the soak has come to so far; `waits` are the seconds between one sign of progress and the next."""

    injected: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    moved: float = field(default_factory=time.monotonic)
    problem: str = ""
    began_at: int | None = None  # the newest checkpoint before the last attempt

    def hear(self, attempt: Watched) -> None:
        """Count the waits between the steps of an attempt, and before its first."""
        for at, line in attempt.said:
            if line.startswith("step "):
                self.waits.append(at - self.moved)
                self.moved = at


def config(data: Path, run: str, cache: Path, faults: int, workers: int) -> RunConfig:
    """A run long enough for so many faults."""
    epochs = max(2, faults * STEPS_PER_FAULT // STEPS_PER_EPOCH)
    return runs.config(
        "augmented", data, run, model="small", image_size=64, batch_size=16, epochs=epochs, deterministic=True,
        precision="float32", checkpoint_every=10, log_every=1, workers=workers, cache_dir=str(cache),
        rendezvous_timeout=120.0,
    )  # fmt: skip


def soak(folder: Path, server: FakeGcs, faults: int, seed: int) -> Outcome:
    """Train undisturbed, then once more with `faults` faults drawn with `seed`, started again after each that ends it.

    A fault on an attempt that began where the one before had begun waits for a newer checkpoint, so that no three in a
    row are without progress.
    """
    data, began = runs.drawn(folder / "data", 160, 10, 10), time.monotonic()
    asked = config(data, str(folder / "undisturbed"), folder / "cache", faults, 1)
    undisturbed = _undisturbed(asked)
    print(f"the undisturbed run took {time.monotonic() - began:.0f} s", flush=True)
    run = f"{server.make_bucket(f'soak-{time.time_ns()}')}/run"
    left, progress, began = plan(faults, seed), Progress(), time.monotonic()
    with fault_proxy(server.url) as proxy:
        asked = config(data, run, folder / "cache", faults, 2)
        while not progress.problem and _attempt(asked, proxy, left, progress):
            pass
    minutes = (time.monotonic() - began) / 60
    name, attempts = f"soak/two/{faults}-faults/seed-{seed}", progress.codes.total()
    return outcome_of(name, run, undisturbed, progress, len(left), minutes, attempts)


def outcome_of(
    name: str, run: str, undisturbed: Snapshot, progress: Progress, left: int, minutes: float, attempts: int
) -> Outcome:
    """What a soak has come to, of which `left` faults were not done; `run` is its folder."""
    problem, longest = progress.problem, max(progress.waits, default=0.0)
    if not problem and left:
        problem = f"the run ended before the last {left} faults came"
    problem = problem or runs.difference(runs.last(run), undisturbed)
    if not problem and longest >= LONGEST_WAIT:
        problem = f"{longest:.0f} s without a step"
    summary = {} if progress.problem else json.loads(open_storage(run).read(SUMMARY))
    told = {
        "faults": dict(progress.injected), "attempts": attempts,
        "codes": {str(code): count for code, count in sorted(progress.codes.items())}, "minutes": round(minutes, 1),
        "steps": undisturbed.state.step, "goodput": summary.get("goodput"), "longest_wait_seconds": round(longest, 1),
    }  # fmt: skip
    happened = f"{progress.injected.total()} faults, {attempts} attempts"
    verdict = f"finding: {problem}" if problem else AS_EXPECTED
    return Outcome(name, int(bool(problem)), happened, None, None, 0, "", verdict, revision(), told)


def _undisturbed(asked: RunConfig) -> Snapshot:
    with watched(asked) as process:
        code = process.code(3600)
    assert code == 0, process.output
    return runs.last(asked.run)


def _attempt(asked: RunConfig, proxy: FaultProxy, left: list[Planned], progress: Progress) -> bool:
    """One attempt with the faults that come in it; whether there has to be another one."""
    before = runs.durable_step(asked.run)
    stuck, progress.began_at = before == progress.began_at, before
    environment = {"STORAGE_EMULATOR_HOST": proxy.url, "NO_PROXY": "127.0.0.1"}
    with watched(asked, **environment) as process:
        previous = None
        while left and not process.ended:
            since = previous if previous is not None else _since(process, left[0])
            if stuck and not process.wait_for(lambda: runs.durable_step(asked.run) > before):
                break
            process.wait_for(lambda: False, since + left[0].delay - time.monotonic())
            if process.ended:
                break
            fault = left.pop(0)
            _inject(fault, process, proxy)
            progress.injected[fault.kind] += 1
            if fault.kind in ("SIGKILL", "SIGTERM") or _given_up(fault, process):
                break
            previous = time.monotonic()
        try:
            code = process.code(LONGEST_WAIT if left else 3600)
        except TimeoutError as error:
            code, progress.problem = -1, str(error)
    progress.hear(process)
    progress.codes[code] += 1
    print(f"{progress.injected.total()} faults: {code} at step {process.step}; {process.last_words}", flush=True)
    if code not in (0, *ENDINGS) and not progress.problem:
        progress.problem = f"an attempt ended with {code}: {process.last_words}"
    return code != 0


def _given_up(fault: Planned, process: Watched) -> bool:
    """Whether the others have given up a worker that stood still; if so, the attempt is about to end."""
    if fault.kind != "SIGSTOP" or fault.seconds < SILENT_SECONDS - 5:
        return False
    return process.wait_for(lambda: any("lost: " in line for _, line in process.said), 5)


def _since(process: Watched, fault: Planned) -> float:
    """From when the first fault's delay counts."""
    if not fault.early:
        process.wait_for(lambda: process.first_step_at() is not None)
    return process.began if fault.early else time.monotonic()


def _inject(fault: Planned, process: Watched, proxy: FaultProxy) -> None:
    pid = injectors.trainer_of(process.process.pid, fault.rank)
    match fault.kind:
        case "SIGKILL":
            injectors.send(pid, signal.SIGKILL)
        case "SIGTERM":
            injectors.send(process.process.pid, signal.SIGTERM)
        case "SIGSTOP":
            injectors.send(pid, signal.SIGSTOP)
            process.wait_for(lambda: False, fault.seconds)
            injectors.send(pid, signal.SIGCONT)
        case _:
            proxy.faults = Faults(reset=1.0)
            process.wait_for(lambda: False, fault.seconds)
            proxy.faults = Faults()
