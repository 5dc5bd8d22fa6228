"""Data sets as jobs see them: reading uploads, one canonical form, its digest, and arrays for models."""
