"""The Kubernetes API calls that catdog needs, over connections that api/connection opens.

urllib3 comes with kubernetes, which is imported only on first use.
Objects are passed and returned as the API's JSON. The client library's typed models are not used, so that what is read
here is what `kubectl get -o json` shows.
"""

import dataclasses
import json
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from k8s.api.errors import ApiError, of_answer, of_stranger, of_tls, unreachable
from k8s.exits import missing
from k8s.labels import BATCH_API, CONTAINER, JOBSET_API, KUEUE_API, KUEUE_VISIBILITY_API
from trainer import documents

Object = Mapping[str, Any]

JOBS, JOB_SETS = f"/apis/{BATCH_API}", f"/apis/{JOBSET_API}"
KUEUE, KUEUE_VISIBILITY = f"/apis/{KUEUE_API}", f"/apis/{KUEUE_VISIBILITY_API}"
CORE = "/api/v1"

LOG_SILENCE_SECONDS = 300.0
PAGE = 500
_FIRST_WAIT = 0.25
_OF_THE_API = ("kind", "gitVersion")  # every object has a kind, /version a version

_PLURALS = {
    "Job": (JOBS, "jobs"),
    "JobSet": (JOB_SETS, "jobsets"),
    "Service": (CORE, "services"),
}


@dataclass(frozen=True)
class Cluster:
    """A connection to one API server, and the namespace of the runs."""

    pool: Any
    configuration: Any
    namespace: str
    tries: int = 4
    connect_seconds: float = 5.0
    read_seconds: float = 30.0
    typed: tuple[str, ...] = ()
    """The flags that chose this cluster and namespace, if any: proposed commands repeat them."""

    @property
    def shown(self) -> str:
        """The API server's URL for people, without a user and a password in it."""
        return re.sub("(?<=://)[^/]*@", "", self.server)

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self.configuration.host)


def hurried(cluster: Cluster) -> Cluster:
    """The same cluster with one try of a second or two per request."""
    return dataclasses.replace(cluster, tries=1, connect_seconds=1.0, read_seconds=2.0)


def get(cluster: Cluster, path: str, what: str, query: Mapping[str, str] | None = None) -> Object:
    """One object, or one page of a list. Transient failures are retried for a few seconds.

    Raises:
        ApiError: when the API server refuses or cannot be reached.
    """
    for attempt in range(cluster.tries):
        try:
            return _request(cluster, "GET", path, what, query=query)[0]
        except ApiError as error:
            if not error.transient or attempt == cluster.tries - 1:
                raise
            time.sleep(_FIRST_WAIT * 2**attempt)
    raise AssertionError("unreachable: the last attempt returns or raises")


def find(cluster: Cluster, path: str, what: str) -> Object | None:
    """One object, or None if it does not exist. Other failures raise ApiError."""
    try:
        return get(cluster, path, what)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


def items(cluster: Cluster, path: str, what: str, selector: str = "", fields: str = "") -> list[Object]:
    """All objects of a list, page by page; each gets the list's apiVersion and kind, which the API leaves out."""
    found: list[Object] = []
    query = {"limit": str(PAGE)}
    if selector:
        query["labelSelector"] = selector
    if fields:
        query["fieldSelector"] = fields
    while True:
        page = get(cluster, path, what, query)
        kind = str(page.get("kind", "")).removesuffix("List")
        found += [{"apiVersion": page.get("apiVersion"), "kind": kind, **one} for one in page.get("items") or ()]
        token = (page.get("metadata") or {}).get("continue")
        if not token:
            return found
        query["continue"] = token


def path_of(cluster: Cluster, kind: str, name: str = "") -> str:
    """The path of a Job, JobSet or Service, or of their list, in the cluster's namespace."""
    group, plural = _PLURALS[kind]
    return namespaced(cluster, group, plural, name)


def namespaced(cluster: Cluster, group: str, plural: str, name: str = "") -> str:
    """The path of an object, or of a list, in the cluster's namespace."""
    return f"{group}/namespaces/{cluster.namespace}/{plural}" + (f"/{name}" if name else "")


def create(cluster: Cluster, one: Object, *, dry_run: bool = False) -> tuple[Object, tuple[str, ...]]:
    """Create an object, or only let the server validate it; return it and the server's warnings.

    Raises:
        ApiError: the object was refused, or (UNREACHABLE) it is unknown whether it was created.
    """
    kind, name = str(one["kind"]), str(one["metadata"]["name"])
    query = {"dryRun": "All"} if dry_run else {}
    query["fieldValidation"] = "Strict"
    return _request(cluster, "POST", path_of(cluster, kind), f"create {kind} {name}", query=query, body=one)


def delete(cluster: Cluster, one: Object, propagation: str = "Foreground") -> None:
    """Delete exactly this object, by default after what it owns; do nothing if it is already gone.

    Raises:
        ApiError: when the API server refuses or cannot be reached.
    """
    kind, name, uid = str(one["kind"]), str(one["metadata"]["name"]), one["metadata"].get("uid")
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
    if uid:
        body["preconditions"] = {"uid": uid}
    try:
        _request(cluster, "DELETE", path_of(cluster, kind, name), f"delete {kind} {name}", body=body)
    except ApiError as error:
        if error.status not in (404, 409):
            raise


def serves(cluster: Cluster, group: str) -> bool:
    """Whether the cluster serves an API: "/apis/jobset.x-k8s.io/v1alpha2"."""
    return find(cluster, group, f"look for {group}") is not None


def may(cluster: Cluster, verb: str, group: str, resource: str, subresource: str = "") -> bool:
    """Whether these credentials may do that in the namespace (SelfSubjectAccessReview, which anyone may create)."""
    attributes = {"namespace": cluster.namespace, "verb": verb, "group": group, "resource": resource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {**attributes, "subresource": subresource} if subresource else attributes},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer, _ = _request(cluster, "POST", path, "check your permissions", body=review)
    return bool((answer.get("status") or {}).get("allowed"))


def log_lines(cluster: Cluster, pod: str, *, follow: bool, since: str = "", tail: int | None = None) -> Iterator[str]:
    """The log of a pod's trainer, each line prefixed with its time; with `follow`, until its container exits.

    Raises:
        ApiError: when no log is available, or the connection breaks.
    """
    query = {"container": CONTAINER, "timestamps": "true", **({"follow": "true"} if follow else {})}
    if since:
        query["sinceTime"] = since
    if tail is not None:
        query["tailLines"] = str(tail)
    path, what = namespaced(cluster, CORE, "pods", f"{pod}/log"), f"read the log of pod {pod}"
    answer = _open(cluster, "GET", path, query, None, LOG_SILENCE_SECONDS, stream=True)
    try:
        if answer.status >= 300:
            data = answer.read()
            _check(cluster, answer.status, data, _json(data), what)
        yield from _lines(answer, cluster.shown)
    finally:
        answer.release_conn()


def _lines(answer: Any, server: str) -> Iterator[str]:
    from urllib3.exceptions import HTTPError

    rest = b""
    try:
        for part in answer.stream(65536, decode_content=True):
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                yield line.decode(errors="replace")
    except (HTTPError, OSError) as error:
        raise unreachable(server, _first_line(error)) from error
    if rest:
        yield rest.decode(errors="replace")


def _request(
    cluster: Cluster,
    method: str,
    path: str,
    what: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Object | None = None,
) -> tuple[Object, tuple[str, ...]]:
    answer = _open(cluster, method, path, query, body, cluster.read_seconds, stream=False)
    found = _json(answer.data)
    _check(cluster, answer.status, answer.data, found, what)
    return found, tuple(_warnings(answer.headers.getlist("Warning")))


def _check(cluster: Cluster, status: int, data: bytes, found: Object, what: str) -> None:
    """Raise ApiError for an answer that is a refusal, or that is not from a Kubernetes API server."""
    page = data.lstrip()[:1] == b"<"  # a proxy's, a log-in form, another web server
    if page or 300 <= status < 400 or (status < 300 and found.keys().isdisjoint(_OF_THE_API)):
        raise of_stranger(cluster.shown, status, data, what)
    if status >= 400:
        raise of_answer(status, found, what, cluster.namespace)


def _open(
    cluster: Cluster,
    method: str,
    path: str,
    query: Mapping[str, str] | None,
    body: Object | None,
    silence: float,
    *,
    stream: bool,
) -> Any:
    from urllib3 import Timeout
    from urllib3.exceptions import HTTPError

    headers = {"Accept": "application/json", "User-Agent": "catdog"}
    for setting in cluster.configuration.auth_settings().values():
        if setting["in"] == "header" and setting["value"]:
            headers[setting["key"]] = setting["value"]
    if body is not None:
        headers["Content-Type"] = "application/json"
    if stream:
        headers["Accept"] = "*/*"
    url = cluster.server.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
    try:
        return cluster.pool.request(
            method,
            url,
            headers=headers,
            body=None if body is None else json.dumps(body).encode(),
            timeout=Timeout(connect=cluster.connect_seconds, read=silence),
            retries=False,
            preload_content=not stream,
        )
    except (HTTPError, OSError) as error:
        if (refused := _refused_tls(error)) is not None:
            raise of_tls(cluster.shown, _first_line(refused)) from error
        raise unreachable(cluster.shown, _first_line(error)) from error
    except ValueError:  # its text has the header, and so the token
        words = "the credentials of the kubeconfig cannot be sent: its token has a line break, or odd letters"
        raise missing(words) from None


def _refused_tls(error: BaseException) -> ssl.SSLError | None:
    """The reason why there can be no TLS connection; None when it was only broken off."""
    known: list[object] = [error]
    for one in known:
        if isinstance(one, ssl.SSLError):
            broken = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError)
            passing = isinstance(one, broken) or "INTERNAL_ERROR" in str(one)  # a server that is starting or ending
            return None if passing else one
        if isinstance(one, BaseException):
            inner = (*one.args, getattr(one, "reason", None), one.__cause__)
            known += [other for other in inner if isinstance(other, BaseException) and other not in known]
    return None


def _json(data: bytes) -> Object:
    try:
        found = documents.parse(data)
    except ValueError:
        return {"message": data[:200].decode(errors="replace")}
    return found if isinstance(found, dict) else {"message": str(found)[:200]}


def _warnings(headers: list[str]) -> Iterator[str]:
    """The texts of RFC 7234 Warning headers: 299 - "text"."""
    for header in headers:
        _, _, text = header.partition(' - "')
        yield (text or header).removesuffix('"').replace('\\"', '"')


def _first_line(error: object) -> str:
    return str(error).strip().split("\n")[0][:300]
