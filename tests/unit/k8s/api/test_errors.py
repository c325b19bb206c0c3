import re

import pytest

from k8s.api.errors import of_answer, unreachable
from k8s.exits import Cli

FORBIDDEN = (
    'jobs.batch is forbidden: User "eve" cannot create resource "jobs" in API group "batch" in the namespace "ml"'
)
CASES = {
    "credentials": (401, {"message": "Unauthorized"}, Cli.PREREQUISITE, "does not accept these credentials"),
    "right": (
        403,
        {"message": FORBIDDEN},
        Cli.PREREQUISITE,
        'no permission to create Job r in namespace ml: .*"eve" cannot create.*catdog-submitter',
    ),
    "namespace": (404, {"message": 'namespaces "ml" not found'}, Cli.PREREQUISITE, "namespace ml does not exist"),
    "gone": (404, {"message": "the server could not find the requested resource"}, Cli.PREREQUISITE, "could not find"),
    "name": (409, {"reason": "AlreadyExists", "message": "x"}, Cli.USAGE, "the name is taken; use another --name"),
    "quantity": (
        422,
        {"message": 'Job "r" is invalid: resources.limits[cpu]: Invalid value: "1.5Q"'},
        Cli.USAGE,
        "Invalid value",
    ),
    "unknown field": (
        400,
        {"message": 'strict decoding error: unknown field "spec.x"'},
        Cli.USAGE,
        'unknown field "spec.x"',
    ),
    "quota": (
        403,
        {"message": 'jobs.batch "r" is forbidden: exceeded quota: q'},
        Cli.PREREQUISITE,
        "ResourceQuota .* used up",
    ),
    "pod security": (
        403,
        {"message": 'pods "x" is forbidden: violates PodSecurity "restricted"'},
        Cli.PREREQUISITE,
        "Pod Security level rejects",
    ),
    "webhook": (
        400,
        {"message": 'admission webhook "v" denied the request: no team'},
        Cli.PREREQUISITE,
        "a cluster policy rejects it",
    ),
    "terminating": (
        403,
        {"message": "unable to create: namespace ml because it is being terminated"},
        Cli.PREREQUISITE,
        "being deleted",
    ),
    "broken": (500, {"message": "etcdserver: no leader"}, Cli.PREREQUISITE, "500 etcdserver: no leader"),
    "no words": (418, {}, Cli.PREREQUISITE, "returned 418$"),
}


@pytest.mark.parametrize(("status", "body", "code", "words"), CASES.values(), ids=CASES.keys())
def test_every_refusal_is_one_clear_line(status: int, body: dict[str, str], code: Cli, words: str) -> None:
    error = of_answer(status, body, "create Job r", "ml")
    assert error.code == code
    assert error.status == status
    assert re.search(words, error.message)
    assert "\n" not in error.message


def test_a_long_refusal_is_cut() -> None:
    assert len(of_answer(422, {"message": "x" * 5000}, "create Job r", "ml").message) < 700


@pytest.mark.parametrize(
    ("status", "transient"), [(429, True), (500, True), (503, True), (403, False), (404, False), (409, False)]
)
def test_what_may_work_later(status: int, transient: bool) -> None:
    assert of_answer(status, {}, "x", "ml").transient is transient


def test_no_response_is_a_missing_prerequisite_that_may_come_back() -> None:
    error = unreachable("https://api:6443", "connection refused")
    assert (error.code, error.transient) == (Cli.PREREQUISITE, True)
    assert "https://api:6443 cannot be reached (connection refused)" in error.message
