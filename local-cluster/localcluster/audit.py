"""What the API server writes down about requests: enough to count an operator's writes and to prove its promises."""

from __future__ import annotations

import json

_WRITES = ["create", "update", "patch", "delete", "deletecollection"]
_READS = ["get", "list", "watch"]

# The user as whom `up` asks whether the cluster is ready: an administrator whose name nobody else has.
STARTER = "taskq.dev:local-cluster"

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [
        # The heartbeats of the machinery itself.
        {
            "level": "None",
            "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}],
            "namespaces": ["kube-node-lease", "kube-system"],
            "userGroups": ["system:masters", "system:nodes", "system:serviceaccounts:kube-system"],
        },
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/openapi*"]},
        # Questions of `up` itself: does it run yet?
        {"level": "None", "users": [STARTER], "verbs": _READS},
        # What Kubernetes reads for itself.
        {
            "level": "None",
            "users": ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"],
            "verbs": _READS,
        },
        {
            "level": "None",
            "userGroups": ["system:nodes", "system:serviceaccounts:kube-system"],
            "verbs": _READS,
        },
        # With the answer: labels and ownerReferences of every Job that came to be, and when it was over. The
        # resourceVersion in an answer is the moment of the write, which the order of the lines is only nearly.
        {
            "level": "RequestResponse",
            "verbs": ["create", "update", "patch"],
            "resources": [{"group": "batch", "resources": ["jobs", "jobs/status"]}],
        },
        # With the question: which end of a Task was written down.
        {
            "level": "Request",
            "verbs": ["patch"],
            "resources": [{"group": "taskq.dev", "resources": ["tasks/status"]}],
        },
        {"level": "Metadata", "verbs": _WRITES},
        {"level": "Metadata"},
    ],
}


def policy_file() -> str:
    """JSON is YAML, and needs no library."""
    return json.dumps(POLICY, indent=2)


def flags(policy_path: str, log_path: str) -> list[str]:
    """Every line is in the file before its request is answered, and the file is never rotated away."""
    return [
        f"--audit-policy-file={policy_path}",
        f"--audit-log-path={log_path}",
        "--audit-log-mode=blocking-strict",
        "--audit-log-maxsize=1000000",
    ]
