from typing import Any

import pytest

from k8s.exits import Cli, CliError
from k8s.settings.layers import merge
from k8s.settings.overlay import Overlay, over
from k8s.settings.platform import key, of_mapping
from trainer.fields import options


def test_the_allow_list_is_what_the_documents_say() -> None:
    assert sorted(map(key, options(Overlay))) == [
        "affinity",
        "annotations",
        "dnsPolicy",
        "env",
        "hostNetwork",
        "labels",
        "resourceClaims",
        "resources",
        "runtimeClassName",
        "schedulerName",
        "topologySpreadConstraints",
    ]


@pytest.mark.parametrize("place", ["overlay", "gpu.overlay"])
@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"securityContext": {}}, "{}.securityContext: not allowed; allowed in an overlay are affinity, annotations"),
        ({"containers": []}, "{}.containers: not allowed"),
        ({"automountServiceAccountToken": True}, "{}.automountServiceAccountToken: not allowed"),
        ({"hostPID": True}, "{}.hostPID: not allowed"),
        ({"tolerations": []}, "{}.tolerations: it is a setting of its own, beside `overlay`; allowed in an overlay"),
        ({"nodeSelector": {}}, "{}.nodeSelector: it is a setting of its own"),
        ({"labels": {"app.kubernetes.io/instance": "x"}}, "{}.labels.app.kubernetes.io/instance is not allowed: runs"),
        ({"labels": {"catdog.dev/recipe": "x"}}, "{}.labels.catdog.dev/recipe is not allowed"),
        ({"labels": {"batch.kubernetes.io/job-name": "x"}}, "{}.labels.batch.kubernetes.io/job-name is not allowed"),
        ({"labels": {"jobset.sigs.k8s.io/jobset-uid": "x"}}, "{}.labels.jobset.sigs.k8s.io/jobset-uid is not allowed"),
        (
            {"labels": {"kueue.x-k8s.io/queue-name": "x"}},
            "{}.labels.kueue.x-k8s.io/queue-name is not allowed: the setting `queue`",
        ),
        ({"annotations": {"catdog.dev/config": "{}"}}, "{}.annotations.catdog.dev/config is not allowed"),
        (
            {"annotations": {"container.apparmor.security.beta.kubernetes.io/trainer": "unconfined"}},
            "{}.annotations.container.apparmor.security.beta.kubernetes.io/trainer is not allowed: it would change how",
        ),
        ({"labels": {"team": 4}}, "{}.labels.team is 4; it must be text"),
        ({"env": {"HOME": "/"}}, "{}.env.HOME is not allowed; allowed are NCCL_*, and others in extraEnv"),
        ({"env": {"NCCL_DEBUG": 1}}, "{}.env.NCCL_DEBUG is 1; it must be text"),
        ({"resources": {"cpu": "4"}}, "{}.resources.cpu is not allowed: the settings `resources`"),
        ({"resources": {"nvidia.com/gpu": "4"}}, "{}.resources.nvidia.com/gpu is not allowed: --gpus"),
        ({"resources": {"rdma/hca": "0.5"}}, "{}.resources.rdma/hca is '0.5'; it must be a whole number"),
        ({"resources": {"rdma/hca": "one"}}, "{}.resources.rdma/hca is 'one'; it must be a quantity"),
        ({"resources": {"pods": "1"}}, "{}.resources.pods is not allowed; allowed are devices"),
        ({"resourceClaims": [{"name": "a"}]}, "{}.resourceClaims[0] needs a name, and either"),
        ({"resourceClaims": [{"name": "a", "source": "x"}]}, "{}.resourceClaims[0].source is not allowed"),
        (
            {"resourceClaims": [{"name": 1, "resourceClaimName": "x"}]},
            "{}.resourceClaims[0].name is 1; it must be",
        ),
        ({"resourceClaims": [{"name": "a", "resourceClaimName": "x"}] * 2}, "{}.resourceClaims has a name twice"),
        ({"dnsPolicy": "None"}, "{}.dnsPolicy is 'None'; it must be one of ClusterFirst, "),
        ({"hostNetwork": "yes"}, "{}.hostNetwork is 'yes'; it must be true or false"),
        ({"affinity": []}, "{}.affinity must be a mapping"),
        ({"affinity": {1: 2}}, "{}.affinity has the key 1; it must be text"),
    ],
)
def test_anything_else_is_refused_in_one_line_with_key_place_and_what_is_allowed(
    place: str, overlay: dict[str, Any], message: str
) -> None:
    values = {"overlay": overlay} if place == "overlay" else {"gpu": {"overlay": overlay}}
    with pytest.raises(CliError) as caught:
        of_mapping(values, "profile.yaml")
    assert caught.value.code == Cli.USAGE
    assert caught.value.message.startswith("profile.yaml: " + message.replace("{}", place, 1))
    assert "\n" not in caught.value.message


def test_what_people_need_is_allowed() -> None:
    made = of_mapping(
        {
            "overlay": {
                "labels": {"sidecar.istio.io/inject": "false"},
                "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                "runtimeClassName": "nvidia",
                "resources": {"rdma/hca": "1", "hugepages-2Mi": "64Mi"},
                "env": {"NCCL_SOCKET_IFNAME": "eth1"},
                "affinity": {"nodeAffinity": {"weight": 1}},
            }
        },
        "x",
    )
    assert made.overlay.resources == {"rdma/hca": "1", "hugepages-2Mi": "64Mi"}


def test_the_profile_is_over_the_platform_by_key_and_lists_are_replaced() -> None:
    platform = {"labels": {"a": "1", "b": "1"}, "schedulerName": "s", "resourceClaims": [{"name": "x"}]}
    profile = {"labels": {"b": "2"}, "schedulerName": "", "resourceClaims": []}
    merged = merge(({"overlay": platform}, {"overlay": profile}))
    assert of_mapping(merged, "x").overlay == Overlay(labels={"a": "1", "b": "2"})


def test_that_of_workers_with_gpus_is_added_to_that_of_all() -> None:
    every = Overlay(labels={"a": "1", "b": "1"}, runtime_class_name="x", dns_policy="Default")
    gpus = Overlay(labels={"b": "2"}, runtime_class_name="nvidia", host_network=True)
    assert over(every, gpus) == Overlay(
        labels={"a": "1", "b": "2"}, runtime_class_name="nvidia", dns_policy="Default", host_network=True
    )
    assert over(every, Overlay()) == every


@pytest.mark.parametrize("name", ["gpu", "cpu", "a b/c", "", "/x", "nvidia.com/"])
def test_a_gpu_resource_is_a_device(name: str) -> None:
    with pytest.raises(CliError, match=r"x: gpu.resource is .*it must be a device resource, such as nvidia.com/gpu"):
        of_mapping({"gpu": {"resource": name}}, "x")
