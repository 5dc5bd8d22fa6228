"""Pickles, read by a machine of our own: every opcode is parsed, nothing is imported, nothing is called."""
