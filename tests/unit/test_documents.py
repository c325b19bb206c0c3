"""The documents name only files that exist, and what they tell people to apply is valid."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from k8s.manifest.render import render
from k8s.manifest.spec import RunSpec, Served
from k8s.settings.platform import of_mapping
from trainer.config import RunConfig

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md")),
]
# In backquotes, from the top of the repository; NAME stands for one that somebody will choose.
_PATH = re.compile(r"`((?:\.ci|benchmarks|docs|helm|k8s|requirements|tests|trainer)/[\w./-]*)`")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_in_backquotes_are_there(document: str) -> None:
    named = _PATH.findall((REPOSITORY / document).read_text())
    assert [path for path in named if "NAME" not in path and not (REPOSITORY / path).exists()] == []


def test_settings_in_the_documents_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "docs/how-to/pods.md").read_text(), re.DOTALL)
    assert len(blocks) == 8
    run = RunSpec("r", RunConfig(run="gs://b/r", workers=2, accelerator="gpu"), 1)
    for block in blocks:
        platform = of_mapping({"image": "i", **yaml.safe_load(block)}, "docs/how-to/pods.md")
        [job_set] = render(run, platform, Served(jobset=True, kueue=False))
        child = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "r"}}
        job = {**child, "spec": job_set["spec"]["replicatedJobs"][0]["template"]["spec"]}
        kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def test_manifests_to_apply_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "docs/how-to/serving.md").read_text(), re.DOTALL)
    objects = [one for block in blocks for one in yaml.safe_load_all(block)]
    kinds = [one["kind"] for one in objects]
    assert kinds == ["Deployment", "Service", "InferenceService"]
    for one in objects[:2]:  # the third is of KServe, whose schema is not Kubernetes'
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
