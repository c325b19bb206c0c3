"""One table of a machine with GPUs, in ten minutes: images/s, memory, exactness, start.

    python -m benchmarks.gpu [--require] [--try-on-cpu]

images/s of the step of `augmented` (the article's size, 256 pictures a GPU, on the devices already) by precision, with
XLA (auto-clustering) and without, and with NCCL on 1, 2, 4 … GPUs; the most memory that TensorFlow used on one; whether
--deterministic gives the same bits on 1, 2 and all GPUs; from the start of a process to the result of its first step;
and what a core of this machine feeds (`benchmarks.feeds`). Each case is a process of its own, taken in turns; medians.

Without a GPU it says so in a line and ends with 0, or with 2 where one is required. --try-on-cpu runs two small cases
on a CPU as two devices: to see that this program works, not to measure anything.
"""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks import table
from benchmarks.table import Figure, Result

ROUNDS = 3  # ten minutes are too short for five starts of each case
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
XLA = {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2"}
SLICES = 8


@dataclass(frozen=True)
class Case:
    """One process: what it trains on and how; `rows` are pictures a device."""

    precision: str
    devices: int = 1
    xla: bool = False
    deterministic: bool = False
    rows: int = 256
    side: int = 180
    steps: int = 30
    kind: str = "gpu"

    @property
    def name(self) -> str:
        """In words, unique among the cases."""
        kind = self.kind.upper()
        told = f"{self.precision}, {self.devices} {kind}{'' if self.devices == 1 else 's'}"
        return told + (", XLA" if self.xla else "") + (", --deterministic" if self.deterministic else "")


def cases(gpus: int) -> list[Case]:
    """What is measured on a machine with so many GPUs."""
    counts = [count for count in (1, 2, 4, 8) if count <= gpus]
    alone = [Case(precision, xla=xla) for precision in PRECISIONS for xla in (False, True)]
    together = [Case("mixed_bfloat16", count) for count in counts if count > 1]
    exact = [Case("float32", count, deterministic=True, rows=256 // count, steps=10) for count in counts]
    return [*alone, *together, *exact]


TRIED = [Case("float32", count, deterministic=True, rows=8 // count, side=96, steps=2, kind="cpu") for count in (1, 2)]


def work(case: Case, started: float) -> dict[str, Any]:
    """In a child: train some steps; images/s, memory, a digest of the weights, and seconds from `started` (Unix time)
    to the first result."""
    import numpy as np
    import tensorflow as tf

    from benchmarks.limit import noise
    from trainer.data.augment import transforms
    from trainer.data.pipeline import Feed
    from trainer.recipes import augmented
    from trainer.training import strategy
    from trainer.training.feeding import to_devices
    from trainer.training.learner import build_learner, copy_to_host
    from trainer.training.step import augmentation_of, build_train_step
    from trainer.training.task import lay_out
    from trainer.workers.topology import ALONE

    batch = case.rows * case.devices
    config = dataclasses.replace(
        augmented(), batch_size=batch, image_size=case.side, precision=case.precision, devices=case.devices,
        deterministic=case.deterministic, slices=SLICES, accelerator=case.kind,
    )  # fmt: skip
    devices = strategy.configure(config, {})
    distribution = strategy.distribute(ALONE, devices, {})
    strategy.set_precision(case.precision)
    layout = lay_out(config, distribution.replicas)
    learner = build_learner(config, 2, distribution.strategy)
    step = build_train_step(distribution.strategy, learner, "train", config, layout)
    pictures, ids = noise(batch, case.side), np.arange(batch, dtype=np.int64)
    matrices = transforms(augmentation_of(config), 0, 0, ids, case.side)

    def part(replica: int) -> Feed:
        rows = layout.rows_of(replica)
        count = rows.stop - rows.start
        ones = np.ones(count, np.float32)
        return Feed(pictures.pixels[rows], matrices[rows], pictures.labels[rows], ones, ids[rows], rows.start)

    feeds = to_devices(distribution, tuple(part(replica) for replica in distribution.local), 0.0)

    def train(number: int) -> Any:
        return step(feeds, tf.constant(number, tf.int64), tf.constant(1e-4))

    train(0).sums.numpy()
    start = time.time() - started
    train(1).sums.numpy()
    began = time.perf_counter()
    for number in range(2, 2 + case.steps):
        last = train(number)
    last.sums.numpy()
    seconds = time.perf_counter() - began
    digest = hashlib.sha256()
    for name, array in sorted(copy_to_host(learner.weights).items()):
        digest.update(name.encode() + array.tobytes())
    memory = max([peak() for peak in _peaks(strategy.gpu_memory(devices))], default=None)
    return {
        "images_per_second": batch * case.steps / seconds,
        "start_seconds": start,
        "peak_bytes": memory,
        "weights_sha256": digest.hexdigest(),
        "models": list(strategy.gpu_models(devices)),
    }


def _peaks(read: Mapping[str, Callable[[], tuple[float, float]]]) -> list[Callable[[], float]]:
    return [lambda one=one: one()[1] for one in read.values()]  # type: ignore[misc]


def child(case: Case) -> dict[str, Any]:
    """Run a case in a process of its own.

    Raises:
        SystemExit: it failed; what it wrote has been shown.
    """
    environment = {**os.environ, **(XLA if case.xla else {})}
    asked = json.dumps({"case": asdict(case), "started": time.time()})
    command = [sys.executable, "-m", "benchmarks.gpu", "--case", asked]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=300)
    if done.returncode:
        raise SystemExit(f"{case.name}: exit {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def count_gpus() -> int:
    """GPUs that TensorFlow sees, asked in a process of its own, so that this one holds none."""
    code = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    return int(done.stdout.split()[-1]) if done.returncode == 0 else 0


def figures(measured: Mapping[Case, list[dict[str, Any]]]) -> dict[str, Figure]:
    """The table, from what the children of each case told."""

    def middle(case: Case, name: str) -> float | None:
        values = [one[name] for one in measured[case] if one[name] is not None]
        return table.medians({"": values})[""] if values else None

    found: dict[str, Figure] = {}
    for case in measured:
        key = case.name.replace(", ", "_").replace(" ", "_").replace("--", "").lower()
        plain = dataclasses.replace(case, xla=False)
        one = dataclasses.replace(case, devices=1)
        rate = middle(case, "images_per_second")
        if case.xla and plain in measured:
            base, told = middle(plain, "images_per_second"), "without XLA"
        elif case.devices > 1 and one in measured and not case.deterministic:
            base, told = middle(one, "images_per_second"), f"1 GPU ({case.devices} would be ideal)"
        else:
            base, told = None, ""
        found[key] = Figure(f"step, {case.name}", "images/s", rate, base, told)
        found[f"{key}_memory"] = Figure(f"most memory, {case.name}", "GiB", _gib(middle(case, "peak_bytes")))
        found[f"{key}_start"] = Figure(f"process to first result, {case.name}", "s", middle(case, "start_seconds"))
    digests = {one["weights_sha256"] for case, told in measured.items() if case.deterministic for one in told}
    exact = Figure("different weights over all --deterministic cases and rounds", "", float(len(digests)), target=1.0)
    return {**found, "exactness": dataclasses.replace(exact, at_least=False)}


def _gib(value: float | None) -> float | None:
    return None if value is None else value / 2**30


def measure(chosen: list[Case], rounds: int) -> Result:
    """All cases, in turns."""
    measured: dict[Case, list[dict[str, Any]]] = {case: [] for case in chosen}
    for number in range(rounds):
        for case in chosen:
            if case.deterministic and number > 1:
                continue  # twice is enough to see that bits are the same
            measured[case].append(child(case))
            print(f"{case.name}: {measured[case][-1]['images_per_second']:,.0f} images/s", file=sys.stderr)
    told = {case.name: values for case, values in measured.items()}
    from benchmarks.feeds import of_data  # here: it imports TensorFlow, which would hold the GPUs

    fed = {f"feeds_{key}": figure for key, figure in of_data("", rounds).figures.items()}
    return Result("gpu", {**figures(measured), **fed}, {"cases": told})


def main() -> int:
    """Measure, or say that there is nothing to measure on."""
    parser = table.options(__doc__)
    parser.set_defaults(rounds=ROUNDS)
    parser.add_argument("--require", action="store_true", help="end with 2 where there is no GPU")
    parser.add_argument("--try-on-cpu", action="store_true", help="run two small cases on a CPU, to try this program")
    parser.add_argument("--case", default="", help="what a child of this program is told")
    asked = parser.parse_args()
    if asked.case:
        told = json.loads(asked.case)
        print(json.dumps(work(Case(**told["case"]), told["started"])))
        return 0
    if asked.try_on_cpu:
        table.show([dataclasses.replace(measure(TRIED, 1), benchmark="gpu, tried on a CPU")])
        return 0
    gpus = count_gpus()
    if not gpus:
        print("no GPU here: nothing was measured")
        return 2 if asked.require else 0
    table.publish(measure(cases(gpus), asked.rounds), asked.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
