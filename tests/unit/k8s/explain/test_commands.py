"""Proposed commands: a submitter may run those that are proposed to a submitter, and they go where the user is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.cli import load
from k8s.commands.table import COMMANDS, Entry
from k8s.explain.again import submit_flags
from k8s.explain.cause import as_facts, of_facts
from k8s.explain.command import GAP, By, Command, catdog, helm, in_words, kubectl
from k8s.explain.why import explain
from tests.unit.k8s.explain.proposed import TYPED, commands, observations
from tests.unit.k8s.explain.sightings import condition, seen, top

RBAC = Path(__file__).parents[4] / "helm" / "catdog" / "templates" / "rbac.yaml"
Right = tuple[str, str, str]
"""Verb, resource, and "" or the name of the one object; a resource of the whole cluster begins with "*/"."""

PROPOSED = commands()


def rules() -> Iterator[tuple[str, dict[str, Any]]]:
    """The rules of the template as the chart's defaults render it: (kind of role, rule)."""
    text = re.sub(r"\{\{- if \.Values\.rbac\.pods \}\}.*?\{\{- end \}\}", "", RBAC.read_text(), flags=re.DOTALL)
    plain = "\n".join(line for line in text.splitlines() if "{{" not in line)
    for document in yaml.safe_load_all(plain):
        for rule in (document or {}).get("rules") or ():
            yield document["kind"], rule


def is_allowed(right: Right) -> bool:
    verb, resource, name = right
    whole = resource.startswith("*/")
    for kind, rule in rules():
        if whole and kind != "ClusterRole":
            continue
        names = rule.get("resourceNames")
        if verb in rule["verbs"] and resource.removeprefix("*/") in rule["resources"] and (not names or name in names):
            return True
    return False


# Kind, as kubectl takes it → resource.
KINDS = {"localqueue": "localqueues", "resourcequota": "resourcequotas"}
KINDS |= {f"{kind}class": f"*/{kind}classes" for kind in ("priority", "runtime")}
KINDS |= {"namespace": "*/namespaces", "node": "*/nodes", "nodes": "*/nodes"}
KINDS |= {kind: f"{kind}s" for kind in ("pod", "job", "jobset", "configmap", "secret")} | {"pods": "pods"}


def needs(words: tuple[str, ...]) -> list[Right]:
    """What kubectl asks of the API server for a command (kubectl 1.37, pkg/describe)."""
    verb, kind, *rest = words[1:]
    resource = KINDS[kind]
    if "--all-namespaces" in rest:
        resource = f"*/{resource}"
    named = rest[0] if rest and not rest[0].startswith("-") else ""
    read: Right = ("get", resource, named) if named else ("list", resource, "")
    match verb:
        case "get":
            return [read]
        case "describe":
            more: list[Right] = [("list", "events", "")]
            if resource == "*/nodes":
                more = [("list", "*/events", ""), ("list", "*/pods", ""), ("get", "*/leases", named)]
            return [read, *more]
        case "patch" | "taint":
            return [read, ("patch", resource, named)]
        case "create":
            return [("create", resource, "")]
    raise AssertionError(f"say in this test what kubectl {verb} needs")


def test_the_templates_rules_are_read() -> None:
    assert is_allowed(("get", "pods", "x"))
    assert is_allowed(("get", "configmaps", "catdog-platform"))
    assert is_allowed(("list", "*/nodes", ""))
    assert not is_allowed(("get", "configmaps", "other"))
    assert not is_allowed(("list", "*/pods", "")), "rbac.pods is off by default"
    assert not any(is_allowed((verb, "secrets", "")) for verb in ("get", "list", "create"))


def test_there_are_commands_of_each_kind() -> None:
    assert {one.words[0] for one in PROPOSED} == {"catdog", "kubectl", "helm"}
    assert {one.by for one in PROPOSED} == set(By)
    assert len(PROPOSED) > 20


@pytest.mark.parametrize("command", [one for one in PROPOSED if one.words[0] == "kubectl"], ids=str)
def test_the_submitters_role_allows_what_is_proposed_to_submitters_and_only_that(command: Command) -> None:
    allowed = all(is_allowed(right) for right in needs(command.words))
    if command.by is By.YOU:
        assert allowed, f"the chart's Role forbids {needs(command.words)}"
    elif not {"node", "nodes"} & set(command.words):  # whether nodes may be read is found by trying
        assert not allowed, "a submitter may run this: nobody need be asked"


@pytest.mark.parametrize("command", [one for one in PROPOSED if one.words[0] == "catdog"], ids=str)
def test_catdog_takes_the_commands_that_are_proposed(command: Command) -> None:
    verb, *words = command.words[1:]
    entry = COMMANDS[verb]
    assert isinstance(entry, Entry)
    if not words[0].startswith("-") or GAP not in words or words[words.index(GAP) - 1].startswith("--gpus"):
        words = ["1" if word == GAP else word for word in words]
        load(verb, entry).make_context(verb, words)  # raises for what does not parse
    assert command.by is By.YOU


@pytest.mark.parametrize("command", PROPOSED, ids=str)
def test_commands_go_where_the_user_is(command: Command) -> None:
    if command.words[0] == "helm":
        assert command.words[-4:] == ("-n", "ml", "--kube-context", "east")
        assert command.by is By.INSTALLER
    else:
        assert command.words[-4:] == TYPED


def test_no_command_hides_in_the_text_around_commands() -> None:
    for one in observations():
        for cause in explain(one):
            texts = [part for part in cause.then if isinstance(part, str)]
            assert not any(re.search(r"\b(kubectl|helm|catdog) (?!train)[a-z]+", text) for text in texts), texts


def test_a_run_that_never_started_is_not_to_be_resumed_once_its_objects_are_gone() -> None:
    proposed = [one for seen in observations() if seen.resumable is False and seen.top is None for one in explain(seen)]
    assert proposed
    assert not any("resume" in cause.next for cause in proposed)
    suspended = [explain(one)[0] for one in observations() if one.resumable is False and one.top and not one.pods]
    assert not any("cancel" in cause.next and "resume" in cause.next for cause in suspended)


def test_how_a_command_reads() -> None:
    assert str(catdog((), "resume", "run")) == "catdog resume run"
    assert str(kubectl(("-n", "ml"), "get", "nodes", by=By.ADMIN)) == "ask a cluster admin: kubectl get nodes -n ml"
    assert str(helm((), f"image={GAP}")).startswith("ask whoever installed the chart: helm upgrade catdog …")
    assert str(catdog((), "submit", "--name", GAP)) == "catdog submit --name …"
    assert in_words((catdog((), "cancel", "run"), ", then ", catdog((), "resume", "run"))) == (
        "catdog cancel run, then catdog resume run"
    )


def test_programs_get_words_and_who_may_run_them() -> None:
    [cause] = explain(seen(top(suspend=True)))
    [facts] = as_facts([cause])
    assert [one["by"] for one in facts["commands"]] == ["a cluster admin", "you", "you"]
    assert facts["commands"][1]["words"] == ["catdog", "cancel", "run"]
    assert of_facts([facts])[0].next == cause.next == facts["next"]


def test_without_objects_that_say_it_no_flags_are_made_up() -> None:
    assert submit_flags("run", None) is None
    assert submit_flags("run", top(condition("Failed"))) is None
