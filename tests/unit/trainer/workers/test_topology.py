import json
from collections.abc import Mapping

import pytest

from trainer.exits import Exit, ExitError
from trainer.workers.topology import (
    ALONE,
    Topology,
    from_environment,
    is_member,
    rank_text,
    rendezvous_address,
    tf_config,
)

TWO = "a.svc:2222,b.svc:2223"


def test_without_hosts_a_worker_is_alone() -> None:
    assert from_environment({}) == ALONE
    assert from_environment({"CATDOG_RANK": "5", "CATDOG_HOSTS": "a:1"}) == ALONE
    assert (ALONE.rank, ALONE.world, ALONE.alone) == (0, 1, True)


@pytest.mark.parametrize("name", ["CATDOG_RANK", "JOB_COMPLETION_INDEX"])
def test_rank_and_hosts_are_read(name: str) -> None:
    topology = from_environment({name: "1", "CATDOG_HOSTS": TWO})
    assert topology == Topology(1, ("a.svc:2222", "b.svc:2223"))
    assert (topology.world, topology.alone) == (2, False)


def test_hosts_may_be_told_by_a_template() -> None:
    pods = {"CATDOG_HOST_TEMPLATE": "run-w-0-{index}.run:2222", "CATDOG_WORKERS": "3", "JOB_COMPLETION_INDEX": "2"}
    hosts = ("run-w-0-0.run:2222", "run-w-0-1.run:2222", "run-w-0-2.run:2222")
    assert from_environment(pods) == Topology(2, hosts)
    assert from_environment({**pods, "CATDOG_WORKERS": "1"}) == ALONE
    assert from_environment({**pods, "CATDOG_HOSTS": "a:1,b:2", "CATDOG_RANK": "1"}) == Topology(1, ("a:1", "b:2"))


def test_a_member_of_a_gang_is_told_apart_from_one_that_starts_it() -> None:
    assert not is_member({})
    assert not is_member({"CATDOG_RANK": "0"})
    assert is_member({"CATDOG_HOSTS": TWO})
    assert is_member({"CATDOG_HOST_TEMPLATE": "w-{index}:1"})


def test_the_rank_as_text() -> None:
    assert rank_text({}) == ""
    assert rank_text({"JOB_COMPLETION_INDEX": "3"}) == "3"
    assert rank_text({"CATDOG_RANK": "1", "JOB_COMPLETION_INDEX": "3"}) == "1"


def test_our_own_rank_goes_before_the_jobs_index() -> None:
    both = {"CATDOG_RANK": "0", "JOB_COMPLETION_INDEX": "1", "CATDOG_HOSTS": TWO}
    assert from_environment(both).rank == 0


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CATDOG_HOSTS": TWO}, r"CATDOG_RANK is ''; .* 0 to 1"),
        ({"CATDOG_HOSTS": TWO, "CATDOG_RANK": "two"}, "CATDOG_RANK is 'two'"),
        ({"CATDOG_HOSTS": TWO, "CATDOG_RANK": "-1"}, "CATDOG_RANK is '-1'"),
        ({"CATDOG_HOSTS": TWO, "CATDOG_RANK": "2"}, "CATDOG_RANK is '2'; with 2 workers"),
        ({"CATDOG_HOSTS": "a:1,b", "CATDOG_RANK": "0"}, "CATDOG_HOSTS has 'b'"),
        ({"CATDOG_HOSTS": "a:1,b:x", "CATDOG_RANK": "0"}, "CATDOG_HOSTS has 'b:x'"),
        ({"CATDOG_HOSTS": "a:1,:2", "CATDOG_RANK": "0"}, "CATDOG_HOSTS has ':2'"),
        ({"CATDOG_HOST_TEMPLATE": "w-{index}:1", "CATDOG_RANK": "0"}, "CATDOG_WORKERS is ''"),
        ({"CATDOG_HOST_TEMPLATE": "w-{index}:1", "CATDOG_WORKERS": "0"}, "CATDOG_WORKERS is '0'"),
        ({"CATDOG_HOST_TEMPLATE": "w-0:1", "CATDOG_WORKERS": "2"}, "CATDOG_HOST_TEMPLATE is 'w-0:1'; it must contain"),
        ({"CATDOG_HOST_TEMPLATE": "w-{index}", "CATDOG_WORKERS": "2", "CATDOG_RANK": "0"}, "CATDOG_HOST_TEMPLATE has"),
        ({"CATDOG_HOST_TEMPLATE": "w-{index}:1", "CATDOG_WORKERS": "2", "CATDOG_RANK": "2"}, "in CATDOG_HOST_TEMPLATE"),
    ],
)
def test_what_makes_no_sense_is_refused(environment: Mapping[str, str], words: str) -> None:
    with pytest.raises(ExitError, match=words) as caught:
        from_environment(environment)
    assert caught.value.code == Exit.BAD_OPTION


def test_tensorflow_is_told_ranks_and_addresses() -> None:
    assert json.loads(tf_config(Topology(1, ("a:1", "b:2")))) == {
        "cluster": {"worker": ["a:1", "b:2"]},
        "task": {"type": "worker", "index": 1},
    }


def test_rank_0_awaits_the_others_one_port_higher() -> None:
    assert rendezvous_address(Topology(1, ("run-0.run:2222", "run-1.run:2222"))) == ("run-0.run", 2223)
