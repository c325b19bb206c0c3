import json

from k8s.explain.observation import Observation, of_folder
from k8s.terminal import show
from tests.unit.k8s.explain.sightings import NOW, condition, ended, running, seen, state, top, waiting

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
