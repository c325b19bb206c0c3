"""The real API server, helm and Pod Security check the chart and every rendered object."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import api, programs
from tests.e2e.kit import REPOSITORY, Site, set_flags, values_of

pytestmark = pytest.mark.timeout(120, func_only=True)  # setting up may build for minutes

CHART = REPOSITORY / "helm" / "catdog"
GOLDEN = sorted((REPOSITORY / "tests" / "unit" / "k8s" / "manifest" / "golden").glob("*.yaml"))


@pytest.mark.parametrize("manifest", GOLDEN, ids=lambda path: path.stem)
def test_the_api_server_takes_every_golden_manifest_without_a_warning(site: Site, manifest: Path) -> None:
    flags = ("--dry-run=server", "--warnings-as-errors", "-f", str(manifest))
    api.kubectl(site.cluster, "-n", site.namespace, "create", *flags)


def test_that_would_have_warned_of_a_pod_that_is_not_restricted(site: Site, tmp_path: Path) -> None:
    manifest = tmp_path / "root.yaml"
    text = next(path for path in GOLDEN if path.stem == "one-node-cpu").read_text()
    assert "runAsNonRoot: true" in text
    manifest.write_text(text.replace("runAsNonRoot: true", "runAsNonRoot: false"))
    flags = ("--dry-run=server", "--warnings-as-errors", "-f", str(manifest))
    with pytest.raises(api.ClusterError):
        api.kubectl(site.cluster, "-n", site.namespace, "create", *flags)


def test_helm_finds_nothing_wrong_with_the_chart(cluster: api.Cluster) -> None:
    flags = set_flags(values_of("localhost/catdog:any", "gs://any"))
    out = api.helm(cluster, "lint", "--strict", str(CHART), *flags)
    assert "0 chart(s) failed" in out


def test_the_suites_of_the_chart_pass() -> None:
    program = programs.build(programs.HELM_UNITTEST) / "helm-unittest"
    done = subprocess.run([program, CHART], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Test Suites: [1-9]\d* passed", done.stdout), done.stdout


def test_uninstalling_leaves_nothing(new_site: Callable[..., Site]) -> None:
    site = new_site("")
    before = everything(site)
    flags = set_flags(values_of("localhost/catdog:any", site.bucket))
    api.helm(site.cluster, "install", "catdog", str(CHART), "--namespace", site.namespace, *flags)
    assert everything(site) > before
    api.helm(site.cluster, "uninstall", "catdog", "--namespace", site.namespace, "--wait")
    assert everything(site) == before


def everything(site: Site) -> set[str]:
    """Objects of the namespace, and the cluster-wide ones that a chart may create."""
    kinds = api.kubectl(site.cluster, "api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    kinds = [kind for kind in kinds if not kind.startswith(("events", "pods.metrics"))]
    words = ("-n", site.namespace, "get", ",".join([*kinds, "clusterroles", "clusterrolebindings"]))
    found = json.loads(api.kubectl(site.cluster, *words, "-o", "json"))["items"]
    return {f"{one['kind']}/{one['metadata']['name']}" for one in found}
