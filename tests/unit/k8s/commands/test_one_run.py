"""A name is one run, whatever objects it is or was: every command acts on the right ones, and on all of them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner, Result

from k8s.actions import folders, submit
from k8s.actions.folders import States
from k8s.api import client as api
from k8s.api.client import Cluster
from k8s.cli import app
from k8s.manifest.objects import job, job_set
from k8s.settings.platform import Platform
from k8s.terminal import follow as following
from k8s.terminal import screen
from tests.unit.k8s.api.api_server import Api, serve
from tests.unit.k8s.explain.sightings import condition, ended, running
from tests.unit.k8s.manifest.cases import PLATFORM, spec

JOB, SET = "/apis/batch/v1/namespaces/ml/jobs/r", "/apis/jobset.x-k8s.io/v1alpha2/namespaces/ml/jobsets/r"
PODS, MAP = "/api/v1/namespaces/ml/pods", "/api/v1/namespaces/ml/configmaps/catdog-platform"
CHART = "schema: 1\nimage: catdog:1\nruns: gs://models/runs\nnodesReadable: false\n"


def catdog(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def server() -> Api:
    made = Api()
    made.objects[MAP] = {"kind": "ConfigMap", "metadata": {}, "data": {"platform.yaml": CHART}}
    made.objects["/apis/jobset.x-k8s.io/v1alpha2"] = {"kind": "APIResourceList"}
    return made


@pytest.fixture(autouse=True)
def cluster(server: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(api, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(following, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(submit, "check_uris", lambda config: [])
    monkeypatch.setattr(folders, "mark_cancelled", lambda uri: "")
    monkeypatch.setattr(folders, "states", lambda runs_uri, uris: States({}, {}, ""))
    monkeypatch.setattr(folders, "has_config", lambda uri: True)
    monkeypatch.setattr(folders, "read", lambda uri, name: (None, ""))
    with serve(server) as made:
        monkeypatch.setattr("k8s.actions.installation.connect", lambda context, namespace: made)
        yield made


def put(server: Api, kind: str, uid: str, how: str = "", created: str = "2026-11-23T12:00:00Z") -> dict[str, Any]:
    """A run in this shape, alive or with the condition that ended it, and with a worker."""
    gang = spec("r", 1 if kind == "Job" else 2, 0)
    gang = replace(gang, config=replace(gang.config, accelerator="cpu", run="gs://models/runs/r", devices=0))
    made = (job if kind == "Job" else job_set)(gang, PLATFORM)
    made["metadata"] |= {"uid": uid, "creationTimestamp": created}
    made["status"] = {"conditions": [condition(how)] if how else []}
    server.objects[JOB if kind == "Job" else SET] = made
    worker = ended(0) if how else running()
    label = "batch.kubernetes.io/controller-uid" if kind == "Job" else "jobset.sigs.k8s.io/jobset-uid"
    labels = {**worker["metadata"]["labels"], "app.kubernetes.io/instance": "r", label: uid}
    worker["metadata"] |= {"name": f"r-of-{uid}", "uid": f"pod-of-{uid}", "labels": labels}
    server.objects[f"{PODS}/r-of-{uid}"] = worker
    return made


def left(server: Api) -> set[str]:
    return {path for path in (JOB, SET) if path in server.objects}


@pytest.mark.parametrize(("old", "new"), [("JobSet", "Job"), ("Job", "JobSet")])
class TestFinishedAndAlive:
    """A finished run in one shape beside a live one in the other, as earlier versions could leave them."""

    @pytest.fixture(autouse=True)
    def both(self, server: Api, old: str, new: str) -> None:
        put(server, old, "old", "Completed" if old == "JobSet" else "Complete")
        put(server, new, "new", created="2026-11-23T11:00:00Z")

    def test_the_live_one_is_the_run(self, new: str) -> None:
        status = json.loads(catdog("status", "r", "-o", "json").stdout)
        assert (status["kind"], [one["name"] for one in status["pods"]]) == (new, ["r-of-new"])
        assert status["phase"] not in ("succeeded", "failed")
        assert any("there is also" in note and "has succeeded" in note for note in status["notes"])

    def test_it_is_listed_once(self, new: str) -> None:
        [row] = json.loads(catdog("list", "-o", "json").stdout)
        # The second worker of the JobSet has no pod yet.
        assert (row["name"], row["phase"], row["workers"]) == (
            ("r", "starting", 1) if new == "Job" else ("r", "pending", 2)
        )

    def test_why_is_about_the_live_one(self, new: str) -> None:
        answer = json.loads(catdog("why", "r", "-o", "json").stdout)
        assert answer["phase"] == ("starting" if new == "Job" else "pending")

    @pytest.mark.parametrize("command", ["delete", "cancel"])
    def test_nothing_of_it_is_left(self, server: Api, command: str) -> None:
        result = catdog(command, "r")
        assert result.exit_code == 0, result.stderr
        assert left(server) == set()

    def test_it_is_not_resumed(self, server: Api) -> None:
        result = catdog("resume", "r", "--gpus", "0")
        assert (result.exit_code, "r has not finished; catdog cancel r first" in result.stderr) == (2, True)
        assert left(server) == {JOB, SET}


@pytest.mark.parametrize(("old", "workers", "new"), [("JobSet", "1", JOB), ("Job", "2", SET)])
def test_resuming_in_another_shape_removes_what_it_was_first(server: Api, old: str, workers: str, new: str) -> None:
    put(server, old, "old", "Failed")
    result = catdog("resume", "r", "--gpus", "0", "--workers", workers, "--no-follow")
    assert result.exit_code == 0, result.stderr
    assert left(server) == {new}
    assert server.objects[new]["metadata"]["uid"] != "old"
    writes = [(method, path) for method, path, query, _ in server.requests if method != "GET" and "dryRun" not in query]
    assert writes[0] == ("DELETE", JOB if old == "Job" else SET)


def test_what_the_server_would_refuse_is_refused_before_the_finished_run_is_removed(server: Api) -> None:
    put(server, "JobSet", "old", "Failed")

    def over_quota(method: str, path: str, query: dict[str, str]) -> tuple[int, dict[str, Any]] | None:
        refused = method == "POST" and path.endswith("/jobs")
        return (403, {"reason": "Forbidden", "message": "exceeded quota: jobs"}) if refused else None

    server.fault = over_quota
    result = catdog("resume", "r", "--gpus", "0", "--workers", "1", "--no-follow")
    assert (result.exit_code, "exceeded quota" in result.stderr) == (3, True), result.stderr
    assert left(server) == {SET}
    assert server.asked("DELETE") == []


def test_a_run_is_not_resumed_into_a_name_that_another_has_too(server: Api) -> None:
    put(server, "Job", "old", "Failed")
    server.objects[SET] = {"kind": "JobSet", "metadata": {"name": "r", "uid": "theirs"}, "spec": {}}
    result = catdog("resume", "r", "--gpus", "0", "--no-follow")
    assert (result.exit_code, "taken by JobSet r, which is not a run of catdog" in result.stderr) == (2, True)
    assert left(server) == {JOB, SET}


@pytest.mark.parametrize("old", ["JobSet", "Job"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_finished_run_has_its_name_in_every_shape(server: Api, old: str, workers: str) -> None:
    put(server, old, "old", "Completed")
    before = dict(server.objects)
    result = catdog("submit", "--gpus", "0", "--workers", workers, "--name", "r", "--wait", "--recipe", "demo")
    assert result.exit_code == 2
    assert f"--name r: the name is taken by {old} r" in result.stderr
    assert server.objects == before


def test_waiting_after_submit_is_for_the_object_that_was_created(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is deleted, and another run gets its name, which has succeeded: that is not this one's result."""
    send = api.create

    def replaced(cluster: Cluster, one: Any, *, dry_run: bool = False) -> Any:
        made = send(cluster, one, dry_run=dry_run)
        if one["kind"] == "Job" and not dry_run:
            put(server, "Job", "another", "Complete")
        return made

    monkeypatch.setattr(api, "create", replaced)
    words = ("submit", "--gpus", "0", "--workers", "1", "--name", "r", "--wait", "--recipe", "demo")
    result = catdog(*words)
    assert result.exit_code == 3
    assert "the Job r that was created here is gone, and there is now Job r, a run that has succeeded" in result.stderr
    assert "has succeeded:" not in result.stdout


def test_on_a_terminal_the_run_that_was_created_is_drawn_under_its_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = True
    monkeypatch.setattr("k8s.terminal.launch.can_redraw", lambda: terminal)
    monkeypatch.setattr(screen, "Console", lambda **how: Console(force_terminal=True, color_system=None, **how))
    words = ("submit", "--gpus", "0", "--workers", "1", "--name", "r", "--recipe", "demo", "--timeout", "0.2")
    drawn, waits = catdog(*words, "--follow"), catdog(*words[:6], "s", *words[7:], "--wait")
    assert (drawn.exit_code, waits.exit_code) == (124, 124), drawn.stderr
    assert "r  pending\n" in drawn.stdout
    assert "catdog: r is pending" not in drawn.stdout
    assert "catdog: s is pending" in waits.stdout
    terminal = False
    lines = catdog(*words[:6], "t", *words[7:], "--follow")
    assert "catdog: t is pending\n" in lines.stdout
    assert "\x1b" not in lines.stdout


def test_the_state_of_an_earlier_run_is_not_the_result(server: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    send = api.create

    def vanishes(cluster: Cluster, one: Any, *, dry_run: bool = False) -> Any:
        made, warnings = send(cluster, one, dry_run=dry_run)
        if not dry_run:
            server.objects.pop(JOB)
        return {**made, "metadata": {**made["metadata"], "creationTimestamp": "2026-11-23T12:00:00Z"}}, warnings

    monkeypatch.setattr(api, "create", vanishes)
    earlier = {"state": "succeeded", "updated": datetime(2026, 11, 23, 11, tzinfo=UTC).isoformat()}
    monkeypatch.setattr(folders, "read", lambda uri, name: (earlier if name == "state.json" else None, ""))
    result = catdog("submit", "--gpus", "0", "--workers", "1", "--name", "r", "--wait", "--recipe", "demo")
    assert (result.exit_code, "no longer in the cluster" in result.stderr) == (3, True)


class TestWithoutAPlatform:
    """After helm uninstall, or with settings that cannot be read, runs are what their objects say."""

    TROUBLES: ClassVar[dict[str, Any]] = {
        "uninstalled": None,
        "not a mapping": {"platform.yaml": "- 1\n"},
        "not YAML": {"platform.yaml": "a: {"},
        "newer": {"platform.yaml": "schema: 99\n"},
        "not the chart's": ["x"],
    }

    @pytest.fixture(autouse=True, params=TROUBLES)
    def without(self, request: pytest.FixtureRequest, server: Api) -> None:
        data = self.TROUBLES[request.param]
        if data is None:
            del server.objects[MAP]
        else:
            server.objects[MAP] = {"kind": "ConfigMap", "metadata": {}, "data": data}
        put(server, "JobSet", "u")

    @pytest.mark.parametrize("words", [("list",), ("status", "r"), ("why", "r"), ("cancel", "r"), ("delete", "r")])
    def test_live_runs_are_seen_and_stopped(self, server: Api, words: tuple[str, ...]) -> None:
        result = catdog(*words)
        assert result.exit_code == 0, result.stderr
        said = [line for line in (result.stderr + result.stdout).splitlines() if "showing what is" in line]
        assert len(said) == 1, result.stderr + result.stdout
        assert said[0].endswith("; showing what is in the cluster")
        assert "catdog-platform in namespace ml" in said[0] or "the platform of namespace ml" in said[0]
        assert (left(server) == set()) == (words[0] in ("cancel", "delete"))

    def test_waiting_ends_with_the_result(self, server: Api) -> None:
        put(server, "JobSet", "u", "Completed")
        assert catdog("wait", "r").exit_code == 0

    @pytest.mark.parametrize("words", [("submit", "--name", "x"), ("resume", "r")])
    def test_only_what_creates_a_run_needs_one(self, server: Api, words: tuple[str, ...]) -> None:
        put(server, "JobSet", "u", "Failed")
        before = dict(server.objects)
        result = catdog(*words, "--gpus", "0", "--no-follow")
        assert result.exit_code in (2, 3)
        assert "catdog-platform" in result.stderr or "platform of namespace ml" in result.stderr
        assert result.stderr.count("\n") == 1
        assert server.objects == before

    def test_a_run_that_is_not_there_is_not_there(self) -> None:
        for command in ("status", "why", "wait", "cancel", "delete"):
            result = catdog(command, "never-was")
            assert result.exit_code == 3
            assert "no run never-was" in result.stderr


def test_a_chart_that_may_not_be_read_hides_no_run(server: Api) -> None:
    put(server, "JobSet", "u")
    server.fault = lambda method, path, query: (403, {"message": "no"}) if path == MAP else None
    result = catdog("list")
    assert (result.exit_code, "r " in result.stdout) == (0, True)
    assert "no permission to read ConfigMap catdog-platform" in result.stderr


def test_the_profile_says_where_runs_are_when_the_chart_does_not(
    server: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server.objects[MAP]
    profile = tmp_path / "config" / "catdog" / "profile.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text(yaml.safe_dump({"runs": "gs://mine/runs"}))
    asked: list[str] = []
    monkeypatch.setattr(folders, "states", lambda uri, uris: asked.append(uri) or States({}, {}, ""))
    result = catdog("list")
    assert result.stderr.rstrip().endswith("showing what is below gs://mine/runs and in the cluster")
    assert asked == ["gs://mine/runs"]
    assert Platform().runs == ""
