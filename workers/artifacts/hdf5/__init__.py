"""HDF5 files: an own reader of the part of the format that h5py writes for Keras, and the arrays copied out of it.

No byte of an upload is given to the HDF5 library. It believes the sizes that a file states, follows what a file
names, and finds a structure in more than one place; this reader parses each byte as one thing or refuses the file.

Source: HDF5 File Format Specification 3.0, as far as version 0 of the superblock and version 1 of object headers go.
"""
