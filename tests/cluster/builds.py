"""Build the project's own image on a Debian base made on this machine: debootstrap and buildah, no registry."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.layout import WORK_CGROUP, cache_folder

_BASE_PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")

# The public Python images have `python` and a pip that can install; Debian blocks that for its own Python.
_BASE_DOCKERFILE = """FROM scratch
ADD root.tar /
RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED && ln -sf python3 /usr/bin/python
CMD ["python3"]
"""


def base_image() -> str:
    """The local name of a base image with Python and pip, like the public slim one; built if it is not in the cache."""
    mirror, suite = _apt_source()
    digest = hashlib.sha256(repr((_BASE_PACKAGES, _BASE_DOCKERFILE, suite)).encode()).hexdigest()[:12]
    name = f"localhost/catdog-base:{digest}"
    if name in _buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        return name
    started = time.monotonic()
    print("building the base image", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="base-", dir=_made(cache_folder() / "images")) as scratch:
        root = Path(scratch, "root")
        packages = ",".join(_BASE_PACKAGES)
        _privately(["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(root), mirror])
        for leftover in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(root / leftover)
        context = _made(Path(scratch, "context"))
        run(["tar", "--create", "--file", context / "root.tar", "--directory", root, "--numeric-owner", "."])
        (context / "Dockerfile").write_text(_BASE_DOCKERFILE)
        _buildah("bud", "--isolation", "chroot", "--tag", name, str(context))
    print(f"built the base image in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return name


def build_image(
    context: Path,
    tag: str,
    build_args: Mapping[str, str] | None = None,
    dockerfile: Path | None = None,
    volumes: Sequence[str] = (),
) -> Path:
    """Build `context`'s Dockerfile as image `tag` (localhost/NAME:TAG); returns an OCI archive for images.load().

    BASE_IMAGE is the base made here unless `build_args` names another. The build reaches the network as this machine
    does, with the machine's certificate authorities; `volumes` (FROM:TO:ro) mounts more of it during the build.
    Layers are cached.
    """
    if not tag.startswith("localhost/") or ":" not in tag:
        raise ClusterError(f"image tag {tag!r} must be localhost/NAME:TAG: there is no registry")
    given = {"BASE_IMAGE": base_image()} if not build_args or "BASE_IMAGE" not in build_args else {}
    arguments = [
        word for key, value in {**given, **(build_args or {})}.items() for word in ("--build-arg", f"{key}={value}")
    ]
    mounts = [word for volume in ("/etc/ssl/certs:/etc/ssl/certs:ro", *volumes) for word in ("--volume", volume)]
    file = ["--file", str(dockerfile or context / "Dockerfile")]
    _buildah(
        "bud",
        "--isolation",
        "chroot",
        "--network",
        "host",
        "--layers",
        *mounts,
        *arguments,
        *file,
        "--tag",
        tag,
        str(context),
    )
    return archive_of(tag)


def archive_of(tag: str) -> Path:
    """Write a built image as an OCI archive into the cache, uncompressed: it does not leave this machine."""
    archive = (
        _made(cache_folder() / "images") / f"{tag.removeprefix('localhost/').replace('/', '_').replace(':', '_')}.tar"
    )
    side = archive.with_suffix(".partial")
    side.unlink(missing_ok=True)
    _buildah("push", "--quiet", "--disable-compression", tag, f"oci-archive:{side}:{tag}")
    side.rename(archive)
    return archive


def _apt_source() -> tuple[str, str]:
    """The mirror and the suite that this machine's own packages come from."""
    codename = ""
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            codename = value.strip('"')
    for line in run(
        ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(COMPONENT) $(RELEASE) $(SITE)"]
    ).splitlines():
        kind, component, release, site = line.split(" ", 3)
        if (kind, component, release) == ("Packages", "main", codename):
            return site, release
    raise ClusterError(
        f"apt has no source for {codename or 'this system'}/main to build a base image from; run apt-get update"
    )


def _buildah(*words: str) -> str:
    storage = _made(cache_folder() / "buildah")
    options = ["--root", str(storage / "storage"), "--runroot", str(storage / "run"), "--storage-driver", "overlay"]
    # Regardless of its options, buildah makes these two and leaves an empty lock and a cache of compressed sizes there.
    made = [folder for folder in (Path("/etc/cni"), Path("/var/lib/containers")) if not folder.exists()]
    try:
        return _privately(["buildah", *options, *words])
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def _privately(argv: Sequence[str]) -> str:
    """Run a tool that mounts things in a mount namespace of its own: however it exits, no mount remains."""
    return run(["unshare", "--mount", "--propagation=private", *argv], cgroup=WORK_CGROUP)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
