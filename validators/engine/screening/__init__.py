"""Screen data for what a suite cannot say: noise, outliers, wrong labels, leakage, repeated rows, drift.

A detector is one class with one verb; `catalogue` says which there are, `job` runs them, `planning` makes cleaning
steps of what they found. A screening proposes; a person decides, and a cleaning does.
"""
