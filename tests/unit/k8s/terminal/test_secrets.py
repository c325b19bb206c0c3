import json

import pytest

from k8s.terminal.secrets import HIDDEN, hide, hide_in_text


def test_values_named_like_secrets_are_hidden_everywhere() -> None:
    shown = hide(
        {
            "env": [{"name": "API_TOKEN", "value": "abc"}, {"name": "HOME", "value": "/tmp"}],
            "password": "x",
            "nested": [{"private_key": "y", "client_secret": "z"}],
            "metadata": {"managedFields": [1], "name": "pod"},
            "secretName": {"keys": ["kept"]},
        }
    )
    text = json.dumps(shown)
    assert all(f'"{secret}"' not in text for secret in ("abc", "x", "y", "z"))
    assert shown["env"][0]["value"] == HIDDEN
    assert shown["env"][1]["value"] == "/tmp"
    assert "managedFields" not in text


@pytest.mark.parametrize(
    "text",
    [
        "GET https://storage/x?X-Goog-Signature=SECRETPART&a=1",
        "Authorization: Bearer SECRETPART.abc-def",
        "proxy http://user:SECRETPART@proxy:3128",
        "proxy http://:SECRETPART@proxy:3128",
        "HF_TOKEN=hf_SECRETPARTSECRETPART is set",
        "environ({'DB_PASSWORD': 'SECRETPART', 'HOME': '/'})",
        "client_secret: SECRETPART",
        "it said hf_SECRETPARTSECRETPART",
        "eyJSECRETPART.eyJzdWIiOiJTRUNSRVQifQ.c2ln",
        '{"private_key": "-----BEGIN PRIVATE KEY-----\\nSECRETPART\\n-----END PRIVATE KEY-----"}',
        "-----BEGIN RSA PRIVATE KEY-----\nSECRETPART, cut short",
        "-----BEGIN PRIVATE KEY-----\nSECRETPART\n-----END PRIVATE KEY-----",
    ],
)
def test_secrets_in_log_lines_are_hidden(text: str) -> None:
    assert "SECRETPART" not in hide_in_text(text)
    assert HIDDEN in hide_in_text(text)


def test_other_text_stays() -> None:
    text = "epoch 3: loss 0.41, key insight: 12 tokens at gs://bucket/runs/first"
    assert hide_in_text(text) == text


def test_secrets_in_json_in_an_annotation_are_hidden() -> None:
    applied = json.dumps({"spec": {"env": [{"name": "HF_TOKEN", "value": "SECRETPART"}, {"name": "A", "value": "b"}]}})
    shown = hide({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}})
    [text] = shown["annotations"].values()
    assert "SECRETPART" not in text
    assert json.loads(text)["spec"]["env"][1] == {"name": "A", "value": "b"}
    deep = "[" * 100_000
    assert hide({"a": deep}) == {"a": deep}


def test_json_stays_json() -> None:
    one = {"automountServiceAccountToken": False, "tokenSeconds": 36000000, "secret": {"a": [1]}, "tokens": None}
    assert json.loads(hide_in_text(json.dumps(hide(one)))) == one
