"""When it runs: the loop that plans and acts, and the wiring to kopf."""
