"""Who says what about which digest: keys, signed statements, model signatures, evidence packs, their verification."""
