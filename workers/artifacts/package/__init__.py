"""Model packages: ``assay.toml``, Python sources that a reviewer releases by digest, and weights or a ``.keras``."""
