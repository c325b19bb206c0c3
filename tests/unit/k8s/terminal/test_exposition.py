import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from k8s.explain.cost import Prices
from k8s.explain.observation import Observation, of_folder
from k8s.explain.phase import Phase
from k8s.terminal import show
from k8s.terminal.exposition import exposition
from tests.unit.k8s.explain.sightings import NOW, running, seen, state, top
from tests.unit.k8s.explain.worked import WORK

TRAINS = seen(top(), running(0), running(1), state=state(**WORK))
ENDED = of_folder("old", state("succeeded", 3600, exit_code=0, **WORK), NOW)
RESULT = {"gs://r/old": {"test": {"accuracy": 0.93}, "valid": {"accuracy": 0.95, "loss": 0.1}}}
UNREAD = Observation("closed", NOW, unread="no permission")


def text(*runs: Observation, prices: Prices = Prices(2.5, 0.04, "EUR")) -> str:  # noqa: B008
    return exposition([show.row(one, f"gs://r/{one.name}", prices) for one in runs], RESULT, "ml")


def samples(of: str) -> dict[tuple[str, ...], float]:
    """Value by metric, run and what other labels say."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(of):
        assert family.type == "gauge"
        assert family.documentation
        for name, labels, value, *_ in family.samples:
            more = dict(labels)
            assert more.pop("run_namespace") == "ml"
            key = (name.removeprefix("catdog_listed_"), more.pop("run"), *more.values())
            assert key not in found
            found[key] = value
    return found


def test_a_run_that_trains_and_one_that_has_ended() -> None:
    found = samples(text(TRAINS, ENDED))
    states = {key: value for key, value in found.items() if key[0] == "run_state"}
    assert {key[1:] for key, value in states.items() if value} == {("run", "running"), ("old", "succeeded")}
    assert len(states) == 2 * len(Phase)
    hours = 3785 + 540  # seconds with pods
    rest = {key: value for key, value in found.items() if key[0] != "run_state" and key[1] == "old"}
    assert rest == {
        ("step", "old"): 120,
        ("total_steps", "old"): 1890,
        ("exit_code", "old"): 0,
        ("goodput_ratio", "old"): pytest.approx(0.8894, abs=1e-4),
        ("updated_timestamp_seconds", "old"): NOW.timestamp() - 3600,
        ("accuracy", "old", "test"): 0.93,
        ("accuracy", "old", "valid"): 0.95,
        ("gpu_hours", "old"): pytest.approx(4 * hours / 3600, abs=1e-4),
        ("cost", "old"): pytest.approx(10 * hours / 3600, abs=1e-3),
    }
    assert ("exit_code", "run") not in found


def test_what_is_unknown_is_left_out() -> None:
    assert {key[0] for key in samples(text(UNREAD))} == {"run_state"}
    assert not any(samples(text(UNREAD)).values())
    assert not [key for key in samples(text(TRAINS, prices=Prices())) if key[0] == "cost"]
    assert not samples(text())


def test_a_run_without_gpus_has_cpu_hours() -> None:
    cpu = of_folder("cpu", state(**{**WORK, "gpus": 0, "cpus": 2}), NOW)
    assert ("cpu_hours", "cpu") in samples(text(cpu))
    assert ("gpu_hours", "cpu") not in samples(text(cpu))


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "\udcff", "\u202e", "}", "é", ""])
def test_names_are_escaped(name: str) -> None:
    assert len({key[1] for key in samples(text(of_folder(name, state(), NOW)))}) == 1


def test_of_two_runs_with_one_name_the_first_counts() -> None:
    other = of_folder("run", state("failed", step=5), NOW)
    assert samples(text(TRAINS, other))[("step", "run")] == 120


@pytest.mark.parametrize("accuracy", [None, "0.9", True, float("nan"), 10**400, {}])
def test_an_accuracy_that_is_no_number_is_left_out(accuracy: Any) -> None:
    rows = [show.row(ENDED, "gs://r/old")]
    made = exposition(rows, {"gs://r/old": {"test": {"accuracy": accuracy}, "valid": 5}}, "ml")
    assert not [key for key in samples(made) if key[0] == "accuracy"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus' own checker is not installed")
def test_promtool_takes_it() -> None:
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text(TRAINS, ENDED, UNREAD), capture_output=True, text=True, timeout=60)
    remarks = (done.stdout + done.stderr).splitlines()
    # GPU-hours are what people are billed for; it would rather have seconds.
    assert [line for line in remarks if "hours" not in line] == []
