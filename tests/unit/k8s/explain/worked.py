"""What a run says of its work in state.json, for tests of the code that reads it."""

from typing import Any

SECONDS = {
    "waiting": 30.0,
    "starting": 60.0,
    "decode": 120.0,
    "compile": 40.0,
    "step": 3600.0,
    "input": 45.0,
    "evaluation": 300.0,
    "checkpoint": 30.0,
    "restore": 10.0,
    "lost": 90.0,
    "down": 60.0,
    "export": 0.0,
    "stopped": 600.0,
}
LEDGER: dict[str, Any] = {"seconds": SECONDS, "lost_steps": 140, "until": 1.0, "attempts": []}
WORK: dict[str, Any] = {
    "activity": "training",
    "eta_seconds": 4210.0,
    "loss": 0.4312,
    "losses": [0.69, 0.66, 0.64, 0.6, 0.61, 0.55, 0.52, 0.5, 0.48, 0.47, 0.45, 0.44, 0.43],
    "examples_per_second": 812.3,
    "step_seconds": {"0": 0.052, "1": 0.061},
    "gpus": 4,
    "ledger": LEDGER,
}
