"""Evidence about models: checks, explanations, findings, reports."""
