"""What failures cost: disruptions nothing, exit codes that a retry cannot fix the run, all others one restart."""

from collections.abc import Sequence

from k8s.labels import CONTAINER
from k8s.manifest.spec import Object
from trainer.exits import NEVER_RETRIED, Exit

# JobSet can only tell failures apart by the message that the job controller writes
# (kubernetes/pkg/controller/job/pod_failure_policy.go).
_DISRUPTED = "has condition DisruptionTarget matching FailJob rule"
_STOPPED = f"failed with exit code {int(Exit.TERMINATED)} matching FailJob rule"


def pod_failure_policy(on_disruption: str) -> Object:
    """`podFailurePolicy` of a Job, with this action for a pod that was disrupted or asked to stop."""
    return {
        "rules": [
            {"action": on_disruption, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            _on_codes("FailJob", NEVER_RETRIED),
            _on_codes(on_disruption, (Exit.TERMINATED,)),
        ]
    }


def _on_codes(action: str, codes: Sequence[Exit]) -> Object:
    values = sorted({int(code) for code in codes})
    return {"action": action, "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": values}}


def job_set_failure_policy(max_restarts: int) -> Object:
    """`failurePolicy` of a JobSet whose Job fails with its first pod."""
    final = "|".join(str(int(code)) for code in sorted(NEVER_RETRIED))
    return {
        "maxRestarts": max_restarts,
        "restartStrategy": "BlockingRecreate",
        "rules": [
            {
                "name": "disrupted",
                "action": "RestartJobSetAndIgnoreMaxRestarts",
                "onJobFailureReasons": ["PodFailurePolicy"],
                "onJobFailureMessagePatterns": [_DISRUPTED, _STOPPED],
            },
            {
                "name": "final",
                "action": "FailJobSet",
                "onJobFailureReasons": ["PodFailurePolicy"],
                "onJobFailureMessagePatterns": [f"failed with exit code ({final}) matching FailJob rule"],
            },
            {"name": "deadline", "action": "FailJobSet", "onJobFailureReasons": ["DeadlineExceeded"]},
        ],
    }
