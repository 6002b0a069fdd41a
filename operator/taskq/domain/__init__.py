"""What TaskQ decides: pure functions and structures. The same input gives the same output; time is an argument."""
