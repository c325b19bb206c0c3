"""(RunSpec, Platform, what the cluster serves) → the objects of a run. Pure: same input, same bytes.

The policies make the workers a gang: disruptions are not counted, exit codes that a retry cannot fix are final, and
everything else costs one restart of all workers together. The fields are used as the source of Kubernetes 1.37,
JobSet 0.12 and Kueue 0.19 defines them.

The configuration is part of the pod template, so that one object is the whole run (two for several workers without
JobSet): nothing can be half-created.
"""

from k8s.exits import missing
from k8s.manifest.objects import job, job_set, service
from k8s.manifest.spec import Object, RunSpec, Served, check_name
from k8s.settings.platform import Platform


def render(spec: RunSpec, platform: Platform, served: Served) -> list[Object]:
    """The objects to create, in order: the first owns the others.

    Raises:
        CliError: 2 for a name or a value that Kubernetes would reject; 3 for a queue or a JobSet that is not served.
    """
    check_name(spec.name, spec.workers)
    if platform.queue and not served.kueue:
        raise missing(
            f"queue is {platform.queue!r}, but Kueue is not installed in this cluster; install it, or use --queue ''"
        )
    if spec.workers == 1:
        return [job(spec, platform)]
    if uses_jobset(spec, platform, served):
        return [job_set(spec, platform)]
    return [job(spec, platform), service(spec)]


def uses_jobset(spec: RunSpec, platform: Platform, served: Served) -> bool:
    """Whether the run becomes a JobSet: only with several workers, and if JobSet is installed.

    Raises:
        CliError: 3 when a JobSet is requested, but JobSet is not installed.
    """
    if spec.workers == 1 or platform.shape == "job":
        return False
    if platform.shape == "jobset" and not served.jobset:
        raise missing("--shape is jobset, but JobSet is not installed in this cluster; install it, or omit --shape")
    return served.jobset


def shape_note(spec: RunSpec, platform: Platform, served: Served) -> str:
    """Which objects were chosen and why, in one line."""
    if spec.workers == 1:
        return "one Job: enough for one worker"
    if uses_jobset(spec, platform, served):
        return "a JobSet, which restarts the workers together"
    why = "as requested by --shape job" if platform.shape == "job" else "because JobSet is not installed"
    return f"a Job with a headless Service, {why}"
