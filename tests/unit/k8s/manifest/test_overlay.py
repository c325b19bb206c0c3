from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k8s.exits import Cli, CliError
from k8s.manifest.render import render
from k8s.settings.overlay import Overlay
from k8s.settings.platform import Gpu, Platform, of_mapping
from tests.unit.k8s.manifest.cases import CASES, JOBSET, NEITHER, OVERLAY, PLATFORM, pod_of, spec


def pod(overlay: Overlay, workers: int = 2, gpus: int = 1, platform: Platform = PLATFORM) -> dict[str, Any]:
    return pod_of(render(spec("r", workers, gpus), replace(platform, overlay=overlay), JOBSET))


def test_an_empty_overlay_changes_nothing() -> None:
    for run, platform, served in CASES.values():
        if platform is not OVERLAY:
            assert render(run, replace(platform, overlay=Overlay()), served) == render(run, platform, served)


texts = st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=5), max_size=3)
overlays = st.builds(
    dict,
    labels=texts,
    annotations=texts,
    runtimeClassName=st.text(max_size=5),
    schedulerName=st.text(max_size=5),
    hostNetwork=st.booleans(),
    affinity=st.dictionaries(st.text(max_size=9), st.recursive(st.text(), st.lists), max_size=2),
    env=st.dictionaries(st.text(max_size=5).map("NCCL_".__add__), st.text(max_size=5), max_size=2),
)


@given(overlays)
def test_no_overlay_changes_what_catdog_sets(values: dict[str, Any]) -> None:
    try:
        overlay = of_mapping({"overlay": values}, "x").overlay
    except CliError:
        return
    without, made = pod(Overlay()), pod(overlay)
    for name, value in without["spec"].items():
        if name != "containers":
            assert made["spec"][name] == value
    [before], [after] = without["spec"]["containers"], made["spec"]["containers"]
    assert {**after, "env": before["env"]} == before
    assert after["env"][: len(before["env"])] == before["env"]
    for part in ("labels", "annotations"):
        assert made["metadata"][part] == {**values[part], **without["metadata"][part]}


def test_what_got_past_the_allow_list_would_still_be_below() -> None:
    own = {"app.kubernetes.io/instance": "other", "team": "a"}
    made = pod(Overlay(labels=own, annotations={"catdog.dev/config": "{}"}, resources={"cpu": "64"}))
    assert made["metadata"]["labels"] == {**pod(Overlay())["metadata"]["labels"], "team": "a"}
    assert made["metadata"]["annotations"] == pod(Overlay())["metadata"]["annotations"]
    assert made["spec"]["containers"][0]["resources"] == pod(Overlay())["spec"]["containers"][0]["resources"]


def test_host_network_takes_the_dns_policy_by_which_peers_are_found() -> None:
    made = pod(Overlay(host_network=True))["spec"]
    assert (made["hostNetwork"], made["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    assert "dnsPolicy" not in pod(Overlay())["spec"]


@pytest.mark.parametrize(
    ("overlay", "policy"),
    [
        (Overlay(dns_policy="Default"), "Default"),
        (Overlay(dns_policy="Default", host_network=True), "Default with hostNetwork"),
        (Overlay(dns_policy="ClusterFirst", host_network=True), "ClusterFirst with hostNetwork"),
    ],
)
def test_a_dns_policy_under_which_workers_would_not_meet_is_refused(overlay: Overlay, policy: str) -> None:
    with pytest.raises(CliError, match=f"overlay.dnsPolicy is {policy}: 2 workers would not find each other") as caught:
        pod(overlay)
    assert caught.value.code == Cli.USAGE
    assert pod(overlay, workers=1)["spec"]["dnsPolicy"] == overlay.dns_policy


def test_claims_are_of_the_container_too_and_devices_are_requests_and_limits() -> None:
    [container] = pod_of(render(*CASES["overlay-job"]))["spec"]["containers"]
    assert container["resources"]["claims"] == [{"name": "nic"}]
    assert container["resources"]["requests"]["rdma/hca"] == container["resources"]["limits"]["rdma/hca"] == "1"


def test_what_is_for_gpus_is_not_for_workers_without() -> None:
    platform = replace(PLATFORM, gpu=Gpu(overlay=Overlay(runtime_class_name="nvidia")))
    assert pod(Overlay(), platform=platform)["spec"]["runtimeClassName"] == "nvidia"
    assert "runtimeClassName" not in pod(Overlay(), gpus=0, platform=platform)["spec"]


def test_a_spread_over_nodes_replaces_catdogs_and_others_are_beside_it() -> None:
    def spread(key: str) -> list[dict[str, Any]]:
        one = {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule"}
        made = pod(Overlay(topology_spread_constraints=(one,)))["spec"]["topologySpreadConstraints"]
        assert isinstance(made, list)
        return made

    own = pod(Overlay())["spec"]["topologySpreadConstraints"][0]
    assert [one["whenUnsatisfiable"] for one in spread("kubernetes.io/hostname")] == ["DoNotSchedule"]
    assert spread("zone")[0] == own
    assert all(one["labelSelector"] == own["labelSelector"] for one in spread("zone"))


def test_a_variable_in_extra_env_too_is_refused() -> None:
    platform = replace(PLATFORM, extra_env=({"name": "NCCL_DEBUG", "value": "INFO"},))
    with pytest.raises(CliError, match=r"overlay.env.NCCL_DEBUG is in extraEnv too"):
        pod(Overlay(env={"NCCL_DEBUG": "WARN"}), platform=platform)


def test_both_shapes_have_the_same_overlay() -> None:
    run, platform, _ = CASES["overlay-job"]
    job, job_set = pod_of(render(run, platform, NEITHER)), pod_of(render(run, platform, JOBSET))
    for name in ("affinity", "runtimeClassName", "schedulerName", "resourceClaims", "topologySpreadConstraints"):
        assert job["spec"][name] == job_set["spec"][name]
