import json

import pytest

from k8s.explain.cost import Prices
from k8s.explain.observation import Observation, of_folder
from k8s.terminal import show
from tests.unit.k8s.explain.sightings import NOW, condition, ended, running, seen, state, top, waiting
from tests.unit.k8s.explain.worked import WORK

TRAINS = seen(top(restarts=2, restartsCountTowardsMax=1), running(1), running(0), state=state())


def test_list_has_one_line_per_run() -> None:
    rows = [
        show.row(TRAINS, "gs://m/runs/run"),
        show.row(of_folder("old", state("succeeded", 7200), NOW), "gs://m/runs/old"),
    ]
    heading, first, second = show.table(rows).splitlines()
    assert heading.split() == ["NAME", "PHASE", "RECIPE", "WORKERS", "PROGRESS", "AGE", "WHERE"]
    assert first.split()[:4] == ["run", "running", "baseline", "2"]
    assert second.split()[:2] == ["old", "succeeded"]
    assert "2h0m" in second
    assert second.endswith("folder")
    assert show.table([]) == "no runs"


def test_status_has_workers_restarts_and_heartbeat() -> None:
    facts = show.status(TRAINS, "gs://m/runs/run", None)
    assert json.loads(show.as_json(facts)) == facts
    assert (facts["phase"], facts["workers"], facts["restarts"], facts["restarts_counted"]) == ("running", 2, 2, 1)
    assert [pod["rank"] for pod in facts["pods"]] == [0, 1]
    assert facts["heartbeat"] == 5.0
    text = show.status_text("gs://m/runs/run", facts)
    assert "run: running, epoch 2, step 120 of 1,890" in text
    assert "JobSet run, 2 workers, 2 restarts" in text
    assert "next:" not in text


def test_status_has_what_the_run_says_of_its_work() -> None:
    works = seen(top(), running(0), running(1), state=state(**WORK))
    facts = show.status(works, "gs://m/runs/run", None, Prices(2.5, 0, "EUR"))
    assert json.loads(show.as_json(facts)) == facts
    text = show.status_text("gs://m/runs/run", facts)
    assert text.startswith("run: running, training, epoch 2, step 120 of 1,890\n")
    assert "  ETA         1 h 10 min\n" in text
    assert "  goodput     88.9% of 1 h 13 min; decoding 2.7%, done again 2.1%, starting 1.4% (140 steps done" in text
    assert "  cost        4.81 GPU-hours (12.01 EUR) so far, 4.68 (11.69 EUR) to finish, 0.10 (0.25 EUR) lost" in text
    where = "run: running, training, epoch 2, step 120 of 1,890"
    assert show.line(facts) == f"{where}, loss 0.4312, 812 examples/s, ETA 1 h 10 min"
    assert (facts["goodput"], facts["lost_steps"]) == (pytest.approx(0.8894, abs=1e-4), 140)


def test_an_older_run_has_none_of_it() -> None:
    facts = show.status(TRAINS, "gs://m/runs/run", None)
    for name in ("eta_seconds", "goodput", "cost", "ledger", "loss", "examples_per_second", "lost_steps"):
        assert facts[name] is None
    assert show.line(facts) == "run: running, epoch 2, step 120 of 1,890"


def test_what_a_run_says_of_the_time_left_counts_while_it_runs() -> None:
    gone = show.status(of_folder("old", state("failed", **WORK), NOW), "u", None)
    assert (gone["eta_seconds"], gone["cost"]["hours"]["to_finish"]) == (None, None)
    assert "ETA" not in show.status_text("u", gone)


def test_a_finished_run_s_ledger_may_be_in_its_summary() -> None:
    done = seen(top(condition("Completed"), kind="Job"), ended(0))
    summary = {"ledger": WORK["ledger"]["seconds"], "lost_steps": 3, "gpus": 2}
    facts = show.status(done, "u", summary)
    assert (facts["lost_steps"], facts["cost"]["count"], facts["ledger"]["step"]) == (3, 2, 3600.0)


def test_the_wide_list_has_the_time_left_goodput_and_cost() -> None:
    works = show.row(seen(top(), running(0), running(1), state=state(**WORK)), "u", Prices(2.5, 0, "EUR"))
    heading, first, second = show.table([works, show.row(TRAINS, "u")], show.WIDE).splitlines()
    assert heading.split()[-4:] == ["ETA", "GOODPUT", "HOURS", "COST"]
    assert first.endswith("1 h 10 min  88.9%    4.81 GPU-h  12.01 EUR")
    assert second.endswith("cluster")


def test_status_of_a_run_that_waits_or_failed_says_why() -> None:
    for one in (seen(top(), waiting("ErrImageNeverPull")), seen(top(condition("Failed")), ended(78, "78: no GPU"))):
        facts = show.status(one, "", None)
        assert facts["causes"]
        assert "next:" in show.status_text("", facts)


def test_status_of_a_finished_run_has_its_result() -> None:
    done = seen(top(condition("Completed"), kind="Job"), ended(0))
    summary = {"best_epoch": 7, "test": {"accuracy": 0.8312, "loss": 0.4}, "valid": {}, "wall_seconds": 1.0}
    facts = show.status(done, "u", summary)
    assert facts["causes"] == []
    assert "test accuracy 83.1%, loss 0.4000, best epoch 7" in show.status_text("u", facts)
    facts = show.status(done, "u", {**summary, "test": None, "valid": {"accuracy": 0.8, "loss": 0.5}})
    assert "validation accuracy 80.0%, loss 0.5000, best epoch 7" in show.status_text("u", facts)


def test_a_run_without_objects_has_neither_workers_nor_pods() -> None:
    facts = show.status(Observation("run", NOW), "", None)
    assert (facts["phase"], facts["workers"], facts["pods"], facts["kind"]) == (None, None, [], None)
    assert "run: not found" in show.status_text("", facts)
