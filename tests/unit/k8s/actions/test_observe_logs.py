"""Runs whose folder cannot be read from here: the documented case of a user without rights on the bucket."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from k8s.actions import folders, observe
from k8s.explain.phase import Phase, phase_of, progress
from k8s.explain.spoken import TAIL_LINES, heard_in, visible
from k8s.explain.why import explain
from tests.unit.k8s.api.api_server import Api, serve
from tests.unit.k8s.explain.sightings import running, top
from trainer.exits import Exit, ExitError
from trainer.folder.files import RunState
from trainer.telemetry.spoken import line_of

JOBS, PODS = "/apis/batch/v1/namespaces/ml/jobs", "/api/v1/namespaces/ml/pods"
TOLD = RunState("running", epoch=3, step=77, total_steps=200)


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(uri: str, **more: Any) -> Any:
        raise ExitError(Exit.NO_PERMISSION, f"{uri}: 403, storage.objects.get is denied")

    monkeypatch.setattr(folders, "open_storage", refuse)


def pods_of(run: str) -> dict[str, Any]:
    made = {}
    for rank in (0, 1):
        one = running(rank)
        labels = {**one["metadata"]["labels"], "app.kubernetes.io/instance": run}
        name = f"{run}-{rank}-abcde"
        made[f"{PODS}/{name}"] = {**one, "metadata": {**one["metadata"], "name": name, "labels": labels}}
    return made


def api_with(*runs: str, ago: float = 5) -> Api:
    """Runs of two workers each, whose rank 0 told its progress that many seconds ago."""
    api = Api()
    for run in runs:
        one = top(kind="Job")
        labels = {**one["metadata"].get("labels", {}), "app.kubernetes.io/instance": run}
        api.objects[f"{JOBS}/{run}"] = {
            **one,
            "metadata": {
                **one["metadata"],
                "name": run,
                "labels": labels,
                "annotations": {"catdog.dev/run": f"gs://closed/{run}"},
            },
        }
        api.objects |= pods_of(run)
        told = line_of(TOLD, datetime.now(UTC) - timedelta(seconds=ago))
        api.logs[f"{run}-0-abcde"] = [
            f"2026-11-23T12:00:00Z {line_of(RunState('running', step=1), datetime.now(UTC))}",
            f"2026-11-23T12:00:30Z {told}",
            "2026-11-23T12:00:31Z step 100/200  epoch 3",
        ]
    return api


def test_progress_comes_from_the_log_of_rank_0() -> None:
    api = api_with("run")
    with serve(api) as cluster:
        seen = observe.observe(cluster, "run")
    assert progress(seen.state) == "epoch 3, step 77 of 200"
    assert phase_of(seen) == Phase.RUNNING
    assert "storage.objects.get is denied" in seen.unread
    assert seen.resumable is True
    assert [cause.kind for cause in explain(seen)] == ["running"]
    [query] = [query for _, path, query, _ in api.requests if path.endswith("/log")]
    assert query["tailLines"] == str(TAIL_LINES)


def test_a_log_that_fell_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(api_with("run", ago=200)) as cluster:
        seen = observe.observe(cluster, "run")
    [cause] = explain(seen)
    assert (cause.kind, "the log of rank 0" in cause.evidence[0]) == ("silent", True)


@pytest.mark.parametrize("status", [403, 400, 404, 500])
def test_a_log_that_cannot_be_read_is_no_failure_and_the_run_does_not_start_for_ever(status: int) -> None:
    api = api_with("run")
    api.fault = lambda method, path, query: (status, {"message": "no"}) if path.endswith("/log") else None
    with serve(api) as cluster:
        seen = observe.observe(cluster, "run")
    assert (seen.state, phase_of(seen), seen.resumable) == (None, Phase.RUNNING, None)
    assert any("the log of pod run-0-abcde" in note for note in seen.notes)
    assert [cause.kind for cause in explain(seen)] == ["unread"]


def test_the_list_shows_their_progress_too() -> None:
    with serve(api_with("a", "b", "c")) as cluster:
        listed, trouble = observe.list_runs(cluster, "gs://closed", jobset=False)
    assert [progress(one.observation.state) for one in listed] == ["epoch 3, step 77 of 200"] * 3
    assert {phase_of(one.observation) for one in listed} == {Phase.RUNNING}
    assert "gs://closed cannot be listed from here" in trouble


LINE = line_of(TOLD, datetime(2026, 11, 23, tzinfo=UTC))


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("step 3/9  epoch 1", "step 3/9  epoch 1"),
        ("", ""),
        (LINE, None),
        (f"step 3/9{LINE}", "step 3/9"),
        (f"{LINE}step 3/9", "step 3/9"),
        (LINE[:-5], None),
        ("catdog.progressive is not it", "catdog.progressive is not it"),
    ],
)
def test_people_do_not_see_the_line(line: str, shown: str | None) -> None:
    assert visible(line) == shown


def test_a_line_that_was_cut_off_or_is_of_another_kind_is_not_heard() -> None:
    assert heard_in([LINE, LINE[:-5], "catdog.progress 3", "catdog.progress"]) == heard_in([LINE])
    assert heard_in(["nothing"]) is None
    later = LINE.replace('{"state"', '{"lost":[1],"state"')
    assert (heard_in([later]) or {})["step"] == 77
