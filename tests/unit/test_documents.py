"""The documents name only files that exist, and what they tell people to apply is valid."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "docs").rglob("*.md")),
]
# In backquotes, from the top of the repository; NAME stands for one that somebody will choose.
_PATH = re.compile(r"`((?:\.ci|benchmarks|docs|helm|k8s|requirements|tests|trainer)/[\w./-]*)`")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_in_backquotes_are_there(document: str) -> None:
    named = _PATH.findall((REPOSITORY / document).read_text())
    assert [path for path in named if "NAME" not in path and not (REPOSITORY / path).exists()] == []


def test_manifests_to_apply_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "docs/how-to/serving.md").read_text(), re.DOTALL)
    objects = [one for block in blocks for one in yaml.safe_load_all(block)]
    kinds = [one["kind"] for one in objects]
    assert kinds == ["Deployment", "Service", "InferenceService"]
    for one in objects[:2]:  # the third is of KServe, whose schema is not Kubernetes'
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)
