"""Attacks on a loaded model: NumPy over the framework-neutral interface, with the random generator passed in."""
