import kubernetes_validate
import pytest

from k8s.manifest.render import render
from tests.unit.k8s.manifest.cases import CASES, NEITHER, PLATFORM, pod_of, spec


@pytest.mark.parametrize("name", CASES)
def test_objects_are_valid_for_kubernetes(name: str) -> None:
    for one in render(*CASES[name]):
        if one["kind"] == "JobSet":
            child = one["spec"]["replicatedJobs"][0]["template"]
            one = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "child"}, "spec": child["spec"]}
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


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


def test_several_workers_without_jobset_get_a_headless_service_that_selects_them() -> None:
    job, service = render(spec("gang", 2, 2), PLATFORM, NEITHER)
    assert (job["kind"], service["kind"]) == ("Job", "Service")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert job["spec"]["template"]["spec"]["subdomain"] == service["metadata"]["name"]
