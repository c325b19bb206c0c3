"""Write a container image of a few files, without a base, as an OCI archive (image-spec 1.1, layout in a tar file)."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_scratch_image(
    archive: Path, name: str, files: Mapping[str, Path], entrypoint: Sequence[str], user: str
) -> None:
    """Write `archive`: one image called `name` (with tag) that holds `files` (path inside → file here, executable)."""
    layer = _tar({path.lstrip("/"): (source.read_bytes(), 0o755) for path, source in files.items()})
    config = {
        "architecture": _ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "User": user, "Env": ["PATH=/"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        "history": [{"created_by": "tests/cluster/oci.py"}],
    }
    config_bytes = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config_bytes),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    }
    manifest_bytes = json.dumps(manifest).encode()
    listed = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest_bytes)
    # containerd reads the full name from its own annotation, other tools from the standard one.
    listed |= {"annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [listed]}
    blobs = {
        f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": (blob, 0o644)
        for blob in (layer, config_bytes, manifest_bytes)
    }
    layout = {
        "oci-layout": (b'{"imageLayoutVersion": "1.0.0"}', 0o644),
        "index.json": (json.dumps(index).encode(), 0o644),
    }
    archive.parent.mkdir(parents=True, exist_ok=True)
    side = archive.with_suffix(".partial")
    side.write_bytes(_tar(layout | blobs))
    side.rename(archive)


def _tar(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """A tar file with fixed times and owners, so that the same files give the same digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, (content, mode) in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = mode
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}
