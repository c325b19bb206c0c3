import json
from dataclasses import replace

import pytest

from k8s.exits import CliError
from k8s.manifest.render import render
from k8s.manifest.resources import check_memory
from tests.unit.k8s.manifest.cases import EVERYTHING, NEITHER, PLATFORM, pod_of, spec


class TestResources:
    def test_grow_with_the_gpus_of_a_worker(self) -> None:
        [container] = pod_of(render(spec("r", 1, 3, EVERYTHING), replace(EVERYTHING, queue=""), NEITHER))["spec"][
            "containers"
        ]
        assert container["resources"]["requests"] == {
            "cpu": "10500m",
            "memory": "36Gi",
            "ephemeral-storage": "60Gi",
            "nvidia.com/gpu": "3",
        }
        assert container["resources"]["limits"] == container["resources"]["requests"]

    def test_cpu_workers_have_neither_gpus_nor_their_taint(self) -> None:
        pod = pod_of(render(spec("r", 1, 0), PLATFORM, NEITHER))["spec"]
        assert "nvidia.com/gpu" not in json.dumps(pod)

    def test_shared_memory_must_leave_memory(self) -> None:
        with pytest.raises(CliError, match="sharedMemory"):
            check_memory(replace(PLATFORM, shared_memory="8Gi"), 0)
        check_memory(replace(PLATFORM, shared_memory="8Gi"), 1)
