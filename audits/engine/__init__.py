"""The compute half of audits: explainers, attacks, checks, charts. No Django here."""
