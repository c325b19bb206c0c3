"""Rules for the image of a run: it cannot be pulled, or is being pulled. Pure."""

import re

from k8s.explain.cause import Cause
from k8s.explain.observation import Object, Observation, container_spec, events_of, in_words, waiting, who


def not_pulled(seen: Observation) -> list[Cause]:
    """The image cannot be pulled."""
    for pod in seen.pods:
        reason = str(waiting(pod).get("reason", ""))
        if reason not in (
            "ErrImagePull",
            "ImagePullBackOff",
            "InvalidImageName",
            "ErrImageNeverPull",
            "ImageInspectError",
            "RegistryUnavailable",
        ):
            continue
        image = _image_of(pod)
        evidence = [f"{who(pod)}: {reason}: {waiting(pod).get('message', '')}".rstrip(": ")]
        evidence += [in_words(event) for event in events_of(seen, "Pod", ("Failed",), pod)[:1]]
        text = " ".join(evidence)
        if re.search(r"(?i)not found|manifest unknown|name unknown|does not exist", text):
            why, command = "there is no such image", "set --image to a REPOSITORY:TAG that exists"
        elif re.search(r"(?i)unauthorized|denied|forbidden|authentication|401|403", text):
            why, command = "the registry denies access", "helm upgrade catdog … --set 'imagePullSecrets={NAME}'"
        elif reason == "InvalidImageName":
            why, command = "invalid image name", "set --image to REPOSITORY:TAG"
        elif reason == "ErrImageNeverPull":
            why, command = (
                "it is not on the node, and imagePullPolicy is Never",
                "load it onto the node, or helm upgrade catdog … --set imagePullPolicy=IfNotPresent",
            )
        else:
            why, command = "the pull failed", f"kubectl describe pod {pod['metadata']['name']}"
        return [Cause("image", f"image {image} cannot be pulled: {why}", tuple(evidence), command)]
    return []


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
