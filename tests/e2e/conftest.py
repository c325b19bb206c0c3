"""A real Kubernetes with the chart installed. Needs Linux, root and Go: tests/cluster/README.md.

A cluster that is already up is used and left up; else one is started and removed. CATDOG_E2E_IMAGE names an image that
is already loaded; else the Dockerfile is built, once for each version of its inputs.
"""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from tests.cluster import api
from tests.e2e.kit import LONG, REPOSITORY, Site, set_flags, values_of
from tests.pictures import real_split
from trainer.storage.opening import open_storage
from trainer.training.checkpoint import Snapshot

GIVEN = os.environ.get("CATDOG_E2E_IMAGE", "")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "catdog" / "e2e"


@pytest.fixture(scope="session")
def archive() -> Iterator["Future[Path]"]:
    """The image of this checkout, which is built while the cluster starts."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_archive)


@pytest.fixture(scope="session")
def cluster(archive: "Future[Path]") -> Iterator[api.Cluster]:
    try:
        running, mine = api.existing(), False
    except api.ClusterError:
        running, mine = api.up(), True
    yield running
    if mine:
        api.down(running.state)


@pytest.fixture(scope="session")
def image(cluster: api.Cluster, archive: "Future[Path]") -> str:
    """The image of this checkout, on every node."""
    if GIVEN:
        return GIVEN
    api.load_image(cluster, archive.result())
    return _tag()


def _tag() -> str:
    return f"localhost/catdog:{_content()}"


def _archive() -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    made = CACHE / f"{_content()}.tar"
    if not GIVEN and not made.exists():
        for old in CACHE.glob("*.tar"):
            old.unlink()
        api.build_image(REPOSITORY, _tag()).replace(made)
    return made


def _content() -> str:
    """A short name for everything that goes into the image."""
    digest = hashlib.sha256()
    files = [REPOSITORY / name for name in ("Dockerfile", "pyproject.toml", "requirements/cpu.txt")]
    files += [*REPOSITORY.glob("trainer/**/*.py"), *REPOSITORY.glob("k8s/**/*.py")]
    for path in sorted(files):
        digest.update(f"{path.relative_to(REPOSITORY)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def emulator(cluster: api.Cluster) -> Iterator[str]:
    """The cluster's object storage, for this process and its children."""
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    os.environ["STORAGE_EMULATOR_HOST"] = cluster.gcs_url
    yield cluster.gcs_url
    if before is None:
        del os.environ["STORAGE_EMULATOR_HOST"]
    else:
        os.environ["STORAGE_EMULATOR_HOST"] = before


@pytest.fixture(scope="session")
def new_site(cluster: api.Cluster, emulator: str) -> Iterator[Callable[..., Site]]:
    """Makes a namespace that accepts only `restricted` pods, with a bucket and, unless `image` is empty, the chart."""
    made: list[str] = []

    def make(image: str, prefix: str = "e2e-", **values: Any) -> Site:
        name = f"{prefix}{uuid.uuid4().hex[:8]}"
        api.kubectl(cluster, "create", "namespace", name)
        made.append(name)
        for mode in ("enforce", "warn"):
            api.kubectl(cluster, "label", "namespace", name, f"pod-security.kubernetes.io/{mode}=restricted")
        from google.cloud import storage

        storage.Client(project="catdog").create_bucket(name)
        path = os.pathsep.join([*map(str, cluster.program_folders), os.environ["PATH"]])
        site = Site(cluster, name, f"gs://{name}", {"KUBECONFIG": str(cluster.kubeconfig), "PATH": path})
        if image:
            chart = str(REPOSITORY / "helm" / "catdog")
            flags = set_flags(values_of(image, site.bucket, **values))
            api.helm(cluster, "install", "catdog", chart, "--namespace", name, "--wait", *flags)
        return site

    yield make
    for name in made:
        api.kubectl(cluster, "delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def site(new_site: Callable[..., Site], image: str) -> Site:
    """The namespace that most tests share."""
    return new_site(image)


@pytest.fixture(scope="session")
def data(site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small split, here and in the bucket: of the real pictures if available, else drawn."""
    folder = tmp_path_factory.mktemp("data") / "small"
    real_split(folder, 40, 12, 12) or runs.drawn(folder, 40, 12, 12)
    target = open_storage(site.bucket).child("data")
    for path in sorted(folder.rglob("*.*")):
        if path.is_file():
            target.write(path.relative_to(folder).as_posix(), path)
    return folder, target.uri


@pytest.fixture(scope="session")
def undisturbed(data: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """The result of the run that tests interrupt, when it runs uninterrupted in one local process."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    runs.command("train", *LONG, "--data", data[0], "--run", run)
    return runs.last(run)
