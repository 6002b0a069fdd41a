"""What tests against a real API server share: a fake kubelet, the operator as a process, the audit log's verdict.

Used by ``tests/integration``, ``tests/e2e`` and ``bench``. Nothing here imports the operator: it is started as users
start it, and judged by what the API server saw.
"""
