"""List the pods for Prometheus to scrape: `python3 discovery.py API_URL CA_FILE TOKEN_FILE TARGETS_FILE`.

Debian's Prometheus is built without Kubernetes discovery, so this writes its targets to a file that Prometheus reads
(file_sd): every pod port with a name, with the `__meta_kubernetes_pod_*` labels that discovery would give, so that the
same relabelling works on both.
"""

from __future__ import annotations

import json
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_POLL_S = 1.0


def targets(pods: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Prometheus's file_sd entries for the pods of a PodList, in its order.

    A finished pod keeps its address for a while, and another pod may have it by then, so it is left out.
    """
    found = []
    for pod in pods:
        address = pod["status"].get("podIP")
        if not address or pod["status"]["phase"] in ("Succeeded", "Failed"):
            continue
        for container in pod["spec"]["containers"]:
            for port in container.get("ports", []):
                if "name" in port:
                    target = f"{address}:{port['containerPort']}"
                    found.append({"targets": [target], "labels": _meta(pod, container["name"], port["name"])})
    return found


def _meta(pod: dict[str, Any], container: str, port: str) -> dict[str, str]:
    """The labels before relabelling, as Prometheus's kubernetes_sd_config documents them for the role pod."""
    facts = {
        "namespace": pod["metadata"]["namespace"],
        "pod_name": pod["metadata"]["name"],
        "pod_container_name": container,
        "pod_container_port_name": port,
        "pod_node_name": pod["spec"]["nodeName"],
        "pod_phase": pod["status"]["phase"],
    }
    for name, value in (pod["metadata"].get("labels") or {}).items():
        plain = re.sub(r"[^a-zA-Z0-9_]", "_", name)
        facts |= {f"pod_label_{plain}": value, f"pod_labelpresent_{plain}": "true"}
    return {f"__meta_kubernetes_{name}": value for name, value in facts.items()}


def _pods(api_url: str, context: ssl.SSLContext, token: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(f"{api_url}/api/v1/pods", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
        return list(json.load(answer)["items"])


def main(api_url: str, ca_file: str, token_file: str, targets_file: str) -> None:
    """Write the targets whenever they change, forever; while the API server is unreachable, the last ones stay."""
    context = ssl.create_default_context(cafile=ca_file)
    token = Path(token_file).read_text().strip()
    file = Path(targets_file)
    written = None
    while True:
        try:
            text = json.dumps(targets(_pods(api_url, context, token)), indent=1)
            if text != written:
                side = file.with_suffix(".partial")
                side.write_text(text)
                side.rename(file)
                written = text
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            print(error, file=sys.stderr, flush=True)
        time.sleep(_POLL_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
