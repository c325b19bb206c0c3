"""A pod's environment variables about its peers, as trainer.workers.topology reads them."""

import pytest

from trainer.exits import Exit, ExitError
from trainer.workers import topology

TEMPLATE = {"CATDOG_HOST_TEMPLATE": "run-w-0-{index}.run:2222", "CATDOG_WORKERS": "2"}


def test_the_template_gives_one_host_per_worker() -> None:
    found = topology.from_environment({**TEMPLATE, "JOB_COMPLETION_INDEX": "1"})
    assert found == topology.Topology(1, ("run-w-0-0.run:2222", "run-w-0-1.run:2222"))
    assert topology.rendezvous_address(found) == ("run-w-0-0.run", 2223)


def test_a_list_of_hosts_overrides_a_template() -> None:
    found = topology.from_environment({**TEMPLATE, "CATDOG_HOSTS": "a:1,b:1", "CATDOG_RANK": "0"})
    assert found.hosts == ("a:1", "b:1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"CATDOG_WORKERS": ""}, "CATDOG_WORKERS is ''"),
        ({"CATDOG_WORKERS": "0"}, "CATDOG_WORKERS is '0'"),
        ({"CATDOG_WORKERS": "two"}, "CATDOG_WORKERS is 'two'"),
        ({"CATDOG_HOST_TEMPLATE": "run.run:2222"}, r"it must contain \{index\}"),
        ({"CATDOG_HOST_TEMPLATE": "run-{index}"}, "CATDOG_HOST_TEMPLATE has 'run-0'; each must be host:port"),
        ({"JOB_COMPLETION_INDEX": "2"}, "with 2 workers in CATDOG_HOST_TEMPLATE it must be 0 to 1"),
        ({"JOB_COMPLETION_INDEX": ""}, "CATDOG_RANK is ''"),
    ],
)
def test_what_is_malformed_is_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ExitError, match=message) as caught:
        topology.from_environment({**TEMPLATE, "JOB_COMPLETION_INDEX": "0", **changes})
    assert caught.value.code == Exit.BAD_OPTION


@pytest.mark.parametrize(
    ("environment", "member"),
    [({}, False), ({"CATDOG_HOSTS": "a:1"}, True), (TEMPLATE, True), ({"CATDOG_RANK": "0"}, False)],
)
def test_membership(environment: dict[str, str], member: bool) -> None:
    assert topology.is_member(environment) is member
