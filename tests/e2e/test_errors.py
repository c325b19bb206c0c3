"""User errors: one clear message, the contract's exit code, and nothing left half-created."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster import api
from tests.e2e.kit import REPOSITORY, Done, Site, until
from tests.e2e.rights import rights, someone, without

pytestmark = pytest.mark.timeout(400, func_only=True)  # setting up may build for minutes

PLAIN = ("--gpus", 0, "--recipe", "baseline", "--no-follow")


def clear(done: Done, *words: str) -> None:
    """Check for an error of a line or two with these words and no traceback."""
    assert "Traceback" not in done.err, done.said
    assert "catdog: " in done.err or "Error" in done.err, done.said
    for word in words:
        assert word in done.err, done.said


def objects(site: Site) -> list[str]:
    found = site.get("jobs,jobsets,services,pods")["items"]
    return sorted(f"{one['kind']}/{one['metadata']['name']}" for one in found)


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest, site: Site) -> Iterator[None]:
    before = objects(site)
    yield
    if "leaves" not in request.keywords:
        assert objects(site) == before


def test_a_namespace_that_does_not_exist(site: Site) -> None:
    done = Site(site.cluster, "no-such-place", site.bucket, site.environment).submit("x", *PLAIN, code=3)
    clear(done, "no-such-place")


def test_a_namespace_without_the_chart(new_site: Callable[..., Site]) -> None:
    clear(new_site("").submit("x", *PLAIN, code=3), "helm install")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--name", "Not_A_Name"), 2, ("--name", "lowercase letters")),
        (("--name", "n" * 58), 2, ("--name", "characters")),
        (("--epochs", "0"), 2, ("--epochs",)),
        (("--recipe", "nope"), 2, ("nope",)),
        (("--data", "gs://no-such-bucket-at-all/x"), 3, ("no-such-bucket-at-all",)),
        (("--run", "gs://no-such-bucket-at-all/x"), 3, ("no-such-bucket-at-all",)),
        (("--data", "/home/me/pictures"), 2, ("/home/me/pictures", "gs://")),
        (("--queue", "team"), 3, ("team", "Kueue")),
    ],
)
def test_invalid_arguments_are_named(site: Site, words: tuple[str, ...], code: int, says: tuple[str, ...]) -> None:
    done = site.catdog("submit", *PLAIN, *words, code=None)
    assert done.code == code or (code, done.code) == (2, 64), done.said
    clear(done, *says)


@pytest.mark.parametrize(("name", "text"), [("cpu", "two"), ("memory", "8GB"), ("ephemeralStorage", "-1")])
def test_an_invalid_quantity_is_named_by_the_chart_and_by_the_command_line(
    site: Site, tmp_path: Path, name: str, text: str
) -> None:
    chart = (str(REPOSITORY / "helm" / "catdog"), "--namespace", site.namespace, "--reuse-values")
    with pytest.raises(api.ClusterError, match=name):
        api.helm(site.cluster, "upgrade", "catdog", *chart, "--set-json", f"resources.{name}={json.dumps(text)}")
    platform = site.get("configmap", "catdog-platform")
    settings = yaml.safe_load(platform["data"]["platform.yaml"])
    settings["resources"][name] = text
    platform["data"]["platform.yaml"] = yaml.safe_dump(settings)
    file = tmp_path / "platform.json"
    file.write_text(json.dumps(platform))
    done = site.catdog("submit", *PLAIN, "--dry-run", "--platform", file, code=None)
    assert done.code in (2, 3), done.said
    clear(done, name, text)


def test_a_data_set_that_does_not_exist(site: Site) -> None:
    clear(site.submit("x", *PLAIN, "--data", f"{site.bucket}/nothing-here", code=3), "nothing-here")


@pytest.mark.leaves
def test_a_name_that_is_taken(site: Site) -> None:
    site.submit("taken", *PLAIN, "--epochs", 1000)
    try:
        clear(site.submit("taken", *PLAIN, code=2), "the name is taken", "catdog resume")
    finally:
        site.catdog("cancel", "taken")


def test_a_run_that_does_not_exist(site: Site) -> None:
    for command in ("status", "logs", "wait", "why", "cancel", "delete", "resume"):
        words = ("--gpus", 0) if command == "resume" else ()
        clear(site.catdog(command, "never-was", *words, code=3), "never-was")


@pytest.mark.leaves
def test_the_api_server_goes_while_a_run_is_followed_and_comes_back(site: Site, data: tuple[Path, str]) -> None:
    small = ("--data", data[1], "--model", "small", "--image-size", 48, "--batch-size", 16, "--epochs", 50)
    words = ("--name", "outage", "--gpus", 0, "--recipe", "baseline", *small)
    following = site.start("submit", *words, "--follow")
    lines: list[str] = []
    assert following.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(following.stdout or []), daemon=True)
    reader.start()
    until("steps are shown", lambda: any("step" in line for line in lines), limit=180)
    api.stop_api_server(site.cluster)
    time.sleep(10)
    come_back(site)
    assert following.wait(240) == 0
    reader.join(10)
    following.stdout.close()
    assert following.stderr is not None
    said = following.stderr.read()
    following.stderr.close()
    assert "Traceback" not in said, said
    shown = "".join(lines)
    assert "10.213.0.1:6443" in shown, "the outage was not reported:\n" + shown
    assert "succeeded" in shown, shown


def test_the_api_server_is_away(site: Site) -> None:
    api.stop_api_server(site.cluster)
    try:
        done = site.submit("x", *PLAIN, code=3)
    finally:
        come_back(site)
    clear(done, "10.213.0.1:6443")


def come_back(site: Site) -> None:
    """Start the API server, and restart JobSet's controller, which would exit some time after the outage."""
    api.start_api_server(site.cluster)
    there = ("-n", "jobset-system")
    api.kubectl(site.cluster, *there, "delete", "pod", "--all", "--grace-period=1")
    api.kubectl(site.cluster, *there, "rollout", "status", "deployment", "--timeout=120s")
    until("JobSets are taken", lambda: takes_jobsets(site))


def takes_jobsets(site: Site) -> bool:
    manifest = REPOSITORY / "tests" / "unit" / "k8s" / "manifest" / "golden" / "two-nodes-jobset.yaml"
    try:
        api.kubectl(site.cluster, "-n", site.namespace, "create", "--dry-run=server", "-f", str(manifest))
    except api.ClusterError:  # its webhook is not up yet
        return False
    return True


# --- rights ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(site: Site) -> Iterator[None]:
    """A Job and a JobSet that keep running, for commands that read them."""
    for name, workers in (("watched-job", 1), ("watched-jobset", 2)):
        site.submit(name, *PLAIN, "--workers", workers, "--model", "small", "--epochs", 10_000)
    for name in ("watched-job", "watched-jobset"):
        until(f"{name} has a log", lambda name=name: site.catdog("logs", name).out, limit=180)
    yield
    for name in ("watched-job", "watched-jobset"):
        site.catdog("delete", name)


# A permission in the chart's Role, and a command that needs it.
NEEDED = {
    ("configmaps", "get"): ("submit",),
    ("jobs", "create"): ("submit", "--workers", 1),
    ("jobsets", "create"): ("submit", "--workers", 2),
    ("services", "create"): ("submit", "--workers", 2, "--shape", "job"),
    ("jobs", "get"): ("status", "watched-job"),
    ("jobs", "list"): ("list",),
    ("jobs", "delete"): ("cancel", "watched-job"),
    ("jobsets", "get"): ("status", "watched-jobset"),
    ("jobsets", "list"): ("list",),
    ("jobsets", "delete"): ("cancel", "watched-jobset"),
    ("pods", "list"): ("status", "watched-job"),
    ("pods/log", "get"): ("logs", "watched-job"),
}
# Without these a command shows less, and names the missing permission. Kueue's: test_queue.py.
USEFUL = {("events", "list"): ("why", "watched-job")}
WITH_KUEUE = {("workloads", "list"), ("localqueues/pendingworkloads", "get")}
# For the kubectl commands that `why` suggests.
FOR_KUBECTL = {("pods", "get"), ("localqueues", "get")}


def test_the_role_holds_no_right_that_is_not_tried_here(site: Site) -> None:
    held = {(one, verb) for rule in rights(site) for one in rule["resources"] for verb in rule["verbs"]}
    assert held == {*NEEDED, *USEFUL, *WITH_KUEUE, *FOR_KUBECTL}


@pytest.mark.parametrize(("resource", "verb"), list(NEEDED))
@pytest.mark.usefixtures("watched")
def test_each_right_that_is_missing_is_named(site: Site, tmp_path: Path, resource: str, verb: str) -> None:
    command, *words = NEEDED[resource, verb]
    if command == "submit":
        words = ["--name", f"no-{verb}-{resource}", *PLAIN, *words]
    with someone(site, without(rights(site), resource, verb), tmp_path) as poor:
        done = poor.catdog(command, *words, code=3)
    clear(done, resource, verb)


@pytest.mark.parametrize(("resource", "verb"), list(USEFUL))
@pytest.mark.usefixtures("watched")
def test_a_right_that_only_says_more_is_named_and_not_needed(
    site: Site, tmp_path: Path, resource: str, verb: str
) -> None:
    with someone(site, without(rights(site), resource, verb), tmp_path) as poor:
        done = poor.catdog(*USEFUL[resource, verb])
    assert resource in done.out + done.err, done.said
    assert verb in done.out + done.err, done.said


def test_the_charts_own_submitter_needs_no_more(site: Site, tmp_path: Path) -> None:
    with someone(site, rights(site), tmp_path) as submitter:
        submitter.submit("allowed", *PLAIN)
        for words in (("status", "allowed"), ("why", "allowed"), ("list",)):
            submitter.catdog(*words)
        submitter.catdog("delete", "allowed")
    until("its pods are gone", lambda: not site.pods("allowed"))


@pytest.mark.parametrize("words", [("--workers", 1), ("--workers", 2), ("--workers", 2, "--shape", "job")])
@pytest.mark.parametrize(
    ("overlay", "code", "says"),
    [
        ({"securityContext": {"runAsUser": 0}}, 2, ("profile.yaml: overlay.securityContext", "allowed")),
        ({"labels": {"not a label": "x"}}, 2, ("not a label",)),
        ({"affinity": {"nodeAffinty": {}}}, 2, ("nodeAffinty",)),
        ({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "zone"}]}, 2, ("maxSkew",)),
    ],
)
def test_an_overlay_that_cannot_be_is_refused_before_anything_is_created(
    site: Site, tmp_path: Path, words: tuple[object, ...], overlay: dict[str, object], code: int, says: tuple[str, ...]
) -> None:
    (tmp_path / "catdog").mkdir()
    (tmp_path / "catdog" / "profile.yaml").write_text(yaml.safe_dump({"overlay": overlay}))
    done = site.catdog("submit", "--name", "odd", *PLAIN, *words, code=code, XDG_CONFIG_HOME=str(tmp_path))
    clear(done, *says)
