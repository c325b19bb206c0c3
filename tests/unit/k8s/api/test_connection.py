"""Connecting as the kubeconfig says: credential plugins, certificates, and servers that are not what they should be."""

import http.server
import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.api import client as api
from k8s.api import plugin
from k8s.api.client import Cluster
from k8s.api.connection import connect
from k8s.api.errors import ApiError
from k8s.exits import Cli, CliError

VERSION = "client.authentication.k8s.io/v1"


def kubeconfig(folder: Path, user: dict[str, Any], server: str = "https://127.0.0.1:1", **cluster: Any) -> Path:
    path = folder / "config"
    made = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "me", "namespace": "ml"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "me", "user": user}],
    }
    path.write_text(yaml.safe_dump(made))
    return path


def script(text: str, **more: Any) -> dict[str, Any]:
    """A user with a plugin that runs this Python."""
    return {"exec": {"apiVersion": VERSION, "command": sys.executable, "args": ["-c", text], **more}}


def answer(**status: Any) -> str:
    return f"print({json.dumps(json.dumps({'apiVersion': VERSION, 'kind': 'ExecCredential', 'status': status}))})"


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def write(user: dict[str, Any], *server: str, **cluster: Any) -> Cluster:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, user, *server, **cluster)))
        return connect()

    return write


def sent(cluster: Cluster) -> str:
    """The credentials of a request."""
    [setting] = cluster.configuration.auth_settings().values()
    return str(setting["value"])


def test_a_token(use: Any) -> None:
    cluster = use({"token": "t"})
    assert (sent(cluster), cluster.namespace, cluster.server) == ("Bearer t", "ml", "https://127.0.0.1:1")


def test_a_plugins_token_and_what_the_plugin_is_told(use: Any, tmp_path: Path) -> None:
    told = (
        f"import os; open({str(tmp_path / 'told')!r}, 'w').write(os.environ['KUBERNETES_EXEC_INFO'] + os.environ['X'])"
    )
    user = script(f"{told}; {answer(token='secret')}", env=[{"name": "X", "value": "y"}], provideClusterInfo=True)
    assert sent(use(user)) == "Bearer secret"
    info, _, more = (tmp_path / "told").read_text().rpartition("}")
    assert more == "y"
    assert json.loads(f"{info}}}")["spec"] == {"interactive": False, "cluster": {"server": "https://127.0.0.1:1"}}


def test_a_token_that_expires_is_renewed_and_one_that_does_not_is_not(use: Any, tmp_path: Path) -> None:
    count = tmp_path / "count"
    counting = f"open({str(count)!r}, 'a').write('x'); n = len(open({str(count)!r}).read())"
    for left, tokens in ((timedelta(seconds=1), ["2", "3"]), (timedelta(hours=1), ["1", "1"])):
        count.unlink(missing_ok=True)
        expires = (datetime.now(UTC) + left).isoformat()
        text = f"{counting}; import json; print(json.dumps(dict(apiVersion={VERSION!r}, kind='ExecCredential', "
        text += f"status=dict(token=str(n), expirationTimestamp={expires!r}))))"
        cluster = use(script(text))
        assert [sent(cluster), sent(cluster)] == [f"Bearer {token}" for token in tokens]


@pytest.mark.parametrize(
    ("user", "says"),
    [
        (script("import sys; sys.exit('please log in')"), "has failed with exit code 1: please log in"),
        (
            script("print('on the wrong stream'); raise SystemExit(4)"),
            "4: it said nothing to standard error$",
        ),
        (script("raise SystemExit(4)"), "exit code 4: it said nothing"),
        (script("print('s3cret-t0ken')"), "printed no ExecCredential$"),
        (script("import sys; print('no browser', file=sys.stderr)"), "no ExecCredential; it said: no browser"),
        (script("print('[]')"), "printed no ExecCredential"),
        (script("print('{}')"), "printed no ExecCredential"),
        (script(answer()), "neither a token nor a certificate"),
        (script(answer(clientCertificateData="x")), "neither a token nor a certificate"),
        (script(answer(token="t", expirationTimestamp="soon")), "printed no ExecCredential"),
        (script(answer(token="t"), apiVersion="client.authentication.k8s.io/v1beta1"), "expects .*v1beta1"),
        (script("", args="text", env=[{"name": "x"}]), "each entry of `env`"),
        ({"exec": {"apiVersion": VERSION}}, "has no `command`"),
        ({"exec": "login"}, "has no `command`"),
        (
            {"exec": {"apiVersion": VERSION, "command": "no-such-login", "installHint": "Get it\nfrom the shop."}},
            "no-such-login of user me in the kubeconfig cannot be started: No such file .*; Get it from the shop",
        ),
    ],
)
def test_a_plugin_that_fails_is_told_as_that(use: Any, user: dict[str, Any], says: str) -> None:
    with pytest.raises(CliError, match=says) as caught:
        use(user)
    assert (caught.value.code, caught.value.transient) == (Cli.PREREQUISITE, False)
    assert "the credential plugin" in caught.value.message
    assert "user me" in caught.value.message
    assert "\n" not in caught.value.message
    assert "s3cret" not in caught.value.message


def test_a_plugin_that_hangs_is_given_up() -> None:
    user = script("import time; time.sleep(60)")
    with pytest.raises(ApiError, match=r"has not answered within 0\.3 s"):
        plugin.ask(user["exec"], "me", {}, seconds=0.3)


def test_a_context_can_be_chosen_where_there_is_no_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kubeconfig(tmp_path, {"token": "t"})
    path.write_text(path.read_text().replace("current-context: c", "current-context: ''"))
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert connect("c").namespace == "ml"
    assert connect("c", "other").namespace == "other"
    with pytest.raises(CliError, match="no current context"):
        connect()


# --- what answers at the server's address -----------------------------------------------------------------------------


@contextmanager
def web(status: int, body: bytes, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that gives one answer to everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


PAGE = (
    b"<!DOCTYPE html><html><head><style>a {b: c}</style><title>Sign in</title></head><body>to the proxy</body></html>"
)


@pytest.mark.parametrize(
    ("status", "body", "says", "transient"),
    [
        (200, PAGE, r"answered HTTP 200 .* not from a Kubernetes API server \(Sign in to the proxy\)", False),
        (403, PAGE, r"HTTP 403 .*HTTPS_PROXY", False),
        (404, PAGE, r"HTTP 404 .*NO_PROXY", False),
        (302, b"", r"HTTP 302 .*--context", False),
        (503, PAGE, r"HTTP 503 .* not from a Kubernetes", True),
        (200, b'{"login": "here"}', "HTTP 200 .* not from a Kubernetes", False),
        (200, b"[]", "HTTP 200 .* not from a Kubernetes", False),
        (200, b"hello", "HTTP 200 .* not from a Kubernetes", False),
        (400, b"Client sent an HTTP request to an HTTPS server.\n", "speaks TLS; `server` .* https://", False),
        (401, b'{"kind": "Status", "message": "Unauthorized"}', r"these credentials \(wrong, or expired\)", False),
        (
            403,
            b'{"kind": "Status", "message": "jobs is forbidden: User \\"system:anonymous\\" cannot list"}',
            "had no credentials",
            False,
        ),
    ],
)
def test_what_is_no_api_server_is_told_as_that(
    use: Any, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, says: str, transient: bool
) -> None:
    monkeypatch.setattr(api, "_FIRST_WAIT", 0.001)
    with web(status, body) as server:
        cluster = use({"token": "t"}, server)
        with pytest.raises(ApiError, match=says) as caught:
            api.find(cluster, "/api/v1/namespaces/ml/pods/p", "read pod p")
    assert (caught.value.code, caught.value.transient) == (Cli.PREREQUISITE, transient)
    assert "\n" not in caught.value.message
    assert "catdog-submitter" not in caught.value.message


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", "-"]
    done = subprocess.run(words, capture_output=True, check=True)
    path.write_bytes(path.read_bytes() + done.stdout)
    return path


def test_certificates_that_are_not_accepted_are_told_at_once(use: Any, certificate: Path, tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    with web(200, b'{"kind": "Pod"}', tls) as server:
        trusted = {"certificate-authority": str(certificate)}
        path, what = "/api/v1/namespaces/ml/pods/p", "read pod p"
        assert api.get(use({"token": "t"}, server, **trusted), path, what) == {"kind": "Pod"}
        assert api.get(use({"token": "t"}, server, **{"insecure-skip-tls-verify": True}), path, what)
        for cluster in (
            lambda: use({"token": "t"}, server),
            lambda: use({"token": "t"}, server, **{"certificate-authority": str(junk)}),
            lambda: use({"client-certificate": str(junk), "client-key": str(junk)}, server, **trusted),
        ):
            with pytest.raises(CliError, match=r"no TLS connection to the API server|cannot be used") as caught:
                api.get(cluster(), path, what)
            assert (caught.value.code, caught.value.transient) == (Cli.PREREQUISITE, False)
    with web(200, b"") as plain:
        cluster = use({"token": "t"}, plain.replace("http:", "https:"))
        with pytest.raises(ApiError, match=r"no TLS connection to the API server https://127\.0\.0\.1") as refused:
            api.get(replace(cluster, tries=1), path, what)
    assert not refused.value.transient
