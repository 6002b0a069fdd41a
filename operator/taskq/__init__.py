"""TaskQ: priority task queues, with schedules, on plain Kubernetes Jobs."""

__version__ = "0.1.0"
