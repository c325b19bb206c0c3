"""How a run ended is in the last scrape, whatever the end; what a resumed run has come to, in its first."""

import json
import threading
import time
import urllib.error
from contextlib import suppress
from pathlib import Path

from tests import runs
from tests.unit.trainer.telemetry.test_metrics import free_port, scrape
from trainer.config import RunConfig

LIMIT = 60.0
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped_until_the_end(asked: RunConfig, code: int) -> tuple[list[Values], str]:
    """Run, and scrape every fifth of a second; what was served, and what was said."""
    seen: list[Values] = []
    with runs.started(asked) as process:
        ended = threading.Event()

        def scrapes() -> None:
            while not ended.is_set():
                with suppress(urllib.error.URLError, ConnectionError, ValueError):  # not yet, or no longer there
                    seen.append(scrape(asked.metrics_port))
                time.sleep(0.2)

        thread = threading.Thread(target=scrapes)
        thread.start()
        try:
            output = runs.finish(process, code)
        finally:
            ended.set()
            thread.join(LIMIT)
    return seen, output


def state_of(values: Values) -> set[str]:
    return {dict(labels)["state"] for (name, labels), value in values.items() if name == "catdog_run_state" and value}


def test_the_end_of_a_run_that_succeeds_and_of_one_that_fails_is_scraped(tmp_path: Path) -> None:
    data, run = runs.drawn(tmp_path / "data", 8, 4, 4), tmp_path / "run"
    asked = runs.config(
        "augmented", data, run, model="small", image_size=48, batch_size=8, epochs=3, metrics_port=free_port(),
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    seen, _ = scraped_until_the_end(asked, 0)
    assert seen[0]["catdog_steps_total", ()] == 0  # served before the first step
    assert state_of(seen[-1]) == {"succeeded"}
    assert seen[-1]["catdog_step", ()] == seen[-1]["catdog_checkpoint_step", ()] == 6
    assert seen[-1]["catdog_run_wall_seconds", (("category", "export"),)] > 0

    longer = runs.config(
        "augmented", data, run, model="small", image_size=48, batch_size=8, epochs=3000, learning_rate=1000.0,
        metrics_port=free_port(), cache_dir=str(tmp_path / "cache"), force_resume=True,
    )  # fmt: skip
    seen, output = scraped_until_the_end(longer, 80)
    assert "not finite" in output
    resumed = [values for values in seen if values["catdog_total_steps", ()] == 6000]
    assert resumed[0]["catdog_step", ()] >= 6  # where the run was, and no fall to zero
    assert {values["catdog_epoch", ()] for values in resumed} <= {0.0, *range(3, 3001)}
    assert resumed[0]["catdog_checkpoint_step", ()] >= 6
    assert state_of(seen[-1]) == {"failed"}
    spent = json.loads((run / "state.json").read_text())["ledger"]["seconds"]
    assert spent["stopped"] > 0 == spent["down"]  # it was this test that took its time, not a cluster
    assert spent["lost"] > 0  # the rollback
    assert seen[-1]["catdog_not_finite_total", ()] == 2
