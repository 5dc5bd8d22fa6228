"""Texts as data: measured, so that rules judge them like any column, and turned into token ids for models."""
