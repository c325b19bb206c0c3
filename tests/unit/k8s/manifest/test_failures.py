import re

import pytest

from k8s.manifest.render import render
from tests.unit.k8s.manifest.cases import JOBSET, NEITHER, PLATFORM, spec
from trainer.exits import NEVER_RETRIED


class TestPolicies:
    """What gangs need: disruptions uncounted, fatal codes final, everything else counted once for all workers."""

    def test_plain_job(self) -> None:
        job = render(spec("gang", 4, 1), PLATFORM, NEITHER)[0]["spec"]
        assert job["backoffLimitPerIndex"] == PLATFORM.max_restarts
        assert "backoffLimit" not in job
        assert job["maxFailedIndexes"] == 0
        disruption, fatal, stopped = job["podFailurePolicy"]["rules"]
        assert disruption == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
        assert (fatal["action"], fatal["onExitCodes"]["values"]) == ("FailJob", sorted(map(int, NEVER_RETRIED)))
        assert (stopped["action"], stopped["onExitCodes"]["values"]) == ("Ignore", [143])

    def test_job_set(self) -> None:
        top = render(spec("gang", 4, 1), PLATFORM, JOBSET)[0]["spec"]
        policy = top["failurePolicy"]
        assert (policy["maxRestarts"], policy["restartStrategy"]) == (PLATFORM.max_restarts, "BlockingRecreate")
        assert [rule["action"] for rule in policy["rules"]] == [
            "RestartJobSetAndIgnoreMaxRestarts",
            "FailJobSet",
            "FailJobSet",
        ]
        child = top["replicatedJobs"][0]["template"]["spec"]
        assert child["backoffLimit"] == 0
        assert child["podReplacementPolicy"] == "Failed"
        assert child["template"]["spec"]["restartPolicy"] == "Never"
        assert [rule["action"] for rule in child["podFailurePolicy"]["rules"]] == ["FailJob"] * 3
        assert not {"managedBy", "coordinator", "network"} & set(top)

    @pytest.mark.parametrize(
        ("message", "action"),
        [
            (
                "Pod ns/p has condition DisruptionTarget matching FailJob rule at index 0",
                "RestartJobSetAndIgnoreMaxRestarts",
            ),
            (
                "Container trainer for pod ns/p failed with exit code 143 matching FailJob rule at index 2",
                "RestartJobSetAndIgnoreMaxRestarts",
            ),
            *(
                (
                    f"Container trainer for pod a/b failed with exit code {int(code)} matching FailJob rule at index 1",
                    "FailJobSet",
                )
                for code in NEVER_RETRIED
            ),
        ],
    )
    def test_the_job_controllers_message_chooses_the_action(self, message: str, action: str) -> None:
        rules = render(spec("gang", 2, 1), PLATFORM, JOBSET)[0]["spec"]["failurePolicy"]["rules"]
        matching = [
            rule
            for rule in rules
            if rule["onJobFailureReasons"] == ["PodFailurePolicy"]
            and any(re.search(pattern, message) for pattern in rule["onJobFailureMessagePatterns"])
        ]
        assert [rule["action"] for rule in matching] == [action]

    def test_rule_names_and_codes_are_what_the_apis_accept(self) -> None:
        top = render(spec("gang", 2, 1), PLATFORM, JOBSET)[0]["spec"]
        for rule in top["failurePolicy"]["rules"]:
            assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"])
        for rule in top["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]["rules"]:
            values = rule.get("onExitCodes", {}).get("values", [1])
            assert values == sorted(set(values))
            assert 0 not in values
