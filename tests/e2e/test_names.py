"""One name is one run in whatever shape, and a run outlives the chart."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from k8s.manifest.objects import claim
from tests.cluster import api
from tests.e2e.kit import Site, until
from tests.unit.k8s.manifest.cases import PLATFORM, spec

pytestmark = pytest.mark.timeout(600, func_only=True)  # setting up may build for minutes

SMALL = ("--gpus", 0, "--recipe", "demo", "--model", "small", "--image-size", 48, "--no-follow")
SHORT = (*SMALL, "--epochs", 1, "--steps", 2)
LASTING = (*SMALL, "--epochs", 10_000)
SHAPES: dict[str, tuple[object, ...]] = {
    "one": ("--workers", 1),
    "jobset": ("--workers", 2),
    "job": ("--workers", 2, "--shape", "job"),
}


def objects(site: Site, name: str) -> set[str]:
    """What exists under a name or with a run's label, pods aside."""
    found = site.get("jobs,jobsets,services")["items"]
    label = "app.kubernetes.io/instance"
    its = [one for one in found if name in (one["metadata"]["name"], one["metadata"].get("labels", {}).get(label))]
    return {f"{one['kind']}/{one['metadata']['name']}" for one in its}


def made(name: str, shape: str) -> set[str]:
    """The objects of a run in this shape while it has not finished."""
    return {
        "one": {f"Job/{name}"},
        "job": {f"Job/{name}", f"Service/{name}"},
        "jobset": {f"JobSet/{name}", f"Job/{name}-w-0", f"Service/{name}"},
    }[shape]


@pytest.mark.parametrize(("old", "new"), [("jobset", "one"), ("one", "jobset"), ("job", "jobset"), ("jobset", "job")])
def test_a_finished_run_has_its_name_in_every_shape_and_resumes_in_another(site: Site, old: str, new: str) -> None:
    name = f"shaped-{old}-{new}"
    site.submit(name, *SHORT, *SHAPES[old])
    assert site.catdog("wait", name, timeout=400).code == 0
    refused = site.submit(name, *SHORT, *SHAPES[new], "--wait", code=2)
    assert "the name is taken by" in refused.err, refused.said
    assert "catdog resume" in refused.err, refused.said
    before = site.get("jobset" if old == "jobset" else "job", name)["metadata"]["uid"]

    site.catdog("resume", name, *SMALL[:2], *SHAPES[new], "--epochs", 10_000, "--steps", 0, "--no-follow")
    until("the new objects are all there is", lambda: objects(site, name) == made(name, new), limit=60)
    assert site.get("jobset" if new == "jobset" else "job", name)["metadata"]["uid"] != before
    [row] = [row for row in site.answer("list") if row["name"] == name]
    assert row["phase"] not in ("succeeded", "failed")
    site.catdog("delete", name)
    until("nothing is left", lambda: not objects(site, name) and not site.pods(name), limit=60)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["service", "job"])
def test_a_name_that_something_else_has_is_taken(site: Site, shape: str, kind: str) -> None:
    name = f"foreign-{kind}-{shape}"
    words = {
        "service": ("service", "clusterip", name, "--tcp=80:80"),
        "job": ("job", name, "--image=localhost/pause:1"),
    }
    api.kubectl(site.cluster, "-n", site.namespace, "create", *words[kind])
    try:
        before = objects(site, name)
        done = site.submit(name, *LASTING, *SHAPES[shape], code=2)
        assert f"the name is taken by {kind.capitalize()} {name}" in done.err, done.said
        assert objects(site, name) == before
        site.catdog("delete", name, code=3)
        assert objects(site, name) == before, "what is not ours was deleted"
    finally:
        api.kubectl(site.cluster, "-n", site.namespace, "delete", kind, name)


def test_of_submits_at_one_moment_one_wins_and_the_others_leave_nothing(site: Site) -> None:
    name = "raced"
    order = [*SHAPES, *reversed(SHAPES)]
    started = [site.start("submit", "--name", name, *LASTING, *SHAPES[shape]) for shape in order]
    ended = []
    for shape, process in zip(order, started, strict=True):
        _, said = process.communicate(timeout=200)
        ended.append((shape, said, process.returncode))
    won = [shape for shape, _, code in ended if code == 0]
    assert len(won) == 1, ended
    assert all(code == 2 and "the name is taken" in said for _, said, code in ended if code != 0), ended
    until("only the winner's objects are there", lambda: objects(site, name) == made(name, won[0]), limit=60)
    site.catdog("delete", name)
    until("nothing is left", lambda: not objects(site, name) and not site.pods(name), limit=60)


def test_a_claim_is_complete_without_a_pod_and_goes_by_itself(site: Site) -> None:
    one: dict[str, Any] = claim(spec("claimed", 2, 0), PLATFORM)
    api.kubectl(site.cluster, "-n", site.namespace, "create", "-f", "-", stdin=json.dumps(one))
    assert "another submit holds" in site.submit("claimed", *LASTING, "--workers", 1, code=2).err
    assert "claimed" not in {row["name"] for row in site.answer("list")}
    until("it is complete", lambda: any(site.get("job", "claimed")["status"].get("conditions", ())))
    assert site.pods("claimed") == []
    until("it is gone", lambda: not objects(site, "claimed"), limit=120)


def test_runs_outlive_the_chart(new_site: Callable[..., Site], image: str) -> None:
    site = new_site(image)
    for shape, words in SHAPES.items():
        site.submit(f"left-{shape}", *LASTING, *words)
    until("a log is there", lambda: site.catdog("logs", "left-jobset", code=None).out, limit=180)
    api.helm(site.cluster, "uninstall", "catdog", "--namespace", site.namespace, "--wait")
    listed = site.catdog("list")
    assert all(f"left-{shape}" in listed.out for shape in SHAPES), listed.said
    assert listed.err.count("catdog-platform") == 1, listed.said
    for shape in SHAPES:
        name = f"left-{shape}"
        for command in ("status", "why"):
            done = site.catdog(command, name)
            assert "catdog-platform" in done.out + done.err, done.said
        site.catdog("logs", name)
    assert "helm install" in site.submit("new", *LASTING, code=3).err
    site.catdog("cancel", "left-jobset")
    site.catdog("cancel", "left-job")
    site.catdog("delete", "left-one")
    until("nothing is left", lambda: not site.get("jobs,jobsets,services,pods")["items"], limit=120)
