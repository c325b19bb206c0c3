"""Real collectives: replicas in this process, and two processes."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from trainer.exits import Exit, ExitError
from trainer.training import agreement
from trainer.training.agreement import agree, agree_on_hardware, blamed, blaming, told_by_all, wait_for_all
from trainer.training.strategy import Devices, Distribution, distribute
from trainer.workers.topology import ALONE

REPOSITORY = Path(__file__).parents[4]
LIMIT = 90.0

WORKER = """
import os, sys
from trainer.config import RunConfig
from trainer.exits import ExitError
from trainer.training.strategy import configure, distribute
from trainer.workers.topology import from_environment
from trainer.training.agreement import agree, told_by_all, wait_for_all
devices = configure(RunConfig(accelerator="cpu"), os.environ)
distribution = distribute(from_environment(os.environ), devices, os.environ)
print("replicas", distribution.replicas, list(distribution.local))
agree(distribution, "seed", "same")
print("agreed")
try:
    agree(distribution, "precision", sys.argv[1])
except ExitError as error:
    print(int(error.code), error.message)
print("told", sorted(told_by_all(distribution, "[" + "x" * distribution.local.start * 20)))
wait_for_all(distribution)
sys.stdout.flush()
os._exit(0)
"""


def on(replicas: int) -> Distribution:
    return distribute(ALONE, Devices("CPU", tuple(f"/cpu:{i}" for i in range(replicas))), {})


@pytest.mark.parametrize("replicas", [1, 2])
def test_replicas_of_one_process_agree(replicas: int) -> None:
    agree(on(replicas), "precision", "float32")
    wait_for_all(on(replicas))


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("text", ["", "[]", "é" * 1001, '[{"path": "a b"}]'])
def test_replicas_of_one_process_tell_the_same(replicas: int, text: str) -> None:
    assert told_by_all(on(replicas), text) == {text}


def test_workers_that_differ_are_refused_on_every_rank() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        hosts = ",".join(f"127.0.0.1:{held.getsockname()[1]}" for held in (one, two))
    values = ("float32", "mixed_bfloat16")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, value],
            cwd=REPOSITORY,
            env={"PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3", "CATDOG_HOSTS": hosts, "CATDOG_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, value in enumerate(values)
    ]
    try:
        for rank, (worker, value) in enumerate(zip(workers, values, strict=True)):
            output, errors = worker.communicate(timeout=LIMIT)
            assert output.splitlines() == [
                f"replicas 2 [{rank}]",
                "agreed",
                f"69 workers differ in precision; here it is {value}: give every worker the same image and hardware",
                f"told ['[', '[{20 * 'x'}']",
            ], errors[-2000:]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def failed_op() -> tf.errors.OpError:
    return tf.errors.UnavailableError(None, None, "Connection reset by peer\nAdditional GRPC error information")


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_failed_op_alone_is_a_bug(replicas: int) -> None:
    error = blamed(failed_op(), on(replicas))
    assert (error.code, error.message) == (Exit.BUG, "TensorFlow failed: Connection reset by peer")


def test_a_failed_op_among_several_workers_blames_a_peer() -> None:
    error = blamed(failed_op(), Distribution(None, "MultiWorkerMirroredStrategy", 4, range(2, 4), ("/cpu:0", "/cpu:1")))
    assert error.code == Exit.PEER_LOST
    assert error.message == "a peer was lost; its own log has the cause (Connection reset by peer)"


def test_gpus_of_one_model_agree_and_others_are_refused() -> None:
    agree_on_hardware(on(2), "float32", ())
    agree_on_hardware(on(2), "float32", ("A100", "A100"))
    with pytest.raises(ExitError, match=r"of different models \(A100, V100\).*CUDA_VISIBLE_DEVICES") as no:
        agree_on_hardware(on(2), "float32", ("A100", "V100"))
    assert no.value.code == Exit.NO_ACCELERATOR


def test_workers_with_other_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = iter([0, 1])  # the precision is the same, the GPU is not
    monkeypatch.setattr(agreement, "_gather", lambda distribution, number: [number, number + next(apart)])
    with pytest.raises(ExitError, match="workers differ in the model of GPU; here it is A100") as no:
        agree_on_hardware(on(1), "float32", ("A100",))
    assert no.value.code == Exit.RENDEZVOUS_FAILED


def test_what_fails_while_variables_are_placed_is_blamed_on_a_peer_too() -> None:
    with pytest.raises(ExitError) as caught, blaming(Distribution(None, "", 4, range(2, 4), ("/cpu:0", "/cpu:1"))):
        raise failed_op()
    assert caught.value.code == Exit.PEER_LOST
