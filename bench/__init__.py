"""Measures what design promises in figures: `python -m bench`, from the root of the repository."""
