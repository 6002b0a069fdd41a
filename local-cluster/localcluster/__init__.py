"""A real Kubernetes on one Linux machine. Standard library only: it has to work before anything is installed."""

from localcluster.built import Cluster, start
from localcluster.errors import ClusterError
from localcluster.settings import ControllerManager

__all__ = ["Cluster", "ClusterError", "ControllerManager", "start"]
