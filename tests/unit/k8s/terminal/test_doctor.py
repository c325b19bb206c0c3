import io
import json
import stat
import tarfile
from pathlib import Path

import pytest

from k8s.terminal.doctor import HIDDEN, Check, as_lines, hide, hide_in_text, write_bundle


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
        "-----BEGIN PRIVATE KEY-----\nSECRETPART\n-----END PRIVATE KEY-----",
    ],
)
def test_secrets_in_log_lines_are_hidden(text: str) -> None:
    assert "SECRETPART" not in hide_in_text(text)
    assert HIDDEN in hide_in_text(text)


def test_other_text_stays() -> None:
    text = "epoch 3: loss 0.41, key insight: 12 tokens at gs://bucket/runs/first"
    assert hide_in_text(text) == text


def test_the_bundle_is_the_owners_alone_and_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    write_bundle(path, {"why.txt": b"because\n", "logs/p.txt": b""})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        assert archive.getnames() == ["b/logs/p.txt", "b/why.txt"]
        member = archive.extractfile("b/why.txt")
        assert member is not None
        assert member.read() == b"because\n"
    with pytest.raises(FileExistsError):
        write_bundle(path, {})


def test_checks_are_marked() -> None:
    text = as_lines([Check("a", True, "x"), Check("b", False, "y"), Check("c", None, "z")])
    assert [line.split()[0] for line in text.splitlines()] == ["ok", "FAIL", "note"]
