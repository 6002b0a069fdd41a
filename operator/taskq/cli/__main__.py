"""`python -m taskq.cli`."""

from taskq.cli.main import run

run()
