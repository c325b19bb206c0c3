"""Connects to a cluster; the only importer of `kubernetes`, and only on first use.

The library provides credentials and connections for what the kubeconfig says. Reading it is our own (kubeconfig,
plugin): the library takes the failure of a plugin for having no credentials, and raises whatever it stumbles over.
"""

import base64
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from k8s.api import kubeconfig, plugin
from k8s.api.client import Cluster
from k8s.api.kubeconfig import Chosen
from k8s.api.plugin import Credential
from k8s.exits import CliError, missing

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


def connect(context: str = "", namespace: str = "", login_seconds: float = plugin.SECONDS) -> Cluster:
    """The cluster of the kubeconfig (KUBECONFIG, ~/.kube/config), or the one this process runs in; makes no request.

    A credential plugin of the kubeconfig has `login_seconds` to answer.

    Raises:
        CliError: 3 without a usable kubeconfig, or when its credential plugin fails.
    """
    paths = kubeconfig.files(os.environ)
    found = kubeconfig.load(paths)
    if found is None:
        return _inside(namespace, context, paths)
    chosen = kubeconfig.choose(found, context)
    credential = _of_plugin(chosen, login_seconds)
    configuration, pool = _connected(chosen, credential, found.shown)
    if credential is not None and credential.token:
        configuration.refresh_api_key_hook = _Renewal(chosen, credential)
    return Cluster(pool, configuration, namespace or chosen.namespace or "default", typed=_typed(context, namespace))


def _typed(context: str, namespace: str) -> tuple[str, ...]:
    """The flags by which proposed commands choose the same cluster and namespace."""
    return (*(("-n", namespace) if namespace else ()), *(("--context", context) if context else ()))


def _of_plugin(chosen: Chosen, seconds: float) -> Credential | None:
    """What the user's credential plugin answers, if there is one and nothing else says who the user is."""
    if chosen.user.get("exec") is None or any(chosen.user.get(name) for name in ("token", "tokenFile")):
        return None
    return plugin.ask(chosen.user["exec"], chosen.user_name, chosen.cluster, seconds)


def _connected(chosen: Chosen, credential: Credential | None, shown: str) -> tuple[Any, Any]:
    """Configuration and connections of the library."""
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException
    from urllib3.exceptions import HTTPError

    user = {name: value for name, value in chosen.user.items() if name != "exec"}
    if credential is not None:
        user |= _fields_of(credential)
    name = chosen.context
    content = {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": dict(chosen.cluster)}],
        "users": [{"name": name, "user": user}],
    }
    configuration = client.Configuration()
    try:
        config.load_kube_config_from_dict(content, client_configuration=configuration, persist_config=False)
        return configuration, _pool(configuration)
    except (ConfigException, HTTPError, OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        reason = str(error).strip().split("\n")[0][:300] or type(error).__name__
        raise missing(f"the kubeconfig {shown}: context {name} cannot be used: {reason}") from error


def _pool(configuration: Any) -> Any:
    from kubernetes import client

    if not configuration.verify_ssl:
        import urllib3

        # The kubeconfig asks for it (insecure-skip-tls-verify); a warning per request would drown the output.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return client.rest.RESTClientObject(configuration).pool_manager


def _fields_of(credential: Credential) -> Mapping[str, str]:
    """A plugin's answer as fields of a user in a kubeconfig."""
    if credential.token:
        return {"token": credential.token}
    pem = {"client-certificate-data": credential.certificate, "client-key-data": credential.key}
    return {name: base64.b64encode(text.encode()).decode() for name, text in pem.items()}


class _Renewal:
    """Asks the plugin again when its token has expired: a run may be followed for longer than a token lasts."""

    def __init__(self, chosen: Chosen, first: Credential) -> None:
        self._chosen, self._now = chosen, first
        self._one = threading.Lock()

    def __call__(self, configuration: Any) -> None:
        with self._one:
            if self._now.expired(datetime.now(UTC)):
                self._now = plugin.ask(self._chosen.user["exec"], self._chosen.user_name, self._chosen.cluster)
            configuration.api_key["BearerToken"] = f"Bearer {self._now.token}"


def _inside(namespace: str, context: str, paths: list[Any]) -> Cluster:
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException

    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
        with open(_ACCOUNT) as file:
            found = file.read().strip()
    except (ConfigException, OSError) as error:
        raise _no_cluster(paths) from error
    if context:
        raise missing(f"no context {context!r}: there is no kubeconfig here")
    return Cluster(_pool(configuration), configuration, namespace or found, typed=_typed(context, namespace))


def _no_cluster(paths: list[Any]) -> CliError:
    return missing(
        f"no cluster: there is no kubeconfig {' or '.join(map(str, paths))}; set KUBECONFIG, "
        "or use --dry-run --platform FILE, which needs none"
    )
