"""The workers that train together: from the environment to ranks and addresses, and to TensorFlow's TF_CONFIG."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from trainer.contract import ENV_HOST_TEMPLATE, ENV_HOSTS, ENV_PEER_LOST_WAIT, ENV_RANK, ENV_WORKERS, HOST_INDEX
from trainer.exits import Exit, ExitError

COMPLETION_INDEX = "JOB_COMPLETION_INDEX"


@dataclass(frozen=True)
class Topology:
    """One worker's position among all: its rank, and every worker's `host:port`, by rank.

    TensorFlow's server listens on the port given, the rendezvous on rank 0's port + 1.
    """

    rank: int
    hosts: tuple[str, ...]

    @property
    def world(self) -> int:
        """How many workers there are."""
        return max(1, len(self.hosts))

    @property
    def alone(self) -> bool:
        """Whether there are no other workers."""
        return self.world == 1


ALONE = Topology(rank=0, hosts=())


def from_environment(environment: Mapping[str, str]) -> Topology:
    """Read CATDOG_RANK (or JOB_COMPLETION_INDEX) and the hosts; without hosts: alone.

    The hosts are CATDOG_HOSTS ("a:2222,b:2222"), or CATDOG_HOST_TEMPLATE ("run-w-0-{index}.run:2222") with
    CATDOG_WORKERS, as in the pods of a Job, whose names differ by their completion index only.

    Raises:
        ExitError: 64 when the rank is missing, not a number, or outside the hosts, or the hosts are malformed.
    """
    source, hosts = _hosts(environment)
    if len(hosts) <= 1:
        return ALONE
    text = rank_text(environment)
    if not text.isdecimal() or int(text) >= len(hosts):
        raise ExitError(
            Exit.BAD_OPTION,
            f"{ENV_RANK} is {text!r}; with {len(hosts)} workers in {source} it must be 0 to {len(hosts) - 1}",
        )
    for host in hosts:
        name, _, port = host.rpartition(":")
        if not name or not port.isdecimal():
            raise ExitError(Exit.BAD_OPTION, f"{source} has {host!r}; each must be host:port")
    return Topology(int(text), hosts)


def rank_text(environment: Mapping[str, str]) -> str:
    """This worker's rank in the environment, empty if it has none."""
    return environment.get(ENV_RANK) or environment.get(COMPLETION_INDEX, "")


def is_member(environment: Mapping[str, str]) -> bool:
    """Whether this process belongs to a gang that another process starts, rather than starting its own."""
    return ENV_HOSTS in environment or ENV_HOST_TEMPLATE in environment


def _hosts(environment: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The variable that names the hosts, and the hosts by rank."""
    listed = environment.get(ENV_HOSTS, "")
    template = environment.get(ENV_HOST_TEMPLATE, "")
    if listed or not template:
        return ENV_HOSTS, tuple(host for host in listed.split(",") if host)
    workers = environment.get(ENV_WORKERS, "")
    if not workers.isdecimal() or int(workers) < 1:
        raise ExitError(
            Exit.BAD_OPTION, f"{ENV_WORKERS} is {workers!r}; with {ENV_HOST_TEMPLATE} it must be a number above 0"
        )
    if HOST_INDEX not in template:
        raise ExitError(Exit.BAD_OPTION, f"{ENV_HOST_TEMPLATE} is {template!r}; it must contain {HOST_INDEX}")
    return ENV_HOST_TEMPLATE, tuple(template.replace(HOST_INDEX, str(index)) for index in range(int(workers)))


def peer_lost_wait(environment: Mapping[str, str]) -> float:
    """Seconds to wait after losing a peer, so that the peer's exit is seen first: it decides what the restart costs.

    Raises:
        ExitError: 64 when it is not a number.
    """
    text = environment.get(ENV_PEER_LOST_WAIT) or "0"
    if not text.isdecimal():
        raise ExitError(Exit.BAD_OPTION, f"{ENV_PEER_LOST_WAIT} is {text!r}; it must be a whole number of seconds")
    return float(text)


def tf_config(topology: Topology) -> str:
    """TF_CONFIG for MultiWorkerMirroredStrategy: every worker of type "worker", rank 0 the chief."""
    return json.dumps({"cluster": {"worker": list(topology.hosts)}, "task": {"type": "worker", "index": topology.rank}})


def rendezvous_address(topology: Topology) -> tuple[str, int]:
    """Host and port at which rank 0 waits for the others."""
    name, _, port = topology.hosts[0].rpartition(":")
    return name, int(port) + 1
