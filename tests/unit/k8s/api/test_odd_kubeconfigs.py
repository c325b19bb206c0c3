"""Whatever is in a kubeconfig, or a credential plugin answers, is used or refused in one line."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k8s.api import kubeconfig, plugin
from k8s.api.connection import connect
from k8s.exits import Cli, CliError
from tests import odd

USER = {"exec": {"apiVersion": "v1", "command": "false", "args": ["a"], "env": [{"name": "A", "value": "b"}]}}
VALID: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "a",
    "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
    "clusters": [
        {
            "name": "c",
            "cluster": {
                "server": "https://127.0.0.1:1",
                "certificate-authority-data": "eA==",
                "tls-server-name": "x",
                "insecure-skip-tls-verify": False,
                "proxy-url": "http://127.0.0.1:1",
                "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"a": 1}}],
            },
        }
    ],
    "users": [{"name": "u", "user": {"token": "t", "client-certificate-data": "eA==", "client-key-data": "eA=="}}],
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(data=st.data())
def test_a_kubeconfig_is_used_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    file = tmp_path / "config"
    file.write_bytes(data.draw(odd.files(VALID)))
    monkeypatch.setenv("KUBECONFIG", str(file))
    error = odd.refusal(lambda: connect("", ""), CliError)
    if error is not None:
        assert error.code in (Cli.USAGE, Cli.PREREQUISITE)
        assert "\n" not in error.message


@settings(max_examples=100, deadline=None)
@given(odd.changed(USER["exec"]), odd.changed(VALID["clusters"][0]["cluster"]))
def test_a_plugin_is_described_or_refused(described: Any, cluster: Any) -> None:
    if isinstance(described, dict) and "command" in described:
        described["command"] = "false" if isinstance(described["command"], str) else described["command"]
    cluster = {"provideClusterInfo": True, **cluster} if isinstance(cluster, dict) else {}
    if isinstance(described, dict):
        described = {**described, "provideClusterInfo": True}
    error = odd.refusal(lambda: plugin.ask(described, "u", cluster, seconds=5.0), CliError)
    assert error is not None
    assert "\n" not in error.message


@settings(max_examples=200, deadline=None)
@given(odd.files({"kind": "ExecCredential", "apiVersion": "v1", "status": {"token": "t", "expirationTimestamp": None}}))
def test_an_answer_of_a_plugin_is_used_or_refused(answer: bytes) -> None:
    error = odd.refusal(lambda: plugin._credential(answer.decode(errors="replace"), "v1", "it", ""), CliError)
    if error is not None:
        assert "\n" not in error.message


def test_what_a_plugin_prints_is_not_shown_even_if_it_fails() -> None:
    program = 'import sys; print(\'{"token": "SECRETPART"}\'); sys.exit(3)'
    described = {"apiVersion": "v1", "command": sys.executable, "args": ["-c", program]}
    with pytest.raises(CliError, match="exit code 3: it said nothing to standard error") as caught:
        plugin.ask(described, "u", {})
    assert "SECRETPART" not in caught.value.message


def test_a_valid_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(json.dumps(VALID))
    config = kubeconfig.load([tmp_path / "config"])
    assert config is not None
    assert kubeconfig.choose(config, "").namespace == "n"
