"""A user with the permissions of the chart's Role, or fewer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster import api
from tests.e2e.kit import Site


def rights(site: Site) -> list[dict[str, Any]]:
    return list(site.get("role", "catdog-submitter")["rules"])


def without(rules: list[dict[str, Any]], resource: str, verb: str) -> list[dict[str, Any]]:
    """The rules without one verb on one resource."""
    made = []
    for rule in rules:
        others = [one for one in rule["resources"] if one != resource]
        if resource not in rule["resources"]:
            made.append(rule)
            continue
        if others:
            made.append({**rule, "resources": others})
        left = [one for one in rule["verbs"] if one != verb]
        if left:
            made.append({**rule, "resources": [resource], "verbs": left})
    return made


@contextmanager
def someone(site: Site, rules: list[dict[str, Any]], folder: Path) -> Iterator[Site]:
    """The site, used by a ServiceAccount with exactly these permissions."""
    labels = {"name": "someone", "namespace": site.namespace}
    made = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": labels},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": labels, "rules": rules},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": labels,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "someone"},
            "subjects": [{"kind": "ServiceAccount", **labels}],
        },
    ]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    api.kubectl(site.cluster, "apply", "-f", "-", stdin=text)
    token = api.kubectl(site.cluster, "-n", site.namespace, "create", "token", "someone").strip()
    view = ("config", "view", "--raw", "--minify", "-o", "json")
    config = json.loads(api.kubectl(site.cluster, *view))
    config["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    yield Site(site.cluster, site.namespace, site.bucket, {**site.environment, "KUBECONFIG": str(path)})
