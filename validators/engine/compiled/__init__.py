"""Expectations compiled to a few passes of DuckDB over a Parquet file, with the answers of Great Expectations.

A compiler (``registry``) turns one expectation into a rule (``rules``), or declines: what it does not understand, and
what it cannot do exactly as Great Expectations does, is left to Great Expectations. ``passes`` runs the rules together.

A value is missing where it is null, or NaN in a column of numbers, as ``validators.engine.frames`` has it.
"""
