"""The one exception of the harness."""


class ClusterError(Exception):
    """Something about the machine or the cluster is not as it must be; the message is one clear line."""
