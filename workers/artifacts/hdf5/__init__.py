"""HDF5 files: what of the format is taken, and how arrays are copied out of it."""
