"""How the operator is seen: logs, metrics, and the small HTTP server of probes and scrapes."""
