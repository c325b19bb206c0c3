"""Keys, certificates and tokens, with the `openssl` command. They live as long as the cluster is up."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.layout import API_URL, CONTROL_ADDRESS, FIRST_SERVICE_ADDRESS, Layout, nodes

_DAYS = "3650"

ADMIN = "admin"
CONTROLLER_MANAGER = "system:kube-controller-manager"
SCHEDULER = "system:kube-scheduler"
PROXY = "system:kube-proxy"
WATCHER = "catdog:watcher"
"""CoreDNS, Prometheus and kube-router: may read services, endpoints, pods, nodes and network policies."""


def create(layout: Layout) -> None:
    """Write what is missing into the `pki` folder."""
    pki = layout.pki
    pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    _authority(pki, "ca", "catdog cluster")
    _authority(pki, "front-proxy-ca", "catdog cluster front proxy")
    _signed(
        pki,
        "apiserver",
        "/CN=kube-apiserver",
        f"subjectAltName=IP:127.0.0.1,IP:{CONTROL_ADDRESS},IP:{FIRST_SERVICE_ADDRESS},"
        "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc",
        authority="ca",
    )
    _signed(
        pki,
        "apiserver-to-kubelet",
        "/O=system:masters/CN=kube-apiserver",
        "extendedKeyUsage=clientAuth",
        authority="ca",
    )
    _signed(pki, "front-proxy", "/CN=front-proxy-client", "extendedKeyUsage=clientAuth", authority="front-proxy-ca")
    if not (pki / "service-accounts.key").exists():
        run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pki / "service-accounts.key"])
    _tokens(layout)


def _key(pki: Path, name: str) -> list[str | Path]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", pki / f"{name}.key"]


def _authority(pki: Path, name: str, common_name: str) -> None:
    if not (pki / f"{name}.crt").exists():
        run(
            [
                "openssl",
                "req",
                "-x509",
                *_key(pki, name),
                "-days",
                _DAYS,
                "-subj",
                f"/CN={common_name}",
                "-out",
                pki / f"{name}.crt",
            ]
        )


def _signed(pki: Path, name: str, subject: str, extension: str, authority: str) -> None:
    if (pki / f"{name}.crt").exists():
        return
    signer: list[str | Path] = ["-CA", pki / f"{authority}.crt", "-CAkey", pki / f"{authority}.key"]
    extensions = ["-addext", extension, "-addext", "basicConstraints=critical,CA:FALSE"]
    output: list[str | Path] = ["-days", _DAYS, "-subj", subject, "-out", pki / f"{name}.crt"]
    run(["openssl", "req", "-x509", *signer, *_key(pki, name), *extensions, *output])


def _tokens(layout: Layout) -> None:
    """The API server's --token-auth-file: one line `token,user,uid,"groups"` each."""
    file = layout.pki / "tokens.csv"
    if file.exists():
        return
    groups = {ADMIN: "system:masters", CONTROLLER_MANAGER: "", SCHEDULER: "", PROXY: "", WATCHER: ""}
    groups |= {f"system:node:{node.name}": "system:nodes" for node in nodes(layout)}
    side = file.with_suffix(".tmp")
    side.write_text("".join(f'{secrets.token_hex(16)},{user},{user},"{group}"\n' for user, group in groups.items()))
    side.rename(file)


def token(layout: Layout, user: str) -> str:
    """The bearer token of `user`."""
    for line in (layout.pki / "tokens.csv").read_text().splitlines():
        secret, name, _, _ = line.split(",", 3)
        if name == user:
            return secret
    raise KeyError(user)


def write_kubeconfig(layout: Layout, user: str, file: Path) -> None:
    """A kubeconfig (JSON is YAML) with which `user` reaches the API server."""
    authority = base64.b64encode((layout.pki / "ca.crt").read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "catdog", "cluster": {"server": API_URL, "certificate-authority-data": authority}},
        ],
        "users": [{"name": user, "user": {"token": token(layout, user)}}],
        "contexts": [{"name": "catdog", "context": {"cluster": "catdog", "user": user}}],
        "current-context": "catdog",
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(config, indent=2))
