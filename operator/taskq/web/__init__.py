"""What the operator answers over HTTP beside probes and metrics: who may ask, and what is told."""
