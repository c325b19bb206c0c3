"""Rules for the image of a run: it cannot be pulled, or is being pulled. Pure."""

import re

from k8s.explain.cause import Cause
from k8s.explain.command import GAP, By, Command, Next, helm, kubectl
from k8s.explain.observation import Object, Observation, container_spec, events_of, in_words, waiting, who
from k8s.explain.states import TABLE, Field

REASONS = tuple(one.value for one in TABLE if one.field is Field.WAITING and one.kind == "image")
_NO_SECRET = "FailedToRetrieveImagePullSecret"


def not_pulled(seen: Observation) -> list[Cause]:
    """The image cannot be pulled."""
    for pod in seen.pods:
        reason = str(waiting(pod).get("reason", ""))
        if reason not in REASONS:
            continue
        evidence = [f"{who(pod)}: {reason}: {waiting(pod).get('message', '')}".rstrip(": ")]
        evidence += [in_words(event) for event in events_of(seen, "Pod", ("Failed",), pod)[:1]]
        missing = [in_words(event) for event in events_of(seen, "Pod", (_NO_SECRET,), pod)[:1]]
        why, then = _why(seen, pod, reason, " ".join(evidence), " ".join(missing))
        return [Cause("image", f"image {_image_of(pod)} cannot be pulled: {why}", (*evidence, *missing), then)]
    return []


def _why(seen: Observation, pod: Object, reason: str, text: str, no_secret: str) -> tuple[str, Next]:
    """The reason in words, and what to do; `no_secret` is the kubelet's remark about a Secret that is not there."""
    secrets = [str(one.get("name")) for one in (pod.get("spec") or {}).get("imagePullSecrets") or ()]
    lost = [name for name in secrets if name in no_secret]
    if lost:
        return f"the pull Secret {', '.join(lost)} does not exist in the namespace", _make_secret(seen, lost[0])
    if reason == "InvalidImageName":
        return "invalid image name", ("set --image to REPOSITORY:TAG",)
    if reason == "ErrImageNeverPull":
        change = helm(seen.typed, "imagePullPolicy=IfNotPresent")
        return "it is not on the node, and imagePullPolicy is Never", ("load it onto the node, or ", change)
    # Some registries answer "denied" for what does not exist, too: a denial comes first, since it names both.
    if re.search(r"(?i)unauthorized|denied|forbidden|authentication|\b401\b|\b403\b", text):
        if secrets:
            words = f"the registry denies access with the pull Secret {', '.join(secrets)}"
            return words, ("check the image's name; ", *_make_secret(seen, secrets[0]))
        words = "the registry denies access, and the platform names no pull Secret"
        return words, ("check the image's name; ", helm(seen.typed, f"imagePullSecrets={{{GAP}}}"))
    if re.search(r"(?i)not found|manifest unknown|name unknown|does not exist", text):
        return "there is no such image", ("set --image to a REPOSITORY:TAG that exists",)
    return "the pull failed", (kubectl(seen.typed, "describe", "pod", str(pod["metadata"]["name"])),)


def _make_secret(seen: Observation, name: str) -> Next:
    """Submitters have no rights on Secrets."""
    words = ("kubectl", "create", "secret", "docker-registry", name, f"--docker-server={GAP}", *seen.typed)
    return (Command(words, By.INSTALLER),)


def pulling(seen: Observation) -> list[Cause]:
    """The image is being pulled: reported only if nothing worse is found."""
    for pod in seen.pods:
        if waiting(pod).get("reason") == "ContainerCreating":
            events = events_of(seen, "Pod", ("Pulling",), pod)
            pulled = events_of(seen, "Pod", ("Pulled",), pod)
            if events and not pulled:
                return [
                    Cause("pulling", f"image {_image_of(pod)} is being pulled", (f"{who(pod)}: {in_words(events[0])}",))
                ]
    return []


def _image_of(pod: Object) -> str:
    return str(container_spec(pod).get("image", ""))
