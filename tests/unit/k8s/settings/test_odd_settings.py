"""Whatever a profile or a platform says, it gives manifests or is refused in one line that names the place."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k8s.actions.installation import merged_platform
from k8s.exits import Cli, CliError
from k8s.manifest.render import render
from k8s.manifest.spec import Served, check_name
from k8s.manifest.text import to_yaml
from k8s.settings.platform import of_file
from tests import odd
from tests.unit.k8s.manifest.cases import spec

VALID: dict[str, Any] = {
    "schema": 1,
    "image": "i",
    "runs": "gs://b/r",
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "resources": {"cpu": 2, "memory": "8Gi"},
    "gpu": {"resource": "nvidia.com/gpu", "overlay": {"runtimeClassName": "nvidia"}},
    "extraEnv": [{"name": "A", "value": "b"}],
    "extraVolumes": [{"name": "v", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
    "overlay": {
        "labels": {"a": "b"},
        "affinity": {"nodeAffinity": {"a": [1]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}],
        "resourceClaims": [{"name": "a", "resourceClaimName": "b"}],
        "resources": {"rdma/hca": "1"},
        "env": {"NCCL_DEBUG": "INFO"},
        "hostNetwork": True,
    },
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(data=st.data())
def test_a_profile_gives_manifests_or_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "catdog" / "profile.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data.draw(odd.files(VALID)))

    def rendered() -> None:
        platform = merged_platform({"image": "i"}, {}, "the platform")
        to_yaml(render(spec("r", 2, 1), platform, Served(jobset=True, kueue=True)))

    error = odd.refusal(rendered, CliError)
    if error is not None:
        assert error.code == Cli.USAGE
        assert "\n" not in error.message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(odd.values | odd.changed(VALID))
def test_the_platform_in_a_file_is_used_or_refused(tmp_path: Path, value: Any) -> None:
    data = {"platform.yaml": json.dumps(value)}
    config_map = {"kind": "ConfigMap", "metadata": {"name": "catdog-platform"}, "data": data}
    (tmp_path / "platform.yaml").write_text(yaml.safe_dump(config_map))

    def rendered() -> None:
        platform = merged_platform(of_file(tmp_path / "platform.yaml"), {}, "FILE")
        to_yaml(render(spec("r", 1, 0), platform, Served(jobset=False, kueue=True)))

    error = odd.refusal(rendered, CliError)
    if error is not None:
        assert error.code in (Cli.USAGE, Cli.PREREQUISITE)
        assert "\n" not in error.message


@pytest.mark.parametrize(
    "text",
    [
        "image: &a [*a]",
        "overlay: {affinity: &a {b: *a}}",
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)),
    ],
    ids=["a list in itself", "a mapping in itself", "a billion"],
)
def test_aliases_do_not_make_a_document_endless(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "catdog").mkdir()
    (tmp_path / "catdog" / "profile.yaml").write_text(text)
    with pytest.raises(CliError, match=r"profile\.yaml: more than 100,000 values or 100 levels"):
        merged_platform({}, {}, "the platform")


@given(st.text(max_size=80) | st.from_regex(r"[a-z][-a-z0-9]{0,70}\n?"), st.integers(1, 10**6))
def test_a_name_of_a_run_is_a_label_and_a_host_name_or_is_refused(name: str, workers: int) -> None:
    error = odd.refusal(lambda: check_name(name, workers), CliError)
    if error is None:
        assert all(one in "abcdefghijklmnopqrstuvwxyz0123456789-" for one in name)
        assert len(f"{name}-w-0-{workers - 1}-xxxxx") <= 63
    else:
        assert error.code == Cli.USAGE
        assert "\n" not in error.message
