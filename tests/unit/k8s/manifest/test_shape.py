import pytest

from k8s.manifest.render import render
from k8s.manifest.spec import Served
from tests.unit.k8s.manifest.cases import JOBSET, NEITHER, PLATFORM, pod_of, spec
from trainer.workers import topology


@pytest.mark.parametrize(("served", "host"), [(JOBSET, "gang-w-0-{}.gang:2222"), (NEITHER, "gang-{}.gang:2222")])
@pytest.mark.parametrize("index", [0, 2])
def test_the_trainer_finds_its_peers_in_the_environment(served: Served, host: str, index: int) -> None:
    [container] = pod_of(render(spec("gang", 3, 1), PLATFORM, served))["spec"]["containers"]
    environment = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    # The job controller adds this one.
    found = topology.from_environment({**environment, "JOB_COMPLETION_INDEX": str(index)})
    assert found == topology.Topology(index, tuple(host.format(i) for i in range(3)))
    assert topology.is_member(environment)
