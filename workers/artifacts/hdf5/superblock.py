"""The superblock: the first 96 bytes of the file, which say where the root group is."""

from __future__ import annotations

import struct

from workers.artifacts.findings import shown
from workers.artifacts.hdf5.file_map import UNDEFINED, FileMap
from workers.artifacts.hdf5.groups import SymbolEntry, read_entry

SIGNATURE = b"\x89HDF\r\n\x1a\n"

#: Nodes of the trees of a group hold up to twice as many children; h5py has no way to change either number.
LEAF_K, INTERNAL_K = 4, 16

_VERSIONS = bytes([0, 0, 0, 0, 0, 8, 8, 0])
_SIZES = struct.Struct("<HHI")
_ADDRESSES = struct.Struct("<4Q")


def read_root_entry(file: FileMap) -> SymbolEntry:
    """Return the entry of the root group.

    Raises:
        RefusalError: another version than 0, a user block, a driver, or an end that is not the end of the file.
    """
    if file.size_bytes < 96:
        raise file.refused(f"The file has {file.size_bytes} bytes; an HDF5 file has more.", "", 0, "ART-02.truncated")
    block = file.read(0, 96, "superblock", "")
    if block[:8] != SIGNATURE:
        why = "The content does not begin as an HDF5 file does; there is no user block before it either."
        raise file.refused(why, "", 0, "ART-02.hdf5")
    if block[8] != 0:
        why = f"The superblock has version {block[8]}; write the file with the default settings of h5py (version 0)."
        raise file.refused(why, "", 8)
    if block[8:16] != _VERSIONS:
        raise file.refused(f"The superblock has the versions and sizes {shown(block[8:16])}.", "", 8)
    leaf, internal, flags = _SIZES.unpack_from(block, 16)
    if (leaf, internal, flags) != (LEAF_K, INTERNAL_K, 0):
        why = f"The superblock states {leaf} and {internal} for the nodes of groups and the flags {flags:#x}; "
        raise file.refused(f"{why}h5py writes {LEAF_K}, {INTERNAL_K} and 0.", "", 16)
    base, free_space, end, driver = _ADDRESSES.unpack_from(block, 24)
    if base != 0:
        raise file.refused(f"The file begins at byte {base:,}, behind a user block.", "", 24)
    if free_space != UNDEFINED:
        raise file.refused("The superblock names a list of free space, which HDF5 does not write.", "", 32)
    if driver != UNDEFINED:
        raise file.refused("The superblock names a driver, which may spread the file over several.", "", 48)
    if end != file.size_bytes:
        why = f"The superblock states that the file ends at byte {end:,}; it has {file.size_bytes:,} bytes."
        raise file.refused(why, "", 40)
    return read_entry(file, block[56:96], "", 56)
