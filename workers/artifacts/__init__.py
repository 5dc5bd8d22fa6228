"""Model artefacts: what an uploaded file is, whether it may be loaded, and the canonical copy that is loaded.

Nothing here imports a framework or runs anything of an upload. ``inspection.inspect`` parses a file against
allow-lists and says what it found; ``rewriting.rewrite`` writes a new archive from what was *parsed*; only that copy
is ever given to a framework (``workers.frameworks.loading``).
"""
