"""The demo: where it runs, what it installs, what it shows."""
