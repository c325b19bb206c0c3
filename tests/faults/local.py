"""Runs a cell of the matrix on this machine, with one process or two local workers (Linux, root, Go)."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import runs
from tests.faults import injectors
from tests.faults.gate import Gate
from tests.faults.results import AS_EXPECTED, Outcome, revision
from tests.faults.table import AWAY, CHECKPOINT_EVERY, STORAGE_TIMEOUT, Cell, expected, odd
from tests.faults.watched import Watched, watched
from tests.servers import FakeGcs, FaultProxy, Faults, fault_proxy
from trainer.config import RunConfig
from trainer.contract import CHECKPOINTS, ENV_HOSTS, ENV_LOCAL_WORKERS, ENV_RANK, MANIFEST, MODEL, STATE
from trainer.training.checkpoint import Snapshot

LIMIT = 300.0
"""Seconds for one attempt."""
NEVER = 124
"""Recorded as the exit code of an attempt that does not end within them."""
STOPPED_SECONDS = 20.0
JUMP_SECONDS = 3.0
DISK_MEGABYTES = 48
KILLS = ("SIGTERM", "SIGKILL", "OOM")
SECOND_SAVE = 20
"""`save` holds the manifest of a checkpoint of this step or a later one: an older one is complete by then."""


@dataclass(frozen=True)
class Bench:
    """What the cells share: a folder, a storage server, pictures, and the end of the undisturbed run."""

    folder: Path
    server: FakeGcs
    data: Path
    undisturbed: Snapshot

    def config(self, run: str, workers: int) -> RunConfig:
        """What the cells train."""
        return _config(self.folder, self.data, run, workers)


def _config(folder: Path, data: Path, run: str, workers: int) -> RunConfig:
    """200 small steps, ten an epoch."""
    return runs.config(
        "augmented", data, run,
        model="small", image_size=32, batch_size=8, epochs=20, deterministic=True, precision="float32",
        checkpoint_every=CHECKPOINT_EVERY, log_every=1, workers=workers, cache_dir=str(folder / "cache"),
        storage_timeout=STORAGE_TIMEOUT,
    )  # fmt: skip


def bench(folder: Path, server: FakeGcs) -> Bench:
    """Draw the pictures and train once undisturbed, in one process."""
    data, run = runs.drawn(folder / "data", 40, 6, 6), str(folder / "undisturbed")
    runs.train(_config(folder, data, run, 1))
    return Bench(folder, server, data, runs.last(run))


@dataclass
class Trial:
    """A cell while it runs."""

    cell: Cell
    bench: Bench
    run: str
    proxy: FaultProxy
    gate: Gate
    config: RunConfig
    environment: dict[str, str]
    disk: Path | None = None
    clock: injectors.Clock | None = None
    undo: ExitStack = field(default_factory=ExitStack)

    @property
    def victim(self) -> int:
        """The rank that a fault befalls: the one that saves and exports, where it does."""
        return int(self.cell.shape == "two" and self.cell.moment in ("start", "step"))

    @property
    def timed(self) -> float | None:
        """Seconds that the fault lasts; None: until the run has ended."""
        if self.cell.fault == "SIGSTOP" and self.cell.shape == "one":
            return STOPPED_SECONDS
        return AWAY.get(self.cell.fault, JUMP_SECONDS if self.cell.fault == "clock jump" else None)


def run_cell(cell: Cell, shared: Bench) -> Outcome:
    """Run one cell: the fault, what came of it, and the next attempt."""
    with ExitStack() as things:
        trial = _prepared(cell, shared, f"{cell.name.replace('/', '-').lower()}-{time.time_ns()}", things)
        with _started(trial) as first:
            _await_moment(trial, first)
            at, durable = time.monotonic(), runs.durable_step(trial.run)
            _inject(trial, first)
            why = _worst_moment(trial, first, at)
            try:
                code = first.code(LIMIT)
            except TimeoutError:
                code = NEVER
        trial.undo.close()
        detect = _detected(first, at)
        resume, restored, problem = (None, None, "") if code in (0, NEVER) else _resumed(trial)
        lost = 0 if restored is None else max(0, first.step - restored)
        # What never ended, or not the second time either, has nothing to compare.
        difference = "" if problem or code == NEVER else runs.difference(runs.last(trial.run), shared.undisturbed)
        problem = problem or odd(expected(cell), code, lost, restored, durable, difference)
        happened = first.last_words or f"ended with {code} at step {first.step}"
    return Outcome(
        cell.name, code, _plain(happened, shared, trial), detect, resume, lost, _plain(why, shared, trial),
        f"finding: {_plain(problem, shared, trial)}" if problem else AS_EXPECTED, revision(),
    )  # fmt: skip


def _plain(text: str, shared: Bench, trial: Trial) -> str:
    """Without places that are other ones each time."""
    return text.replace(trial.run, "RUN").replace(str(shared.folder), "FOLDER").replace(trial.proxy.url, "STORAGE")


def _prepared(cell: Cell, shared: Bench, name: str, things: ExitStack) -> Trial:
    proxy = things.enter_context(fault_proxy(shared.server.url))
    disk = None
    if cell.fault == "disk full":
        disk = things.enter_context(injectors.small_disk(shared.folder / name, DISK_MEGABYTES))
        run = str(disk / "run")
    else:
        run = f"{shared.server.make_bucket(name)}/run"
    gate = Gate(_wanted(cell.moment))
    proxy.before = gate
    environment = {"STORAGE_EMULATOR_HOST": proxy.url, "NO_PROXY": "127.0.0.1"}
    workers = 2 if cell.shape == "two" else 1
    trial = Trial(cell, shared, run, proxy, gate, shared.config(run, workers), environment, disk)
    if cell.fault == "clock jump":
        trial.clock = injectors.Clock(shared.folder / f"{name}.clock")
    things.enter_context(trial.undo)
    return trial


def _wanted(moment: str) -> Callable[[str], bool]:
    match moment:
        case "start":
            return lambda name: name.endswith(f"/{STATE}")
        case "save":
            return lambda name: name.endswith(MANIFEST) and f"/{CHECKPOINTS}/" in name and _step_of(name) >= SECOND_SAVE
        case "end":
            return lambda name: f"/{MODEL}/" in name
    return lambda name: False


def _step_of(name: str) -> int:
    return int(name.split("/step-")[1].split("/")[0])


@contextmanager
def _started(trial: Trial) -> Iterator[Watched]:
    """The first attempt; with a clock, which only one worker may have, the workers are started one by one."""
    if trial.clock is None:
        with watched(trial.config, **trial.environment) as process:
            yield process
        return
    alone = trial.config.workers == 1
    with ExitStack() as gang:
        if not alone:
            ports = ",".join(f"127.0.0.1:{port}" for port in _ports())
            trial.environment |= {ENV_HOSTS: ports, ENV_LOCAL_WORKERS: "2"}
            other = {ENV_RANK: str(1 - trial.victim)}
            others = gang.enter_context(watched(trial.config, **trial.environment, **other))
        rank = {} if alone else {ENV_RANK: str(trial.victim)}
        process = gang.enter_context(watched(trial.config, **trial.environment, **rank, **trial.clock.environment))
        yield process if alone or trial.victim == 0 else others
        if not alone:
            assert others.code(LIMIT) == process.code(LIMIT), f"{others.output}\n{process.output}"


def _ports() -> list[int]:
    """Ports for two workers; the one after rank 0's is free too, for the rendezvous."""
    while True:
        with socket.socket() as one, socket.socket() as next_one, socket.socket() as other:
            one.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            try:
                next_one.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return [port, other.getsockname()[1]]


def _await_moment(trial: Trial, process: Watched) -> None:
    """Wait for the evidence that the moment is there."""
    if trial.disk is not None and trial.cell.moment == "start":
        reached = process.wait_for((trial.disk / "run" / STATE).exists)
    elif trial.disk is not None and trial.cell.moment == "end":
        reached = process.wait_for(lambda: runs.durable_step(trial.run) == trial.bench.undisturbed.state.step)
    elif trial.cell.moment == "step" or trial.disk is not None:
        reached = process.wait_for(lambda: process.step > SECOND_SAVE and runs.durable_step(trial.run) > 0)
    else:
        reached = process.wait_for(trial.gate.reached.is_set)
    assert reached, f"{trial.cell.name}: {trial.cell.moment} never came:\n{process.output}"


def _inject(trial: Trial, process: Watched) -> None:
    """Do it; what has to be undone is in `trial.undo`."""
    fault, proxy = trial.cell.fault, trial.proxy
    pid = injectors.trainer_of(process.process.pid, trial.victim)
    match fault:
        case "SIGTERM":
            injectors.send(process.process.pid, signal.SIGTERM)
        case "SIGKILL":
            injectors.send(pid, signal.SIGKILL)
        case "SIGSTOP":
            injectors.send(pid, signal.SIGSTOP)
            trial.undo.callback(injectors.send, pid, signal.SIGCONT)
        case "OOM":
            injectors.take_memory(trial.undo.enter_context(injectors.without_memory()), pid)
        case "packet loss":
            trial.undo.enter_context(injectors.packet_loss())
        case "storage slow":
            proxy.faults = Faults(latency=1.0)
            trial.undo.callback(setattr, proxy, "faults", Faults())
        case "disk full":
            assert trial.disk is not None
            leave = _half_a_checkpoint(trial.disk) if trial.cell.moment == "save" else 0
            trial.undo.callback(injectors.fill(trial.disk, leave).unlink)
        case "clock jump":
            assert trial.clock is not None
            trial.clock.jump(2 * injectors.HOUR)
            trial.undo.callback(trial.clock.jump, -2 * injectors.HOUR)
        case _:
            proxy.faults = Faults(reset=1.0)
            trial.undo.callback(setattr, proxy, "faults", Faults())
    dies = fault in ("SIGKILL", "OOM") and trial.victim == 0
    trial.gate.open(dropped=dies or fault.startswith("away"))


def _half_a_checkpoint(disk: Path) -> int:
    folder = next(path.parent for path in sorted(disk.glob(f"run/{CHECKPOINTS}/*/{MANIFEST}")))
    return sum(path.stat().st_size for path in folder.iterdir()) // 2


def _worst_moment(trial: Trial, process: Watched, at: float) -> str:
    """Let the fault last as long as it shall; return what `catdog why` says meanwhile, or after a killed run's end."""
    asked: list[str] = []
    asking = threading.Thread(target=lambda: asked.append(_why(trial)))
    if trial.timed is not None:
        asking.start()
        process.wait_for(lambda: False, trial.timed - (time.monotonic() - at))
        trial.undo.close()
    elif trial.cell.fault in KILLS:
        process.wait_for(lambda: process.ended, LIMIT)
        asking.start()
    else:
        process.wait_for(lambda: process.trouble_after(at), STOPPED_SECONDS)
        asking.start()
    asking.join()
    return asked[0]


def _why(trial: Trial) -> str:
    program = [sys.executable, "-c", "from k8s.cli import main; main()", "why", trial.run]
    try:
        done = subprocess.run(program, capture_output=True, text=True, timeout=90, env=_with(trial.environment))
    except subprocess.TimeoutExpired:
        return "no answer within 90 s"
    return " ".join((done.stdout or done.stderr).split())


def _with(environment: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **environment}


def _detected(process: Watched, at: float) -> float | None:
    """Seconds until the run said so or ended; None if there was nothing to say."""
    code = process.process.returncode
    found = process.trouble_after(at) or (process.ended if code else None)
    return None if found is None else round(found - at, 1)


def _resumed(trial: Trial) -> tuple[float | None, int | None, str]:
    """The next attempt: seconds to its first step, the step it began at, and what is wrong with it."""
    for name in (ENV_HOSTS, ENV_LOCAL_WORKERS):
        trial.environment.pop(name, None)
    with watched(trial.config, **trial.environment) as second:
        code = second.code(LIMIT)
    stepped = second.first_step_at()
    seconds = round((stepped or second.ended) - second.began, 1)
    return seconds, second.first, f"the next attempt ended with {code}: {second.last_words}" if code else ""
