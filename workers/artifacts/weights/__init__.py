"""Weights without a model: named tensors, whatever file they came in, and the one file that they are written to."""
