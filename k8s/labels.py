"""Labels, annotations and names in Kubernetes, each defined only here; the chart's templates repeat them.

Those of other projects are from the source of Kubernetes 1.37, JobSet 0.12 and Kueue 0.19.
"""

# On every object and every pod of a run; INSTANCE_LABEL is the run's name.
NAME_LABEL, APP = "app.kubernetes.io/name", "catdog"
INSTANCE_LABEL = "app.kubernetes.io/instance"
COMPONENT_LABEL, RUN, WORKER, CLAIM = "app.kubernetes.io/component", "run", "worker", "claim"
MANAGER_LABEL, MANAGER = "app.kubernetes.io/managed-by", "catdog-submit"
RECIPE_LABEL = "catdog.dev/recipe"

# The configuration is on the pod template; run folder and data set are on the object that owns the others.
CONFIG_ANNOTATION, RUN_ANNOTATION, DATA_ANNOTATION = "catdog.dev/config", "catdog.dev/run", "catdog.dev/data"

CONTAINER, REPLICATED_JOB = "trainer", "w"
METRICS_PORT, TENSORFLOW_PORT, RENDEZVOUS_PORT = "metrics", "tensorflow", "rendezvous"

# The ConfigMap that the chart creates in the namespace, and its key.
CONFIG_MAP, CONFIG_MAP_KEY = "catdog-platform", "platform.yaml"

GANG_SECRET_KEY = "secret"
"""The key in the Secret that the platform names, whether the chart made it or not."""

# Kubernetes. The annotations count a pod's predecessors with the same index; both are absent before the first.
BATCH_API = "batch/v1"
JOB_UID_LABEL, INDEX_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-completion-index"
FAILURES_ANNOTATION = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES_ANNOTATION = "batch.kubernetes.io/job-index-ignored-failure-count"
HOSTNAME_LABEL = "kubernetes.io/hostname"
NOT_READY_TAINT, UNREACHABLE_TAINT = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service"

# JobSet.
JOBSET_GROUP = "jobset.x-k8s.io"
JOBSET_API = f"{JOBSET_GROUP}/v1alpha2"
JOBSET_UID_LABEL, JOBSET_ATTEMPT_LABEL = "jobset.sigs.k8s.io/jobset-uid", "jobset.sigs.k8s.io/restart-attempt"

# Kueue.
KUEUE_API, KUEUE_VISIBILITY_API = "kueue.x-k8s.io/v1beta2", "visibility.kueue.x-k8s.io/v1beta2"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
