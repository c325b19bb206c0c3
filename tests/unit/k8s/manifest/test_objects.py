import json
import re
from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest
import yaml

from k8s.exits import Cli, CliError
from k8s.manifest import objects
from k8s.manifest.objects import RunSpec, Served, render
from k8s.settings.platform import Platform
from tests.unit.k8s.manifest.cases import (
    BOTH,
    CASES,
    EVERYTHING,
    FOLDER,
    JOBSET,
    NEITHER,
    PLATFORM,
    config,
    rendered,
    spec,
)
from trainer.config import RunConfig
from trainer.exits import NEVER_RETRIED
from trainer.requests import from_json
from trainer.workers import topology


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    job = objects[0]["spec"]
    if "replicatedJobs" in job:
        job = job["replicatedJobs"][0]["template"]["spec"]
    template: dict[str, Any] = job["template"]
    return template


@pytest.mark.parametrize("name", CASES)
def test_objects_are_those_of_the_golden_file(name: str) -> None:
    assert rendered(name) == (FOLDER / f"{name}.yaml").read_text(), "renew with: python -m tests.unit.k8s.cases"


def test_every_golden_file_has_a_case() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_yaml_and_json_hold_the_same_objects(name: str) -> None:
    objects = render(*CASES[name])
    assert list(yaml.safe_load_all(objects.to_yaml(objects))) == objects
    assert json.loads(objects.to_json_list(objects))["items"] == objects


@pytest.mark.parametrize("name", CASES)
def test_objects_are_valid_for_kubernetes(name: str) -> None:
    for one in render(*CASES[name]):
        if one["kind"] == "JobSet":
            child = one["spec"]["replicatedJobs"][0]["template"]
            one = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "child"}, "spec": child["spec"]}
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", CASES)
def test_pods_meet_the_restricted_pod_security_standard(name: str) -> None:
    # https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    pod = pod_of(render(*CASES[name]))["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert all("hostPort" not in port for port in container["ports"])
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


@pytest.mark.parametrize("name", CASES)
def test_every_object_and_pod_has_the_labels(name: str) -> None:
    run, _, _ = CASES[name]
    objects = render(*CASES[name])
    for metadata in [*(one["metadata"] for one in objects), pod_of(objects)["metadata"]]:
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/name"] == "catdog"
        assert labels["app.kubernetes.io/instance"] == run.name
        assert labels["app.kubernetes.io/managed-by"] == "catdog-submit"
        assert labels["app.kubernetes.io/component"] in ("run", "worker")
        assert labels["catdog.dev/recipe"] == run.config.recipe


@pytest.mark.parametrize("name", CASES)
def test_the_pod_gets_the_configuration_as_a_file(name: str) -> None:
    run, _, _ = CASES[name]
    template = pod_of(render(*CASES[name]))
    text = template["metadata"]["annotations"]["catdog.dev/config"]
    assert from_json(text, RunConfig) == run.config
    volume = next(v for v in template["spec"]["volumes"] if v["name"] == "config")
    [item] = volume["downwardAPI"]["items"]
    assert item["fieldRef"]["fieldPath"] == "metadata.annotations['catdog.dev/config']"
    [container] = template["spec"]["containers"]
    mount = next(m for m in container["volumeMounts"] if m["name"] == "config")
    assert container["args"] == ["train", "--config", f"{mount['mountPath']}/{item['path']}"]


@pytest.mark.parametrize(("served", "host"), [(JOBSET, "gang-w-0-{}.gang:2222"), (NEITHER, "gang-{}.gang:2222")])
@pytest.mark.parametrize("index", [0, 2])
def test_the_trainer_finds_its_peers_in_the_environment(served: Served, host: str, index: int) -> None:
    [container] = pod_of(render(spec("gang", 3, 1), PLATFORM, served))["spec"]["containers"]
    environment = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    # The job controller adds this one.
    found = topology.from_environment({**environment, "JOB_COMPLETION_INDEX": str(index)})
    assert found == topology.Topology(index, tuple(host.format(i) for i in range(3)))
    assert topology.is_member(environment)


def test_a_lone_worker_is_told_no_peers() -> None:
    [container] = pod_of(render(spec("one", 1, 4), PLATFORM, JOBSET))["spec"]["containers"]
    environment = {one["name"]: one.get("value", "") for one in container["env"]}
    assert topology.from_environment({**environment, "JOB_COMPLETION_INDEX": "0"}) is topology.ALONE


def test_several_workers_without_jobset_get_a_headless_service_that_selects_them() -> None:
    job, service = render(spec("gang", 2, 2), PLATFORM, NEITHER)
    assert (job["kind"], service["kind"]) == ("Job", "Service")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]


@pytest.mark.parametrize(
    ("workers", "shape", "served", "kinds"),
    [
        (1, "auto", JOBSET, ["Job"]),
        (1, "jobset", JOBSET, ["Job"]),
        (2, "auto", JOBSET, ["JobSet"]),
        (2, "jobset", JOBSET, ["JobSet"]),
        (2, "job", JOBSET, ["Job", "Service"]),
        (2, "auto", NEITHER, ["Job", "Service"]),
    ],
)
def test_shape(workers: int, shape: str, served: Served, kinds: list[str]) -> None:
    platform = replace(PLATFORM, shape=shape)
    run = spec("r", workers, 1)
    assert [one["kind"] for one in render(run, platform, served)] == kinds
    assert objects.shape_note(run, platform, served).startswith({1: "one Job"}.get(workers, f"a {kinds[0]}"))


def test_a_job_set_that_is_asked_for_but_not_served_is_refused() -> None:
    with pytest.raises(CliError, match="JobSet is not served") as caught:
        render(spec("r", 2, 1), replace(PLATFORM, shape="jobset"), NEITHER)
    assert caught.value.code == Cli.PREREQUISITE


class TestPolicies:
    """What gangs need: disruptions uncounted, fatal codes final, everything else counted once for all workers."""

    def test_plain_job(self) -> None:
        job = render(spec("gang", 4, 1), PLATFORM, NEITHER)[0]["spec"]
        assert job["backoffLimitPerIndex"] == PLATFORM.max_restarts
        assert "backoffLimit" not in job
        assert job["maxFailedIndexes"] == 0
        disruption, fatal, stopped = job["podFailurePolicy"]["rules"]
        assert disruption == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        assert (fatal["action"], fatal["onExitCodes"]["values"]) == ("FailJob", sorted(map(int, NEVER_RETRIED)))
        assert (stopped["action"], stopped["onExitCodes"]["values"]) == ("Ignore", [143])

    def test_job_set(self) -> None:
        top = render(spec("gang", 4, 1), PLATFORM, JOBSET)[0]["spec"]
        policy = top["failurePolicy"]
        assert (policy["maxRestarts"], policy["restartStrategy"]) == (PLATFORM.max_restarts, "BlockingRecreate")
        assert [rule["action"] for rule in policy["rules"]] == [
            "RestartJobSetAndIgnoreMaxRestarts",
            "FailJobSet",
            "FailJobSet",
        ]
        child = top["replicatedJobs"][0]["template"]["spec"]
        assert child["backoffLimit"] == 0
        assert child["podReplacementPolicy"] == "Failed"
        assert child["template"]["spec"]["restartPolicy"] == "Never"
        assert [rule["action"] for rule in child["podFailurePolicy"]["rules"]] == ["FailJob"] * 3
        assert not {"managedBy", "coordinator", "network"} & set(top)

    @pytest.mark.parametrize(
        ("message", "action"),
        [
            (
                "Pod ns/p has condition DisruptionTarget matching FailJob rule at index 0",
                "RestartJobSetAndIgnoreMaxRestarts",
            ),
            (
                "Container trainer for pod ns/p failed with exit code 143 matching FailJob rule at index 2",
                "RestartJobSetAndIgnoreMaxRestarts",
            ),
            *(
                (
                    f"Container trainer for pod a/b failed with exit code {int(code)} matching FailJob rule at index 1",
                    "FailJobSet",
                )
                for code in NEVER_RETRIED
            ),
        ],
    )
    def test_the_job_controllers_message_chooses_the_action(self, message: str, action: str) -> None:
        rules = render(spec("gang", 2, 1), PLATFORM, JOBSET)[0]["spec"]["failurePolicy"]["rules"]
        matching = [
            rule
            for rule in rules
            if rule["onJobFailureReasons"] == ["PodFailurePolicy"]
            and any(re.search(pattern, message) for pattern in rule["onJobFailureMessagePatterns"])
        ]
        assert [rule["action"] for rule in matching] == [action]

    def test_rule_names_and_codes_are_what_the_apis_accept(self) -> None:
        top = render(spec("gang", 2, 1), PLATFORM, JOBSET)[0]["spec"]
        for rule in top["failurePolicy"]["rules"]:
            assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"])
        for rule in top["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]["rules"]:
            values = rule.get("onExitCodes", {}).get("values", [1])
            assert values == sorted(set(values))
            assert 0 not in values


class TestQueue:
    def test_label_and_suspend_are_on_the_top_object_only(self) -> None:
        for shape in ("jobset", "job"):
            objects = render(spec("q", 2, 1), replace(PLATFORM, queue="research", shape=shape), BOTH)
            assert objects[0]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
            assert objects[0]["spec"]["suspend"] is True
            assert json.dumps(objects).count("kueue.x-k8s.io") == 1

    def test_nothing_of_it_is_rendered_without_a_queue(self) -> None:
        for served in (BOTH, NEITHER):
            text = json.dumps(render(spec("q", 2, 1), PLATFORM, served))
            assert "kueue" not in text
            assert "suspend" not in text

    def test_a_queue_without_kueue_is_refused(self) -> None:
        with pytest.raises(CliError, match="Kueue is not served") as caught:
            render(spec("q", 1, 0), replace(PLATFORM, queue="research"), JOBSET)
        assert caught.value.code == Cli.PREREQUISITE


class TestNames:
    @pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "a.b", "-a", "a-", "ä", "a b"])
    def test_what_kubernetes_does_not_take(self, name: str) -> None:
        with pytest.raises(CliError, match="--name is") as caught:
            objects.check_name(name, 1)
        assert caught.value.code == Cli.USAGE

    @pytest.mark.parametrize(("workers", "longest"), [(1, 51), (10, 51), (11, 50), (1000, 49)])
    def test_pod_names_fit(self, workers: int, longest: int) -> None:
        objects.check_name("a" * longest, workers)
        assert len("a" * longest + f"-w-0-{workers - 1}-abcde") == 63
        with pytest.raises(CliError, match=f"may have {longest}"):
            objects.check_name("a" * (longest + 1), workers)


class TestResources:
    def test_grow_with_the_gpus_of_a_worker(self) -> None:
        [container] = pod_of(render(spec("r", 1, 3, EVERYTHING), replace(EVERYTHING, queue=""), NEITHER))["spec"][
            "containers"
        ]
        assert container["resources"]["requests"] == {
            "cpu": "10500m",
            "memory": "36Gi",
            "ephemeral-storage": "60Gi",
            "nvidia.com/gpu": "3",
        }
        assert container["resources"]["limits"] == container["resources"]["requests"]

    def test_cpu_workers_have_neither_gpus_nor_their_taint(self) -> None:
        pod = pod_of(render(spec("r", 1, 0), PLATFORM, NEITHER))["spec"]
        assert "nvidia.com/gpu" not in json.dumps(pod)

    def test_shared_memory_must_leave_memory(self) -> None:
        with pytest.raises(CliError, match="sharedMemory"):
            objects.check_memory(replace(PLATFORM, shared_memory="8Gi"), 0)
        objects.check_memory(replace(PLATFORM, shared_memory="8Gi"), 1)


def test_environment_that_catdog_sets_cannot_be_set_again() -> None:
    platform = replace(PLATFORM, extra_env=({"name": "HOME", "value": "/home"},))
    with pytest.raises(CliError, match="extraEnv has HOME"):
        render(spec("r", 1, 0), platform, NEITHER)


def test_grace_period_is_that_of_the_configuration() -> None:
    run = RunSpec("r", replace(config("r", 1, 0), grace_period=44.5), 0)
    assert pod_of(render(run, PLATFORM, NEITHER))["spec"]["terminationGracePeriodSeconds"] == 45


@pytest.mark.parametrize(
    ("path", "there"), [("/pictures", True), ("/pictures/cats", True), ("/picturesque", False), ("/", False)]
)
def test_paths_below_a_mount_outlive_the_pod(path: str, there: bool) -> None:
    assert objects.mounted(EVERYTHING, path) is there
    assert not objects.mounted(Platform(), path)
