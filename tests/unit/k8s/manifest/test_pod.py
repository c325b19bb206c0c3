from dataclasses import replace

import pytest

from k8s.exits import CliError
from k8s.manifest.render import render
from k8s.manifest.spec import RunSpec, Served
from tests.unit.k8s.manifest.cases import CASES, JOBSET, NEITHER, PLATFORM, config, pod_of, spec
from trainer.config import RunConfig
from trainer.requests import from_json
from trainer.workers import topology


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


def test_a_single_worker_has_no_peers() -> None:
    [container] = pod_of(render(spec("one", 1, 4), PLATFORM, JOBSET))["spec"]["containers"]
    environment = {one["name"]: one.get("value", "") for one in container["env"]}
    assert topology.from_environment({**environment, "JOB_COMPLETION_INDEX": "0"}) is topology.ALONE


def test_environment_that_catdog_sets_cannot_be_set_again() -> None:
    platform = replace(PLATFORM, extra_env=({"name": "HOME", "value": "/home"},))
    with pytest.raises(CliError, match="extraEnv has HOME"):
        render(spec("r", 1, 0), platform, NEITHER)


@pytest.mark.parametrize("served", [NEITHER, JOBSET], ids=["job", "jobset"])
def test_workers_of_a_gang_are_given_a_reference_to_the_secret_of_the_platform(served: Served) -> None:
    platform = replace(PLATFORM, gang_secret="ours")
    [container] = pod_of(render(spec("r", 2, 0), platform, served))["spec"]["containers"]
    [given] = [one for one in container["env"] if "SECRET" in one["name"]]
    reference = {"secretKeyRef": {"name": "ours", "key": "secret"}}
    assert given == {"name": "CATDOG_GANG_SECRET", "valueFrom": reference}


def test_who_works_alone_or_where_the_platform_has_no_secret_is_given_none() -> None:
    with_one = replace(PLATFORM, gang_secret="ours")
    for run, platform in ((spec("r", 1, 4), with_one), (spec("r", 2, 0), PLATFORM)):
        assert "CATDOG_GANG_SECRET" not in str(render(run, platform, JOBSET))


def test_grace_period_is_that_of_the_configuration() -> None:
    run = RunSpec("r", replace(config("r", 1, 0), grace_period=44.5), 0)
    assert pod_of(render(run, PLATFORM, NEITHER))["spec"]["terminationGracePeriodSeconds"] == 45
