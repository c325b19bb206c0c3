"""(RunSpec, Platform, what the cluster serves) → the objects of a run. Pure: same input, same bytes.

The policies make a gang of Kubernetes' parts: disruptions are not counted, exit codes that a retry cannot mend are
final, everything else costs one restart for all workers together. Which field does what was read in the source of
Kubernetes 1.37, JobSet 0.12 and Kueue 0.19.

The configuration travels with the pod template, so that one object is the whole run (two for several workers without
JobSet): nothing can be half-created.
"""

from k8s.exits import missing
from k8s.manifest.objects import job, job_set, service
from k8s.manifest.spec import Object, RunSpec, Served, check_name
from k8s.settings.platform import Platform


def render(spec: RunSpec, platform: Platform, served: Served) -> list[Object]:
    """The objects to create, in order: the first owns the others.

    Raises:
        CliError: 2 for a name or a value that Kubernetes would not take; 3 for a queue or a JobSet that is not served.
    """
    check_name(spec.name, spec.workers)
    if platform.queue and not served.kueue:
        raise missing(
            f"queue {platform.queue!r} is asked for, but Kueue is not served here; install it, or use --queue ''"
        )
    if spec.workers == 1:
        return [job(spec, platform)]
    if uses_jobset(spec, platform, served):
        return [job_set(spec, platform)]
    return [job(spec, platform), service(spec)]


def uses_jobset(spec: RunSpec, platform: Platform, served: Served) -> bool:
    """Whether the run becomes a JobSet: only with several workers, and where it is served.

    Raises:
        CliError: 3 when a JobSet is asked for and not served.
    """
    if spec.workers == 1 or platform.shape == "job":
        return False
    if platform.shape == "jobset" and not served.jobset:
        raise missing("--shape jobset, but JobSet is not served here; install it, or leave --shape out")
    return served.jobset


def shape_note(spec: RunSpec, platform: Platform, served: Served) -> str:
    """Which objects were chosen and why, in one line."""
    if spec.workers == 1:
        return "one Job: one worker needs no more"
    if uses_jobset(spec, platform, served):
        return "a JobSet, which restarts the workers together"
    why = "as --shape job asks" if platform.shape == "job" else "because the cluster serves no JobSet"
    return f"a Job with a headless Service, {why}"
