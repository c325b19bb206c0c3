"""Who trains with whom: from the environment to ranks and addresses, and to TensorFlow's TF_CONFIG."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from trainer.exits import Exit, ExitError

RANK, HOSTS = "CATDOG_RANK", "CATDOG_HOSTS"


@dataclass(frozen=True)
class Topology:
    """One worker's place among all: its rank, and every worker's `host:port`, by rank.

    TensorFlow's server listens on the port given, the rendezvous on rank 0's port + 1.
    """

    rank: int
    hosts: tuple[str, ...]

    @property
    def world(self) -> int:
        return max(1, len(self.hosts))

    @property
    def alone(self) -> bool:
        return self.world == 1


ALONE = Topology(rank=0, hosts=())


def from_environment(environment: Mapping[str, str]) -> Topology:
    """Read CATDOG_RANK (or JOB_COMPLETION_INDEX) and CATDOG_HOSTS ("a:2222,b:2222"); without hosts: alone.

    Raises:
        ExitError: 64 when the rank is missing, no number, or outside the hosts.
    """
    hosts = tuple(host for host in environment.get(HOSTS, "").split(",") if host)
    if len(hosts) <= 1:
        return ALONE
    text = environment.get(RANK) or environment.get("JOB_COMPLETION_INDEX", "")
    if not text.isdecimal() or int(text) >= len(hosts):
        raise ExitError(
            Exit.BAD_OPTION,
            f"{RANK} is {text!r}; with {len(hosts)} workers in {HOSTS} it must be 0 to {len(hosts) - 1}",
        )
    for host in hosts:
        name, _, port = host.rpartition(":")
        if not name or not port.isdecimal():
            raise ExitError(Exit.BAD_OPTION, f"{HOSTS} has {host!r}; each must be host:port")
    return Topology(int(text), hosts)


def tf_config(topology: Topology) -> str:
    """TF_CONFIG for MultiWorkerMirroredStrategy: every worker of type "worker", rank 0 the chief."""
    return json.dumps({"cluster": {"worker": list(topology.hosts)}, "task": {"type": "worker", "index": topology.rank}})


def rendezvous_address(topology: Topology) -> tuple[str, int]:
    """Host and port at which rank 0 awaits the others."""
    name, _, port = topology.hosts[0].rpartition(":")
    return name, int(port) + 1
