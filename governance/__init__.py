"""The record: which models and data exist, who decided what, by which rules."""
