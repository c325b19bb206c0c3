"""Kubeconfigs as people have them: several files, missing parts, and contents of any kind, each in one line."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from k8s.api import kubeconfig
from k8s.api.kubeconfig import choose, files, load
from k8s.cli import app
from k8s.exits import Cli, CliError


def content(name: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"ns-{name}"}}],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443"}}],
        "users": [{"name": name, "user": {"token": f"token-{name}"}}],
        **more,
    }


def write(path: Path, what: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(what if isinstance(what, str) else yaml.safe_dump(what))
    return path


def test_which_files() -> None:
    assert files({"KUBECONFIG": os.pathsep.join(["/a", "", "/b"])}) == [Path("/a"), Path("/b")]
    assert files({"KUBECONFIG": ""}) == files({}) == [Path("~/.kube/config").expanduser()]


def test_the_first_file_that_defines_something_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "first", content("a"))
    other = content("a", **{"current-context": "b"})
    other["clusters"][0]["cluster"]["server"] = "https://other"
    second = write(tmp_path / "second", other)
    third = write(tmp_path / "third", content("b", **{"current-context": "a"}))
    empty = write(tmp_path / "empty", "# nothing\n")
    found = load([tmp_path / "missing", empty, first, second, third])
    assert found is not None
    chosen = choose(found, "")
    assert (chosen.context, chosen.cluster["server"], chosen.namespace) == ("b", "https://b:6443", "ns-b")
    assert choose(found, "a").cluster["server"] == "https://a:6443"
    assert load([tmp_path / "missing", empty]) is None


def test_a_context_that_is_named_needs_no_current_one(tmp_path: Path) -> None:
    for current in ({}, {"current-context": ""}, {"current-context": None}):
        found = load([write(tmp_path / "config", content(**current))])
        assert found is not None
        assert choose(found, "a").user == {"token": "token-a"}
        with pytest.raises(CliError, match=r"no current context .*config; use --context: it has a$"):
            choose(found, "")


def test_paths_are_relative_to_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = content(**{"current-context": "a"})
    made["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    made["users"][0]["user"] = {"client-key": "/etc/key", "exec": {"command": "./login"}}
    write(tmp_path / "conf" / "config", made)
    monkeypatch.chdir(tmp_path)
    found = load([Path("conf/config")])
    assert found is not None
    chosen = choose(found, "")
    assert chosen.cluster["certificate-authority"] == f"{tmp_path}/conf/ca.crt"
    assert (chosen.user["client-key"], chosen.user["exec"]["command"]) == ("/etc/key", f"{tmp_path}/conf/login")
    made["users"][0]["user"] = {"exec": {"command": "aws"}}
    assert choose(load([write(tmp_path / "b", made)]) or kubeconfig.Kubeconfig(()), "").user["exec"]["command"] == "aws"


CURRENT = {"current-context": "a"}
ODD: dict[str, tuple[Any, str]] = {
    "not YAML": ("a: {", "not YAML"),
    "text": ("hello", "it must be a mapping"),
    "a list": ("- 1", "it must be a mapping"),
    "a tag that does not fit": ("a: !!bool x", "not YAML"),
    "contexts are no list": (content(contexts="a", **CURRENT), "contexts must be a list"),
    "a context is text": (content(contexts=["a"], **CURRENT), "contexts must have a name and a context"),
    "a context has no name": (content(contexts=[{"context": {}}], **CURRENT), "contexts must have a name"),
    "a user is a list": (content(users=[{"name": "a", "user": [1]}], **CURRENT), "users must have a name and a user"),
    "no contexts": ({**CURRENT}, "no context 'a' .*; it has none"),
    "a current context that is none": (content(**{"current-context": "x"}), "no context 'x' .*; it has a"),
    "a current context that is no text": (content(**{"current-context": [1]}), "current-context must be text"),
    "no user": (content(users=None, **CURRENT), "context a: there is no user 'a'"),
    "no cluster": (content(clusters=[], **CURRENT), "context a: there is no cluster 'a'"),
    "no server": (content(clusters=[{"name": "a", "cluster": {}}], **CURRENT), "server is ''; it must be a URL"),
    "server": (content(clusters=[{"name": "a", "cluster": {"server": 4}}], **CURRENT), "server must be text"),
    "base64": (content(users=[{"name": "a", "user": {"client-certificate-data": "abc"}}], **CURRENT), "cannot be used"),
    "a certificate that is not there": (
        content(users=[{"name": "a", "user": {"client-certificate": "no.crt", "client-key": "no.key"}}], **CURRENT),
        "cannot be used: .*no.crt",
    ),
    "a certificate that is no text": (
        content(users=[{"name": "a", "user": {"client-certificate-data": [1]}}], **CURRENT),
        "cannot be used",
    ),
    "an auth-provider of old": (
        content(users=[{"name": "a", "user": {"auth-provider": {"name": "oidc", "config": {}}}}], **CURRENT),
        "cannot be used|cannot be reached",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_every_fault_is_one_line_that_names_the_file(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what, says = ODD[case]
    path = write(tmp_path / "config", what)
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["logs", "run"])
    assert result.exit_code == Cli.PREREQUISITE, result.exception
    assert result.stderr.count("\n") == 1, result.stderr
    assert str(path) in result.stderr
    assert re.search(says, result.stderr), result.stderr


@pytest.mark.parametrize("data", [b"\xff\xfe\x00k", b"\x80\x81"])
def test_a_file_that_is_no_text(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(data)
    with pytest.raises(CliError, match=r"the kubeconfig .*config: not a text file") as caught:
        load([tmp_path / "config"])
    assert caught.value.code == Cli.PREREQUISITE


def test_a_folder_and_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CliError, match=f"the kubeconfig {tmp_path}: Is a directory"):
        load([tmp_path])

    def denied(path: Path, **more: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(CliError, match="config: Permission denied") as caught:
        load([tmp_path / "config"])
    assert caught.value.code == Cli.PREREQUISITE
