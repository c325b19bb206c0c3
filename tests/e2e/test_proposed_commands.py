"""Commands that `why` proposes to a submitter, run as one: reading ones as they are, writing ones on a throw-away run.

What is not there (a queue, a node of another name) is not found; what matters is that nothing is forbidden.
"""

import json
from pathlib import Path

import pytest

from k8s.explain.command import By, Command
from tests.cluster import api
from tests.e2e.kit import Site, until
from tests.e2e.rights import rights, someone
from tests.unit.k8s.explain.proposed import TYPED, commands

pytestmark = pytest.mark.timeout(900, func_only=True)  # setting up may build for minutes

READING = ("list", "status", "why", "logs", "doctor")


def words_of(command: Command, name: str, pod: str) -> tuple[str, ...]:
    """The command's words with this run and pod for those of the unit tests, in the kubeconfig's own context."""
    plain = command.words[: -len(TYPED)]
    return tuple({"run": name, "run-w-0-0-abcde": pod}.get(word, word) for word in plain)


def _said(site: Site, *words: str) -> str:
    """What kubectl prints, or why it failed."""
    try:
        return api.kubectl(site.cluster, *words)
    except api.ClusterError as error:
        return str(error)


def test_a_submitter_may_run_all_that_is_proposed_to_submitters(site: Site, tmp_path: Path) -> None:
    mine = [one for one in commands() if one.by is By.YOU and one.complete]
    site.submit("advice", "--gpus", 0, "--workers", 2, "--recipe", "baseline", "--model", "small", "--epochs", 10_000)
    pod = until("it has pods", lambda: site.pods("advice"))[0]["metadata"]["name"]
    until("it has started", lambda: site.state("advice").get("step"), limit=180)
    with someone(site, rights(site), tmp_path) as submitter:
        for command in mine:
            program, *words = words_of(command, "advice", pod)
            # Nodes are read by the ClusterRole, which `someone` does not have.
            if program == "kubectl" and not {"node", "nodes"} & set(words):
                config = ("--kubeconfig", str(tmp_path / "kubeconfig"), "-n", site.namespace)
                said = _said(site, *config, *words)
                assert "forbidden" not in said.lower(), f"{command}: {said}"
            elif program == "catdog" and words[0] in READING:
                more = ("--bundle", str(tmp_path / f"{len(words)}.tar.gz")) if words[0] == "doctor" else ()
                done = submitter.catdog(*words, *more, code=None)
                (tmp_path / f"{len(words)}.tar.gz").unlink(missing_ok=True)
                assert "no permission" not in done.err.replace("no permission to read nodes", ""), done.said
        submitter.catdog("cancel", "advice")
        submitter.catdog("resume", "advice", "--no-follow")
        submitter.catdog("delete", "advice")
    until("its pods are gone", lambda: not site.pods("advice"))


def test_a_run_that_never_started_is_cancelled_and_submitted_again_as_it_says(site: Site) -> None:
    never = ("--gpus", 0, "--recipe", "baseline", "--service-account", "nobody-at-all")
    site.submit("never", *never, "--no-follow")
    until("why knows", lambda: site.answer("why", "never")["causes"][0]["kind"] == "service-account")
    said = site.catdog("cancel", "never").out
    assert "it had not started" in said
    assert "catdog submit --name never --gpus 0" in said
    assert "catdog resume" not in said


def test_a_gang_of_which_one_is_refused_says_so_in_its_first_minute(site: Site) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one", "namespace": site.namespace}}
    api.kubectl(site.cluster, "apply", "-f", "-", stdin=json.dumps({**quota, "spec": {"hard": {"pods": "1"}}}))
    try:
        site.submit("half", "--gpus", 0, "--workers", 2, "--recipe", "baseline", "--no-follow")
        said = until(
            "why names it", lambda: (s := site.answer("why", "half")["causes"][0])["kind"] == "quota" and s, 60
        )
        assert "1 of 2 pods cannot be created" in said["cause"]
        assert "exceeded quota" in said["evidence"][0]
    finally:
        api.kubectl(site.cluster, "-n", site.namespace, "delete", "resourcequota", "one")
        site.catdog("delete", "half")
