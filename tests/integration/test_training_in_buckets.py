"""Training with data and run folder in a bucket: the same weights as from a folder, through faults and outages."""

import http.client
import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import runs
from tests.servers import FaultProxy, Faults, free_port
from trainer.config import RunConfig
from trainer.storage.opening import open_storage
from trainer.storage.retry import RetryReason
from trainer.training.checkpoint import Snapshot

pytestmark = pytest.mark.timeout(400)

FAULTS = Faults(status=0.05, reset=0.01, lost=0.005, cut=0.01, flip=0.01, stall=0.005, stall_seconds=2.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.drawn(tmp_path_factory.mktemp("data") / "drawn", 20, 6, 6)


def asked(data: str | Path, run: str | Path, cache: Path, **changes: object) -> RunConfig:
    """Five steps of eight an epoch, with everything random on."""
    recipe = str(changes.pop("recipe", "augmented"))
    return runs.config(
        recipe, data, run,
        **{"model": "small", "image_size": 32, "batch_size": 8, "epochs": 2, "deterministic": True,
           "precision": "float32", "cache_dir": str(cache), "checkpoint_every": 2, **changes},
    )  # fmt: skip


@pytest.fixture(scope="module")
def reference(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """Data and run in local folders."""
    folder = tmp_path_factory.mktemp("reference")
    runs.train(asked(data, folder / "run", folder / "cache"))
    return runs.last(folder / "run")


def copied(data: Path, bucket: str) -> str:
    """The data set in a bucket."""
    target = open_storage(bucket).child("data")
    for path in sorted(p for p in data.rglob("*.jpg")):
        target.write(path.relative_to(data).as_posix(), path.read_bytes())
    return target.uri


def packed(data: str | Path, target: str) -> str:
    """The data set in shards."""
    runs.verb("data-pack", {"data": str(data), "target": target})
    return target


@contextmanager
def scraped(port: int) -> Iterator[dict[str, float]]:
    """The newest values of /metrics at a port, read over and over meanwhile."""
    values: dict[str, float] = {}
    done = threading.Event()

    def read() -> None:
        while not done.wait(0.1):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
                    text = answer.read().decode()
            except (OSError, http.client.HTTPException):  # not up yet, or gone
                continue
            values.update({m[1]: float(m[2]) for m in re.finditer(r"^(catdog_\S+) (\S+)$", text, re.MULTILINE)})

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield values
    finally:
        done.set()
        thread.join()


def test_loose_objects_and_shards_give_the_bits_of_a_local_folder(
    data: Path, reference: Snapshot, bucket: str, tmp_path: Path
) -> None:
    loose = copied(data, bucket)
    places = {
        "loose": loose,
        "packed in a folder": packed(data, str(tmp_path / "packed")),
        "packed in the bucket": packed(loose, f"{bucket}/packed"),
    }
    for name, place in places.items():
        run = f"{bucket}/runs/{name.replace(' ', '-')}"
        runs.train(asked(place, run, tmp_path / "caches" / name))  # each reads from where it is
        assert runs.differing(runs.last(run), reference) == [], name
        assert runs.results(runs.last(run)) == runs.results(reference), name


def test_a_pre_trained_network_gives_the_same_bits_from_a_folder_a_bucket_and_shards(
    data: Path, bucket: str, tmp_path: Path
) -> None:
    """Features too, which each run computes anew; weights from the bucket and from the package."""
    small: dict[str, object] = {"recipe": "transfer", "model": "efficientnet-lite0", "image_size": 40, "flip": True}
    loose, weights = copied(data, bucket), f"{bucket}/weights"
    runs.verb("weights-fetch", {"name": "efficientnet-lite0", "target": weights})
    places = {
        "here": (data, tmp_path / "run", ""),
        "loose": (loose, f"{bucket}/runs/loose", weights),
        "packed": (packed(loose, f"{bucket}/packed"), f"{bucket}/runs/packed", weights),
    }
    made, features = {}, {}
    for name, (pictures, run, stored) in places.items():
        runs.train(asked(pictures, run, tmp_path / f"cache-{name}", **small, weights=stored))
        folder = open_storage(str(run))
        made[name], features[name] = runs.last(run), json.loads(folder.read("features.json"))["sha256"]
        assert not list(folder.list("features/"))
    for name in ("loose", "packed"):
        assert features[name] == features["here"]
        assert runs.differing(made[name], made["here"]) == []
        assert runs.results(made[name]) == runs.results(made["here"])


def test_everything_a_run_leaves_is_in_the_bucket(data: Path, bucket: str, tmp_path: Path) -> None:
    run = f"{bucket}/run"
    runs.train(asked(copied(data, bucket), run, tmp_path / "cache", profile=2))
    names = {stat.name for stat in open_storage(run).list()}
    assert any(name.startswith("tensorboard/plugins/profile/") and name.endswith(".xplane.pb") for name in names)
    assert "profile.json" in names
    assert {"config.json", "state.json", "metrics.jsonl", "summary.json", "report.html"} <= names
    assert {"best/MANIFEST.json", "model/model.keras", "model/saved_model/saved_model.pb"} <= names
    assert "lease.json" not in names
    answer = runs.verb("evaluate", {"run": run, "data": f"{bucket}/data", "output": "json"})
    assert '"examples": 12' in answer
    runs.verb("report", {"run": run})
    assert "is finished" in runs.train(asked(f"{bucket}/data", run, tmp_path / "cache"))


def test_faults_of_the_network_change_no_bit_and_each_retry_is_counted(
    data: Path, reference: Snapshot, proxy: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    uri = copied(data, bucket)
    port = free_port()
    proxy.faults = FAULTS
    before = dict(proxy.counts)
    with scraped(port) as values:
        runs.train(asked(uri, f"{bucket}/run", tmp_path / "cache", metrics_port=port, epochs=2))
    proxy.faults = Faults()
    injected = {kind: count - before.get(kind, 0) for kind, count in proxy.counts.items()}
    counted = {
        reason: int(values.get(f'catdog_storage_retries_total{{reason="{reason}"}}', 0)) for reason in RetryReason
    }
    assert runs.differing(runs.last(f"{bucket}/run"), reference) == []
    assert sum(injected.values()) > 5
    assert counted["server_error"] + counted["throttled"] == injected.get("status", 0)
    assert counted["connection"] == injected.get("reset", 0) + injected.get("lost", 0)
    assert counted["truncated"] == injected.get("cut", 0)
    assert counted["checksum"] == injected.get("flip", 0)
    assert counted["timeout"] == 0  # a stall of 2 s is within the client's patience: waited for, not repeated


def test_training_goes_on_while_storage_is_away_for_a_minute_and_checkpoints_catch_up(
    data: Path, proxy: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    long = asked(
        copied(data, bucket), f"{bucket}/run", tmp_path / "cache", epochs=100_000, deterministic=False, log_every=1
    )
    with runs.started(long) as process:
        runs.await_step(process, 6)  # every picture has been read by then, those of valid too
        proxy.faults = Faults(reset=1.0)
        began, steps = time.monotonic(), []
        assert process.stdout is not None
        while time.monotonic() - began < 60:
            words = process.stdout.readline().split()
            if words[:1] == ["step"]:
                steps.append(int(words[1].split("/")[0]))
        proxy.faults = Faults()
        assert steps[-1] > steps[0] + 20, "training stood still"
        assert process.poll() is None
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        reader.start()
        deadline = time.monotonic() + 60
        while runs.durable_step(f"{bucket}/run") < steps[-1]:
            assert time.monotonic() < deadline, "checkpoints did not catch up"
            time.sleep(0.5)
        process.terminate()
        reader.join(60)
        assert process.wait(60) == 143


def test_what_is_written_in_an_outage_and_stored_after_it_ends_no_run(
    data: Path, proxy: FaultProxy, bucket: str, tmp_path: Path
) -> None:
    """Every write is kept until a renewal of the lease was given up for lost; then storage is back and stores them."""
    run = f"{bucket}/run"
    long = asked(copied(data, bucket), run, tmp_path / "cache", epochs=100_000, log_every=1, storage_timeout=25.0)
    with runs.started(long) as process:
        runs.await_step(process, 5)
        runs.await_checkpoint(run)
        proxy.faults = Faults(late=1.0, of="POST /upload")
        assert process.stdout is not None
        began, renewed = time.monotonic(), open_storage(run).stat("lease.json")
        while not process.stdout.readline().startswith("heartbeat: "):
            assert time.monotonic() - began < 120, "no renewal was given up"
        proxy.faults = Faults()
        answers = proxy.deliver()
        assert 200 in answers
        assert 412 in answers, "the same write arrives as often as it was tried"
        durable = runs.durable_step(run)
        step = int(re.findall(r"step +(\d+)", runs.await_step(process, 0))[-1])
        deadline = time.monotonic() + 60
        while runs.durable_step(run) < step or open_storage(run).stat("lease.json") == renewed:
            assert process.poll() is None, "the run has ended"
            assert time.monotonic() < deadline, f"still at {durable}, was at step {step} when storage came back"
            process.stdout.readline()
        process.terminate()
        output = runs.finish(process, 143)
    assert "taken over" not in output
    assert open_storage(run).stat("lease.json") is None
    state = json.loads(open_storage(run).read("state.json"))
    assert (state["state"], state["attempt"]) == ("preempted", 1)
    assert runs.last(run).state.step == state["step"]


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(Faults(reset=1.0), id="altogether"),
        pytest.param(Faults(reset=1.0, of="prefix="), id="for lists"),
        pytest.param(Faults(reset=1.0, of="DELETE /"), id="for deletes"),  # saves are durable, though never tidied up
    ],
)
def test_storage_that_is_gone_for_good_ends_with_74_and_the_last_durable_step(
    data: Path, proxy: FaultProxy, bucket: str, tmp_path: Path, gone: Faults
) -> None:
    run = f"{bucket}/run"
    long = asked(copied(data, bucket), run, tmp_path / "cache", epochs=100_000, log_every=1, storage_timeout=4.0)
    with runs.started(long) as process:
        runs.await_step(process, 8)
        runs.await_checkpoint(run)
        proxy.faults = gone
        output = runs.finish(process, 74)
    proxy.faults = Faults()
    named = re.findall(r"the last durable checkpoint is step (\d+)", output)
    assert named, output
    told, stored = int(named[-1]), runs.durable_steps(run)
    assert told in stored
    # Storage can go between the storing of a manifest and its reading back: such a checkpoint is not told as durable.
    assert sum(step > told for step in stored) <= 1, f"told step {told}, stored {stored}"


def test_an_attempt_whose_folder_was_taken_over_stops_and_changes_nothing(
    data: Path, bucket: str, tmp_path: Path
) -> None:
    """A higher attempt at the same run takes over at once; the older one ends with 75, its late writes fenced."""
    config = asked(copied(data, bucket), f"{bucket}/run", tmp_path / "cache", epochs=100_000, log_every=1)
    with runs.started(config, CATDOG_RUN_UID="u", CATDOG_ATTEMPT="0") as old:
        runs.await_step(old, 5)
        runs.await_checkpoint(f"{bucket}/run")
        with runs.started(config, CATDOG_RUN_UID="u", CATDOG_ATTEMPT="1") as new:
            assert "taken over this run folder" in runs.finish(old, 75)
            runs.await_step(new, runs.durable_step(f"{bucket}/run") + 5)
            assert new.poll() is None
            new.terminate()
            runs.finish(new, 143)
    assert runs.last(f"{bucket}/run").state.step > 5
