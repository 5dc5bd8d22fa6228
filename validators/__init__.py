"""Evidence about data: profile, expectations, validation, cleaning."""
