"""What can go wrong, in words for the person who called."""

from __future__ import annotations


class ClusterError(Exception):
    """The cluster cannot be had; the message says why and what to do."""
