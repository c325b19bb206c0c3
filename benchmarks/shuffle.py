"""What --shuffle blocks does to training, against --shuffle global: validation by seed on a packed data set.

    python -m benchmarks.shuffle --data DIR [--seeds N] [--epochs N]

`augmented` at 90 pixels, with as many seeds for each order; the same seed has the same first weights and the same
augmentation. What seeds alone do is the spread within an order.
"""

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.table import Figure, Result
from tests import runs

SIZE = 90
MOST_SECONDS = 3600.0
LAST = 3
"""Epochs at the end, of which the mean is told: one alone jumps by more than the orders differ."""


def measure(data: str, seeds: int, epochs: int) -> Result:
    """Validation accuracy and loss, and training loss, of each run."""
    found: dict[str, list[dict[str, Any]]] = {"global": [], "blocks": []}
    with tempfile.TemporaryDirectory() as folder:
        packed = f"{folder}/packed"
        runs.verb("data-pack", {"data": data, "target": packed})
        for seed in range(seeds):
            for order, told in found.items():
                run = Path(folder, f"{order}-{seed}")
                asked = runs.config(
                    "augmented",
                    packed,
                    run,
                    epochs=epochs,
                    image_size=SIZE,
                    seed=seed,
                    shuffle=order,
                    precision="float32",
                )
                with runs.started(asked) as process:
                    output, _ = process.communicate(timeout=MOST_SECONDS)
                assert process.returncode == 0, output
                rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
                told.append(
                    {"seed": seed, "epochs": [{part: row[part] for part in ("train", "valid")} for row in rows]}
                )
    figures = {}
    for key, part, name, unit in (
        ("accuracy", "valid", "accuracy", "share"),
        ("loss", "valid", "loss", "nats"),
        ("train_loss", "train", "loss", "nats"),
    ):
        ours, theirs = ([_end(one, part, name) for one in found[order]] for order in ("blocks", "global"))
        spread = statistics.stdev(theirs) if len(theirs) > 1 else 0.0
        figures[key] = Figure(
            f"{part} {name} of the last {LAST} of {epochs} epochs by blocks, mean of {seeds} seeds",
            unit,
            statistics.mean(ours),
            statistics.mean(theirs),
            f"global, whose seeds differ by {spread:.3f} (standard deviation)",
        )
    return Result("shuffle", figures, {"image_size": SIZE, "runs": found})


def _end(run: dict[str, Any], part: str, name: str) -> float:
    return statistics.mean(float(row[part][name]) for row in run["epochs"][-LAST:])


if __name__ == "__main__":
    parser = table.options(__doc__)
    parser.add_argument("--data", required=True, help="a data set in folders")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    asked = parser.parse_args()
    table.publish(measure(asked.data, asked.seeds, asked.epochs), asked.out)
