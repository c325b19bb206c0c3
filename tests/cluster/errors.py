"""The one exception of the harness."""


class ClusterError(Exception):
    """Something is wrong with the machine or the cluster; the message is one clear line."""
