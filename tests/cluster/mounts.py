"""What is mounted where, as this process sees it."""

from __future__ import annotations

from pathlib import Path


def mount_points(kind: str | None = None) -> list[Path]:
    """The mount points of all file systems, or of those of type `kind`, from /proc/self/mountinfo.

    A folder that is mounted twice is listed twice. `os.path.ismount` does not see a folder that is mounted onto itself.
    Source: proc_pid_mountinfo(5).
    """
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if kind is None or after.split()[0] == kind:
            found.append(Path(before.split()[4]))
    return found
