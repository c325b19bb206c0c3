from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.exits import Cli, CliError
from k8s.settings.platform import (
    Gpu,
    Platform,
    Resources,
    default_recipe,
    key,
    of_file,
    of_mapping,
    of_profile,
    profile_path,
    require_image,
)
from trainer.fields import options

CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "catdog-platform", "namespace": "ml"},
    "data": {"platform.yaml": "schema: 1\nimage: catdog:1\nruns: gs://models/runs\ngpu:\n  resources: {cpu: 8}\n"},
}


def test_defaults_are_what_an_empty_mapping_gives() -> None:
    assert of_mapping({}, "x") == Platform()


def test_parts_keep_their_other_defaults() -> None:
    platform = of_mapping({"gpu": {"resources": {"cpu": 8}}, "resources": {"memory": "1Gi"}}, "x")
    assert platform.gpu == Gpu(resources=Resources(cpu="8", memory="16Gi", ephemeral_storage="10Gi"))
    assert platform.resources == Resources(memory="1Gi")


def test_every_key_reads_back() -> None:
    values: dict[str, Any] = {
        "image": "i",
        "imagePullSecrets": ["s"],
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "gpusPerNode": 4,
        "recipe": "augmented",
        "weights": "gs://models/weights/efficientnet-lite0",
        "gangSecret": "ours",
        "extraEnv": [{"name": "N", "value": "v"}],
        "nodesReadable": False,
        "storageCidrs": ["10.0.0.0/8"],
        "ttlSecondsAfterFinished": 0,
        "pricePerGpuHour": 2.5,
        "pricePerCpuHour": 0.04,
        "currency": "EUR",
    }
    platform = of_mapping(values, "x")
    names = {key(name): name for name in options(Platform)}
    for name, value in values.items():
        found = getattr(platform, names[name])
        assert (list(found) if isinstance(found, tuple) else found) == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"imge": "x"}, "unknown setting imge; known are .*image"),
        ({"gpu": {"cpu": 1}}, "unknown setting gpu.cpu"),
        ({"image": 4}, "image is 4; it must be text"),
        ({"gpusPerNode": "4"}, "gpusPerNode is '4'; it must be a whole number"),
        ({"gpusPerNode": True}, "gpusPerNode is True"),
        ({"gpusPerNode": 0}, "at least 1"),
        ({"recipe": "best"}, "recipe is 'best'; it must be one of transfer, baseline, augmented, demo"),
        ({"weights": 0}, "weights is 0; it must be text"),
        ({"shape": "pod"}, "one of auto, jobset, job"),
        ({"resources": {"cpu": "lots"}}, "resources.cpu is 'lots'; it must be a quantity"),
        ({"resources": {"memory": -1}}, "resources.memory is -1"),
        ({"resources": {"cpu": True}}, "resources.cpu is True"),
        ({"nodeSelector": {"a": 1}}, "nodeSelector.a is 1; it must be text: quote it"),
        ({"nodeSelector": "a=b"}, "nodeSelector must be a mapping"),
        ({"tolerations": ["a"]}, "tolerations must be a list of mappings"),
        ({"imagePullSecrets": "s"}, "imagePullSecrets must be a list of strings"),
        ({"tolerations": [{"key": {1: 2}}]}, r"tolerations\[0\].key has the key 1; it must be text"),
        ({"extraEnv": [{"name": "A", "value": date(2026, 1, 1)}]}, r"extraEnv\[0\].value is .*2026.*quote it in YAML"),
        ({"extraEnv": [{"value": "a"}]}, r"extraEnv\[0\].name is missing"),
        ({"extraVolumes": [{"name": 1}]}, r"extraVolumes\[0\].name is 1; it must be text"),
        ({"extraVolumeMounts": [{"name": "a"}]}, r"extraVolumeMounts\[0\].mountPath is missing"),
        (
            {"extraEnv": [{"name": "CATDOG_WORKERS", "value": "3"}]},
            r"extraEnv\[0\].name is CATDOG_WORKERS, .* catdog sets",
        ),
        ({"pricePerGpuHour": -1}, "pricePerGpuHour is -1.0; it must be at least 0"),
        ({"pricePerGpuHour": "2.5"}, "pricePerGpuHour is '2.5'; it must be a number"),
        ({"pricePerCpuHour": float("nan")}, "pricePerCpuHour is nan"),
        ({"currency": "US dollars, net"}, "currency is 'US dollars, net'; it must be at most 8 characters"),
        ({"currency": "\u202eRUE"}, "currency is .*; it must be at most 8 characters"),
        ({"schema": 2}, "schema is 2, but this catdog reads 1"),
    ],
)
def test_bad_settings_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(CliError, match=message) as caught:
        of_mapping(values, "values.yaml")
    assert caught.value.code == Cli.USAGE
    assert caught.value.message.startswith("values.yaml: ")


@pytest.mark.parametrize(
    "text",
    [
        yaml.safe_dump(CONFIG_MAP),
        yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [CONFIG_MAP]}),
        "---\n# Source: catdog/templates/role.yaml\nkind: Role\nmetadata: {name: catdog-platform}\n---\n# Source: x\n"
        + yaml.safe_dump(CONFIG_MAP)
        + "---\nkind: ConfigMap\nmetadata: {name: other}\n---\n",
    ],
    ids=["kubectl get -o yaml", "List", "helm template"],
)
def test_the_config_map_is_found_in_a_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / "platform.yaml"
    file.write_text(text)
    platform = of_mapping(of_file(file), str(file))
    assert (platform.image, platform.runs, platform.gpu.resources.cpu) == ("catdog:1", "gs://models/runs", "8")


@pytest.mark.parametrize(
    ("text", "message", "code"),
    [
        ("kind: ConfigMap\nmetadata: {name: other}\n", "no ConfigMap catdog-platform in it", Cli.PREREQUISITE),
        ("kind: ConfigMap\nmetadata: {name: catdog-platform}\n", "has no 'platform.yaml'", Cli.PREREQUISITE),
        (
            "kind: ConfigMap\nmetadata: {name: catdog-platform}\ndata: {platform.yaml: '- 1'}\n",
            "must be a mapping",
            Cli.USAGE,
        ),
        ("catdog-platform: {", "not YAML", Cli.USAGE),
        (None, "No such file", Cli.USAGE),
    ],
)
def test_files_that_do_not_have_it(text: str | None, message: str, code: Cli, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CliError, match=message) as caught:
        of_file(file)
    assert caught.value.code == code


ODD: dict[str, bytes] = {
    "not text": b"\xff\xfe\x00catdog-platform",
    "not YAML": b"catdog-platform: {",
    "a date that is none": b"catdog-platform: 2026-99-99",
    "a tag that does not fit": b"catdog-platform: !!bool maybe",
    "another such tag": b"catdog-platform: !!timestamp x",
    "nested without end": b"catdog-platform: " + b"[" * 5000,
    "text": b"catdog-platform",
    "a list": b"- catdog-platform",
    "a number": b"4 # catdog-platform",
    "a list of text": b"kind: List\nitems: [catdog-platform]",
    "items that are none": b"kind: List\nitems: catdog-platform",
    "metadata that is none": b"kind: ConfigMap\nmetadata: [catdog-platform]",
    "data that is none": b"kind: ConfigMap\nmetadata: {name: catdog-platform}\ndata: [1]",
    "data that is no text": b"kind: ConfigMap\nmetadata: {name: catdog-platform}\ndata: {platform.yaml: 1}",
    "a key that is none": b"1: catdog-platform",
    "keys of several kinds": b"1: catdog-platform\nimge: x",
    "an empty key": b"null: catdog-platform",
    "a nested key that is none": b"catdog-platform: {1: 2}",
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_a_file_of_any_content_is_refused_in_one_line_that_names_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(content)
    for read in (of_file, lambda path: of_mapping(of_profile(path), str(path))):
        with pytest.raises(CliError) as caught:
            read(file)
        assert caught.value.code in (Cli.USAGE, Cli.PREREQUISITE)
        assert str(file) in caught.value.message
        assert "\n" not in caught.value.message


def test_a_file_that_may_not_be_read_or_is_a_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for read in (of_file, of_profile):
        with pytest.raises(CliError, match=f"^{tmp_path}: Is a directory$"):
            read(tmp_path)

    def denied(path: Path, **more: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    for read in (of_file, of_profile):
        with pytest.raises(CliError, match=r"profile\.yaml: Permission denied") as caught:
            read(tmp_path / "profile.yaml")
        assert caught.value.code == Cli.USAGE


def test_an_empty_profile_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_text("# nothing yet\n")
    assert of_profile(tmp_path / "profile.yaml") == {}
    assert of_profile(tmp_path / "profile.yaml" / "below-a-file") == {}


def test_profile(tmp_path: Path) -> None:
    path = profile_path({"XDG_CONFIG_HOME": str(tmp_path)})
    assert path == tmp_path / "catdog" / "profile.yaml"
    assert of_profile(path) == {}
    path.parent.mkdir()
    path.write_text("queue: mine\n")
    assert of_profile(path) == {"queue": "mine"}
    path.write_text("- 1\n")
    with pytest.raises(CliError, match=r"profile.yaml must be a mapping"):
        of_profile(path)


def test_a_run_needs_an_image() -> None:
    with pytest.raises(CliError, match="no container image") as caught:
        require_image(Platform())
    assert caught.value.code == Cli.PREREQUISITE


def test_the_default_recipe_here_is_the_profiles_else_the_installed_one(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert default_recipe(environment) == "transfer"
    (tmp_path / "catdog").mkdir()
    (tmp_path / "catdog" / "profile.yaml").write_text("recipe: augmented\n")
    assert default_recipe(environment) == "augmented"
    (tmp_path / "catdog" / "profile.yaml").write_text("recipe: best\n")
    with pytest.raises(CliError, match=r"profile.yaml: recipe is 'best'"):
        default_recipe(environment)
