"""Formats of the one language that there is."""
