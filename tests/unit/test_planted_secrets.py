"""Secrets that are planted wherever people have them come out nowhere: not in what is printed, nor in what is kept."""

import base64
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from tests import runs
from tests.unit.k8s.api.api_server import Api, serve
from tests.unit.typed import CATDOG

pytestmark = pytest.mark.timeout(300)

MARK = "pLaNtEd"
TOKEN = f"hf_{MARK}{MARK}{MARK}"
PEM = f"-----BEGIN PRIVATE KEY-----\n{MARK}\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose variables, key file and kubeconfig have secrets; nothing of it is reachable."""
    key = {"type": "service_account", "client_email": "a@b.c", "token_uri": "http://127.0.0.1:1", "private_key": PEM}
    (tmp_path / "key.json").write_text(json.dumps({**key, "private_key_id": MARK, "project_id": "p"}))
    user = {"token": MARK, "client-key-data": base64.b64encode(PEM.encode()).decode()}
    made = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://me:{MARK}@127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": user["token"]}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(made))
    (tmp_path / "config" / "catdog").mkdir(parents=True)
    for name, value in {
        "HF_TOKEN": TOKEN,
        "AWS_SECRET_ACCESS_KEY": MARK,
        "DATABASE_URL": f"postgres://me:{MARK}@db/x",
        "HTTPS_PROXY": f"http://me:{MARK}@127.0.0.1:1",
        "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json"),
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "NO_GCE_CHECK": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    return tmp_path


def catdog(*arguments: object) -> str:
    """What a command prints."""
    done = subprocess.run([*CATDOG, *map(str, arguments)], capture_output=True, text=True, timeout=200)
    return done.stdout + done.stderr


def clean(text: str) -> str:
    assert MARK not in text
    assert base64.b64encode(PEM.encode()).decode()[:20] not in text
    return text


def test_a_run_keeps_and_prints_none(planted: Path) -> None:
    data, run = runs.drawn(planted / "data", 8, 4, 4), planted / "run"
    words = ("--recipe", "demo", "--image-size", "32", "--batch-size", "8", "--epochs", "1", "--metrics-port", "0")
    printed = clean(catdog("train", *words, "--data", data, "--run", run))
    assert "accuracy" in printed
    clean(catdog("report", run))
    kept = [path for path in run.rglob("*") if path.is_file()]
    assert {"config.json", "state.json", "metrics.jsonl", "summary.json", "report.html"} <= {p.name for p in kept}
    assert [str(path) for path in kept if MARK.encode() in path.read_bytes()] == []


@pytest.mark.parametrize("verb", [("data", "check"), ("train", "--recipe", "demo", "--data")])
def test_a_key_that_cannot_be_used_is_not_shown(planted: Path, verb: tuple[str, ...]) -> None:
    said = clean(catdog(*verb, "gs://bucket/data"))
    assert "key.json" in said or "bucket" in said
    assert "Traceback" not in said


def test_commands_on_a_cluster_that_is_away_show_none(planted: Path) -> None:
    for words in (("list",), ("submit", "--gpus", "1")):
        said = clean(catdog(*words))
        assert said.startswith("catdog: ")
        assert "Traceback" not in said


@pytest.mark.parametrize("odd", [f"{MARK}\nx", f"{MARK}☃"])
def test_a_token_that_no_header_can_have_is_not_shown(planted: Path, odd: str) -> None:
    made = yaml.safe_load((planted / "kubeconfig").read_text())
    made["users"][0]["user"]["token"] = odd
    with serve(Api()) as server:
        made["clusters"][0]["cluster"]["server"] = server.server
        (planted / "kubeconfig").write_text(yaml.safe_dump(made))
        said = clean(catdog("list"))
    assert "its token has a line break" in said


def test_a_dry_run_without_a_cluster_shows_none_of_the_users(planted: Path) -> None:
    config_map = {"kind": "ConfigMap", "metadata": {"name": "catdog-platform"}}
    text = yaml.safe_dump({**config_map, "data": {"platform.yaml": "image: i\nruns: gs://b/runs\n"}})
    (planted / "platform.yaml").write_text(text)
    for form in ("yaml", "json"):
        words = ("--gpus", 2, "--dry-run", "--platform", planted / "platform.yaml", "--name", "r", "-o", form)
        assert "JobSet" in clean(catdog("submit", *words))


def test_a_bundle_of_doctor_has_none(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = {"image": "i", "runs": "/runs", "extraEnv": [{"name": "HF_TOKEN", "value": TOKEN}]}
    env = [{"name": "HF_TOKEN", "value": TOKEN}, {"name": "PROXY", "value": f"http://me:{MARK}@proxy"}]
    labels = {"app.kubernetes.io/instance": "r", "app.kubernetes.io/name": "catdog"}
    labels |= {"app.kubernetes.io/managed-by": "catdog-submit", "app.kubernetes.io/component": "run"}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "r",
            "uid": "u",
            "labels": labels,
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"env": env})},
        },
        "spec": {"completions": 1, "template": {"metadata": {}, "spec": {"containers": [{"env": env}]}}},
    }
    pod = {
        "metadata": {
            "name": "r-0-x",
            "uid": "p",
            "labels": {**labels, "app.kubernetes.io/component": "worker", "batch.kubernetes.io/controller-uid": "u"},
        },
        "spec": {"containers": [{"name": "trainer", "env": env}]},
        "status": {"phase": "Running"},
    }
    allowed = {"kind": "SelfSubjectAccessReview", "status": {"allowed": True}}
    api = Api(fault=lambda method, path, query: (201, allowed) if method == "POST" else None)
    api.objects["/version"] = {"gitVersion": "v1"}
    api.objects["/apis/batch/v1/namespaces/ml/jobs/r"] = job
    api.objects["/api/v1/namespaces/ml/pods/r-0-x"] = pod
    api.objects["/api/v1/namespaces/ml/configmaps/catdog-platform"] = {
        "kind": "ConfigMap",
        "data": {"platform.yaml": json.dumps(platform)},
    }
    api.logs["r-0-x"] = [
        f"2026-01-01T00:00:00Z GET https://storage/x?X-Goog-Signature={MARK}&a=1",
        f"2026-01-01T00:00:01Z HF_TOKEN={TOKEN}",
        "2026-01-01T00:00:02Z " + json.dumps({"private_key": PEM}),
        f"2026-01-01T00:00:03Z Authorization: Bearer {MARK}{MARK}",
        f"2026-01-01T00:00:04Z 401 Client Error for url: https://me:{MARK}@hub/x",
    ]
    bundle = planted / "bundle.tar.gz"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(api) as server:
        made = yaml.safe_load((planted / "kubeconfig").read_text())
        made["users"][0]["user"]["token"] = "t0ken"
        made["contexts"][0]["context"]["namespace"] = "ml"
        made["clusters"][0]["cluster"]["server"] = server.server
        (planted / "kubeconfig").write_text(yaml.safe_dump(made))
        clean(catdog("doctor", "r", "--bundle", bundle))
    found = {}
    with tarfile.open(bundle) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is not None
            found[os.path.basename(member.name)] = file.read().decode()
    assert {"checks.json", "platform.json", "run.json", "r-0-x.txt"} <= set(found)
    assert "X-Goog-Signature" in found["r-0-x.txt"]
    assert "HF_TOKEN" in found["run.json"]
    for text in found.values():
        clean(text)
