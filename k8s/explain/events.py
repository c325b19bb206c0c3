"""Which events are about a run. Pure."""

from collections.abc import Collection, Iterable, Sequence

from k8s.explain.observation import Object, instant
from k8s.explain.tops import workers
from k8s.manifest.names import is_of


def of_run(
    events: Iterable[Object], top: Object, owned: Sequence[Object], others: Collection[str] = ()
) -> list[Object]:
    """The events about the run whose top is this object; `owned` are its other objects that exist.

    An event about an object that exists is known by its uid. One about an object that is gone is known by its exact
    name (manifest/names), if it is not from before the run; `others` are names of other runs that exist.
    """
    existing = (top, *owned)
    uids = {one["metadata"].get("uid") for one in existing}
    created = instant(top["metadata"].get("creationTimestamp"))
    run, kind, count = str(top["metadata"]["name"]), str(top["kind"]), workers(top)

    def is_about_it(event: Object) -> bool:
        involved = event.get("involvedObject") or event.get("regarding") or {}
        if involved.get("uid") in uids:
            return True
        made = instant(event["metadata"].get("creationTimestamp"))
        if created is not None and made is not None and made < created:
            return False
        return is_of(run, kind, count, (str(involved.get("kind", "")), str(involved.get("name", ""))), others)

    return [event for event in events if is_about_it(event)]
